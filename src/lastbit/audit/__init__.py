"""What the theorem assumes, measured on the programs that people run.

The package can be called: `lastbit.audit(model)` is the function `audit` of its module `audit`.
"""

import sys
from types import ModuleType
from typing import Any

from lastbit.audit.audit import audit as _audit, run_audit as run_audit
from lastbit.audit.drift import Drift as Drift, measure_drift as measure_drift
from lastbit.audit.page import Audit as Audit, render as render, verdict as verdict


class _Package(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Audit:
        return _audit(*arguments, **named)


sys.modules[__name__].__class__ = _Package
