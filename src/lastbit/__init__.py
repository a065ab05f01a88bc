"""Proved brackets on how far the last bit of one pixel can move a neural network's answer.

For users: `prove` a bracket, `check` a certificate, `audit` the runtimes that are installed,
`sweep` images for the largest change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lastbit.api import Checked as Checked, Verdict as Verdict, check as check, prove as prove
    from lastbit.audit.audit import audit as audit
    from lastbit.on_images import ImagesVerdict as ImagesVerdict, Sweep as Sweep, sweep as sweep

__version__ = "0.1.0"
__all__ = ["Checked", "ImagesVerdict", "Sweep", "Verdict", "audit", "check", "prove", "sweep"]
_PACKAGES = ("audit", "sweep")
"""Packages that can be called."""
_ON_IMAGES = ("ImagesVerdict", "Sweep")


def __getattr__(name: str) -> Any:
    """What users need is imported when it is used: the command line starts without it."""
    if name in _PACKAGES:
        return import_module(f"lastbit.{name}")
    if name in _ON_IMAGES:
        return getattr(import_module("lastbit.on_images"), name)
    if name in __all__:
        return getattr(import_module("lastbit.api"), name)
    raise AttributeError(f"module 'lastbit' has no attribute {name!r}")
