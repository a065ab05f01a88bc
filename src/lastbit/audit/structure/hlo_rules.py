"""What each operation of XLA's does, in float64."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lastbit.audit.structure.hlo_arranging import axes, gathered, padded, unknown, windowed
from lastbit.audit.structure.hlo_text import Instruction, numbers_in
from lastbit.audit.structure.hlo_trace import HloTrace
from lastbit.audit.structure.kernels import convolved, spread
from lastbit.audit.structure.layouts import laid_out, orders_of
from lastbit.audit.structure.tracing import Traced
from lastbit.operators import Sigmoid, float64_of
from lastbit.operators.gelu import Erf


def _moved(apply: Callable[[Instruction, np.ndarray], np.ndarray]) -> Callable[..., Traced]:
    def rule(found: HloTrace, i: Instruction, _: str, xs: list[Traced]) -> Traced:
        return found.tracing.copied("", lambda v: apply(i, v), xs[0])

    return rule


def _bitcast(found: HloTrace, i: Instruction, _: str, xs: list[Traced]) -> Traced:
    """The same numbers in memory under another shape, or with its axes in another order."""
    source = found.module.by_name[i.operands[0]]
    assert i.shape is not None
    assert source.shape is not None
    before, after = source.shape.order, i.shape.order
    stored = tuple(i.shape.axes[k] for k in after)

    def apply(v: np.ndarray) -> np.ndarray:
        return v.transpose(before).reshape(stored).transpose(np.argsort(after))

    return found.tracing.copied("", apply, xs[0])


def _broadcast(i: Instruction, v: np.ndarray) -> np.ndarray:
    kept = numbers_in(i.attributes.get("dimensions", ""))
    shape = [1] * len(axes(i))
    for k, axis in enumerate(kept):
        shape[axis] = v.shape[k]
    return np.broadcast_to(v.reshape(shape), axes(i))


def _sliced(i: Instruction, v: np.ndarray) -> np.ndarray:
    parts = re.findall(r"\[(\d+):(\d+)(?::(\d+))?\]", i.attributes["slice"])
    return v[tuple(slice(int(a), int(b), int(c or 1)) for a, b, c in parts)]


def _added(sign: float) -> Callable[..., Traced]:
    def rule(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
        return found.tracing.linear(what, lambda v: v[0] + sign * v[1], xs,
                                    sizes=lambda v: v[0] + v[1])  # fmt: skip

    return rule


def _negated(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    return found.tracing.linear(what, lambda v: -v[0], xs, sizes=lambda v: v[0])


def _times(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A product. Of a node and its curve, a factor may be folded into what makes the node."""
    for curve, other in (xs, xs[::-1]):
        if curve.curve and len(curve.atoms) == 1 and other.atoms and other.atoms != curve.atoms:
            (name,) = curve.atoms
            value = found.tracing.expected.of(name, 0).value
            for order in orders_of(other.value.shape, value.shape):
                if _multiple(other.value, laid_out(value, order, other.value.shape)):
                    return found.tracing.times(what, curve, replace(other, atoms=curve.atoms))
    return found.tracing.times(what, *xs)


