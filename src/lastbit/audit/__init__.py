"""What the theorem assumes, measured on the programs that people run."""

from lastbit.audit.audit import run_audit as run_audit
from lastbit.audit.page import Audit as Audit, page as page, verdict as verdict
