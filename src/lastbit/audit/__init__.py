"""What the theorem assumes, measured on the programs that people run."""

from lastbit.audit.audit import run_audit as run_audit
from lastbit.audit.drift import Drift as Drift, measure_drift as measure_drift
from lastbit.audit.page import Audit as Audit, render as render, verdict as verdict
