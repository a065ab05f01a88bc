"""Curves in what ONNX Runtime makes of a graph: operators, and activations fused to others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lastbit.audit.structure.tracing import Traced, Tracing
from lastbit.operators import NAMED, float64_of
from lastbit.operators.hard import SIXTH

CURVED = {name: float64_of(curve) for name, curve in NAMED.items()}
"""The curves that are operators of the file format."""
PARAMETERS: dict[str, list[float]] = {"HardSigmoid": [float(SIXTH), 0.5]}


def _curve(name: str) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
        _plain(t, what, name, [options[k] for k in ("alpha", "beta") if k in options])
        return t.curved(what, CURVED[name], xs[0])

    return rule


def _plain(t: Tracing, what: str, name: str, given: list[float]) -> None:
    """The parameters are those of the one function of this name that is read."""
    if given != PARAMETERS.get(name, []):
        t.refuse(what, f"{name} with the parameters {given}")


def _leaky(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """LeakyRelu, or PRelu with its slopes."""
    slopes = xs[1].value if len(xs) > 1 else options.get("alpha", 0.01)
    return t.curved(what, partial(leaky, slopes), xs[0])


def _clip(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    return t.curved(what, lambda v: np.clip(v, *options["bounds"]), xs[0])


def leaky(slopes: Any, v: Any) -> Any:
    """A number where it is positive, else times a slope."""
    return np.where(v >= 0, v, slopes * v)


NONE = (-np.inf, np.inf)
FUSED: dict[str, Callable[..., Any]] = {
    "LeakyRelu": leaky,
    "Clip": lambda low, high, v: np.clip(v, low, high),
}
"""Activations by their parameters and a value."""


def activated(t: Tracing, what: str, made: Traced, options: dict[str, Any]) -> list[Traced]:
    """What the activation that is fused to an operator makes of its result."""
    name = options.get("activation", b"").decode()
    if not name:
        return [made]
    given = [*options.get("activation_params", [])]
    if name in FUSED:
        return [t.curved(f"{what} {name}", partial(FUSED[name], *given), made)]
    if name not in CURVED:
        t.refuse(what, f"the activation {name}")
        return []
    _plain(t, what, name, given)
    return [t.curved(f"{what} {name}", CURVED[name], made)]


CURVE_RULES: dict[str, Callable[..., Traced]] = {
    **{name: _curve(name) for name in CURVED},
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Clip": _clip,
}
