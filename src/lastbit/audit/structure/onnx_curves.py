"""Curves in what ONNX Runtime makes of a graph: operators, and activations fused to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lastbit.audit.structure.tracing import Traced, Tracing
from lastbit.operators import NAMED, float64_of
from lastbit.operators.gelu import gelu
from lastbit.operators.gelu_tanh import gelu_tanh
from lastbit_check.operators.elu import ALPHA, GAMMA


def leaky(slopes: Any, v: Any) -> Any:
    """A number where it is positive, else times a slope."""
    return np.where(v >= 0, v, slopes * v)


def elu(v: Any, a: float = 1.0, g: float = 1.0, d: float = 1.0) -> Any:
    """g v where it is positive, else g a (exp(v / d) - 1)."""
    return np.where(v >= 0, g * v, g * a * np.expm1(np.minimum(v, 0.0) / d))


def _gelu(v: Any, approximate: bytes = b"none") -> Any:
    return gelu_tanh(v) if approximate == b"tanh" else gelu(v)


FIFTH, HUNDREDTH = (float(np.float32(x)) for x in (0.2, 0.01))
FAMILIES: Mapping[str, Callable[..., Any]] = {
    "Celu": lambda v, alpha=1.0: elu(v, alpha, 1.0, alpha),
    "Elu": lambda v, alpha=1.0: elu(v, alpha),
    "Gelu": _gelu,
    "HardSigmoid": lambda v, alpha=FIFTH, beta=0.5: np.clip(alpha * v + beta, 0.0, 1.0),
    "LeakyRelu": lambda v, alpha=HUNDREDTH: leaky(alpha, v),
    "Selu": lambda v, alpha=ALPHA, gamma=GAMMA: elu(v, alpha, gamma),
}
"""Curves by parameters, which are the operator's attributes."""
CURVED = {name: float64_of(curve) for name, curve in NAMED.items() if name not in FAMILIES}
"""The curves that are operators of the file format, and have none."""


def _plain(name: str) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
        if options:
            t.refuse(what, f"{name} with the parameters {options}")
        return t.curved(what, CURVED[name], xs[0])

    return rule


def _of_family(name: str) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
        return t.curved(what, partial(FAMILIES[name], **options), xs[0])

    return rule


def _prelu(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    return t.curved(what, partial(leaky, xs[1].value), xs[0])


def _clip(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    return t.curved(what, lambda v: np.clip(v, *options["bounds"]), xs[0])


def _power(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    """By a constant number, which the checker has read."""
    x, n = xs
    if not n.constant or n.value.size != 1:
        t.refuse(what, "a power by what is no number")
    exponent = float(n.value.ravel()[0])
    return x if exponent == 1 else t.curved(what, lambda v: v**exponent, x)


def _reciprocal(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    return t.divided(what, t.constant(np.ones(1)), xs[0])


NONE = (-np.inf, np.inf)
FUSED: Mapping[str, Callable[..., Any]] = {**CURVED, **FAMILIES, "Clip": np.clip}
"""Activations of a value and their parameters, in order or by name."""
PREFIX = "activation_"


def activated(t: Tracing, what: str, made: Traced, options: dict[str, Any]) -> list[Traced]:
    """What the activation that is fused to an operator makes of its result."""
    name = options.get("activation", b"").decode()
    if not name:
        return [made]
    named = {k.removeprefix(PREFIX): v for k, v in options.items() if k.startswith(PREFIX)}
    given = named.pop("params", [])
    if name not in FUSED or (name in CURVED and (given or named)):
        t.refuse(what, f"the activation {name} {given or named or ''}".rstrip())
        return []
    return [t.curved(f"{what} {name}", lambda v: FUSED[name](v, *given, **named), made)]


CURVE_RULES: dict[str, Callable[..., Traced]] = {
    **{name: _plain(name) for name in CURVED},
    **{name: _of_family(name) for name in FAMILIES},
    "PRelu": _prelu,
    "Clip": _clip,
    "Pow": _power,
    "Reciprocal": _reciprocal,
}