def _divided(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    return found.tracing.divided(what, *xs)


def _curve(function: Callable[[Any], Any]) -> Callable[..., Traced]:
    def rule(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
        return found.tracing.curved(what, function, xs[0])

    return rule


def _clipped(apply: Callable[[list[np.ndarray]], np.ndarray]) -> Callable[..., Traced]:
    """The larger or smaller one of a value and constants."""

    def rule(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
        variable = [k for k, x in enumerate(xs) if not x.constant]
        if len(variable) != 1:
            found.tracing.refuse(what, "the larger or smaller one of two values")
            return xs[0]
        (k,) = variable
        before, after = ([x.value for x in some] for some in (xs[:k], xs[k + 1 :]))
        return found.tracing.curved(what, lambda v: apply([*before, v, *after]), xs[k])

    return rule


def _compared(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """Whether a value is larger or smaller than a constant; NaN is what is not itself."""
    apply = COMPARED[i.attributes["direction"]]
    if i.operands[0] == i.operands[1]:
        return found.tracing.curved(what, lambda v: apply(v, v).astype(float), xs[0])
    if not xs[1].constant:
        found.tracing.refuse(what, "a comparison of two values")
    return found.tracing.curved(what, lambda v: apply(v, xs[1].value).astype(float), xs[0])


def _selected(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    """One or the other, by a comparison: inside of a curve.

    The other may be a multiple of the one whose factor was folded into what that is made by.
    """
    if xs[1].node and xs[2].atoms != xs[1].atoms and _multiple(xs[2].value, xs[1].value):
        xs = [*xs[:2], replace(xs[2], atoms=xs[1].atoms)]
    return found.tracing.selected(what, *xs)


def _multiple(x: np.ndarray, of: np.ndarray) -> bool:
    """Whether one is a multiple of the other, by constants along one axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(of == 0, np.nan, x / of)
    if x.shape != of.shape or np.all(of == 0):
        return False
    for k in range(ratio.ndim):
        lines = np.moveaxis(ratio, k, 0).reshape(ratio.shape[k], -1)
        low, high = np.nanmin(lines, axis=1), np.nanmax(lines, axis=1)
        if lines.shape[1] > 1 and bool(np.all(high - low <= 2.0**-21 * np.abs(high))):
            return True
    return False


def _reduced(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A sum, or the largest number, along some axes, from 0 or minus infinity."""
    x, start = xs[:2]
    over = numbers_in(i.attributes["dimensions"])
    inner = found.module.computations[i.attributes["to_apply"].lstrip("%")].root.opcode
    if inner == "maximum":
        return found.tracing.curved(what, lambda v: v.max(axis=over), x)
    if inner != "add" or start.value.any() or len(xs) != 2:
        found.tracing.refuse(what, f"a reduction by {inner}")
    return found.tracing.linear(what, lambda v: v[0].sum(axis=over), (x,))


def _dot(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A product of matrices, one of them constant."""
    if not any(x.constant for x in xs):
        found.tracing.refuse(what, "a product of two values' matrices")
    over = [numbers_in(i.attributes[f"{side}_contracting_dims"]) for side in ("lhs", "rhs")]
    alike = [numbers_in(i.attributes.get(f"{side}_batch_dims", "{}")) for side in ("lhs", "rhs")]
    _precise(found, i, what)
    ranks = [x.value.ndim for x in xs]
    free = [[k for k in range(rank) if k not in (*o, *b)]
            for rank, o, b in zip(ranks, over, alike, strict=True)]  # fmt: skip

    def apply(v: Sequence[np.ndarray]) -> np.ndarray:
        left, right = (
            x.transpose((*b, *f, *o)).reshape(
                [x.shape[k] for k in b] + [-1, int(np.prod([x.shape[k] for k in o]))]
            )
            for x, b, f, o in zip(v, alike, free, over, strict=True)
        )
        return (left @ np.swapaxes(right, -1, -2)).reshape(axes(i))

    return found.tracing.linear(what, apply, xs)


def _precise(found: HloTrace, i: Instruction, what: str) -> None:
    algorithm = i.attributes.get("algorithm", "dot_f32_f32_f32")
    if algorithm != "dot_f32_f32_f32":
        found.tracing.refuse(what, f"the algorithm {algorithm}")


def _convolution(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A convolution of images by constant weights, or the other way round; axes in any order."""
    window = dict(part.split("=") for part in i.attributes["window"].strip("{}").split())
    plain = {*window} <= {"size", "stride", "pad", "rhs_reversal", "rhs_dilate", "lhs_dilate"}
    constant = [x for x in xs if x.constant]
    if not plain or not constant or "batch_group_count" in i.attributes:
        found.tracing.refuse(what, f"a convolution with {i.attributes['window']}")
        return unknown(i)
    _precise(found, i, what)
    strides = [int(n) for n in window.get("stride", "1x1").split("x")]
    pads = [[int(n) for n in p.split("_")] for p in window.get("pad", "0_0x0_0").split("x")]
    turned = [2 + k for k, n in enumerate(window.get("rhs_reversal", "0x0").split("x")) if n == "1"]
    dilated, between = (
        [int(n) for n in window.get(f"{side}_dilate", "1x1").split("x")] for side in ("rhs", "lhs")
    )
    inputs, _, rest = i.attributes["dim_labels"].partition("_")
    weights, _, outputs = rest.partition("->")
    entering, kernel = (
        [inputs.index(c) for c in "bf01"],
        [weights.index(c) for c in "oi01"],
    )
    leaving = ["bf01".index(c) for c in outputs]
    how: dict[str, Any] = {
        "strides": strides,
        "pads": (pads[0][0], pads[1][0], pads[0][1], pads[1][1]),
        "groups": int(i.attributes.get("feature_group_count", 1)),
    }

    def apply(v: Sequence[np.ndarray]) -> np.ndarray:
        weight = np.flip(spread(v[1].transpose(kernel), dilated), tuple(turned))
        return convolved(spread(v[0].transpose(entering), between), weight, **how).transpose(
            leaving
        )

    folded = (
        None if not xs[1].constant or turned else spread(xs[1].value.transpose(kernel), dilated)
    )
    return found.tracing.linear(what, apply, xs, weights=folded)


def _joined(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    axis = numbers_in(i.attributes["dimensions"])[0]
    if all(x.constant for x in xs):
        return found.tracing.constant(np.concatenate([x.value for x in xs], axis))
    return found.tracing.beside(what, xs, axis)


COMPARED = {"GE": np.greater_equal, "GT": np.greater, "LE": np.less_equal, "LT": np.less,
            "EQ": np.equal, "NE": np.not_equal}  # fmt: skip
RULES: dict[str, Callable[..., Traced]] = {
    "bitcast": _bitcast,
    "copy": _moved(lambda _, v: v),
    "convert": _moved(lambda _, v: v),
    "optimization-barrier": _moved(lambda _, v: v),
    "reshape": _moved(lambda i, v: v.reshape(axes(i))),
    "transpose": _moved(lambda i, v: v.transpose(numbers_in(i.attributes["dimensions"]))),
    "broadcast": _moved(_broadcast),
    "slice": _moved(_sliced),
    "reverse": _moved(lambda i, v: np.flip(v, numbers_in(i.attributes["dimensions"]))),
    "gather": gathered,
    "pad": padded,
    "reduce-window": windowed,
    "concatenate": _joined,
    "add": _added(1.0),
    "subtract": _added(-1.0),
    "negate": _negated,
    "multiply": _times,
    "divide": _divided,
    "maximum": _clipped(np.maximum.reduce),
    "minimum": _clipped(np.minimum.reduce),
    "compare": _compared,
    "select": _selected,
    "clamp": _clipped(lambda v: np.clip(v[1], v[0], v[2])),
    "exponential": _curve(np.exp),
    "exponential-minus-one": _curve(np.expm1),
    "log-plus-one": _curve(np.log1p),
    "logistic": _curve(float64_of(Sigmoid)),
    "tanh": _curve(np.tanh),
    "erf": _curve(float64_of(Erf)),
    "abs": _curve(np.abs),
    "sqrt": _curve(np.sqrt),
    "rsqrt": _curve(lambda v: 1 / np.sqrt(v)),
    "reduce": _reduced,
    "dot": _dot,
    "convolution": _convolution,
}
"""An operation that is not here is named, and the audit fails."""
