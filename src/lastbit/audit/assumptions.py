"""The named assumptions on elementary functions, and how far an implementation is from them.

The numbers are the checker's own (`lastbit_check.operators.curves` and, for exp,
`lastbit_check.derive.conclude`). An error counts as the *share* of what is assumed: at most 1 meets
the assumption. Shares are never rounded down, and a result that is no number has an infinite share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import cast

import numpy as np

from lastbit.audit.exact import true_curve
from lastbit.audit.reference import FUNCTIONS, Float64Array, FunctionName, Reference, reference
from lastbit.float32.rounding import SMALLEST_NORMAL
from lastbit.graph import Float32Array
from lastbit.operators import CURVES, curve_of
from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.assumptions import OF_EVERY_NETWORK
from lastbit_check.derive.conclude import EXP_ERROR
from lastbit_check.network import Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import (
    AT_ZERO,
    ERROR_AT_ZERO,
    NEAR_ZERO,
    CurveKind,
    curve_of as rules_of,
)

ETA = float(SMALLEST_NORMAL)
_DOWN = 1 - 2.0**-40
"""Makes a computed allowance smaller than the real one: a few roundings in float64 are 2^-50."""


def assumption(function: FunctionName) -> str:
    """The name, in certificates, of what is assumed of a function."""
    everything = (*OF_EVERY_NETWORK, *(name for kind in KINDS.values() for name in kind.assumed))
    (name,) = (name for name in everything if name.startswith(f"{function}-"))
    return name


def units(function: FunctionName, *, near: bool) -> tuple[float, str]:
    """What a share of 1 is: a number and its unit (u = 2^-24)."""
    kind = curve_kind(function)
    if kind is None:
        return float(EXP_ERROR / UNIT), "u exp(x)"
    if kind.relative:
        return float(kind.error), f"u|{function}(z)|"
    half = 2 if near and kind.precise else 1
    more = f" + {kind.also}u|z|" if kind.also else ""
    return float(kind.error / half), ("u|z|" if kind.grows else "u") + more


def curve_kind(function: FunctionName) -> CurveKind | None:
    """The checker's rules of a function; None of exp, which is no curve of its own."""
    if function not in CURVES:
        return None
    plain = tuple(np.full(1, value, np.float32) for value in CURVES[function].plain)
    return rules_of(KINDS[function], Node("", function, (), (1, 1, 1), parameters=plain))


def allowed(
    function: FunctionName, z: Float64Array, true: Reference, *, near: bool
) -> Float64Array:
    """The error that is assumed at most, rounded down; `near` where all |z| <= 2^-6.

    Of sigmoid and SiLU less is assumed where |z| <= 2^-27, as part of what is near.
    """
    kind = curve_kind(function)
    rate = np.full_like(z, float(Fraction(units(function, near=near)[0]) * UNIT))
    if kind is None:
        return (rate * np.maximum(true.value - true.error, 0.0) + ETA) * _DOWN
    more = np.abs(z) * float(kind.also * UNIT)
    if kind.relative:
        return (rate * np.maximum(np.abs(true.value) - true.error, 0.0) + more + ETA) * _DOWN
    if near and kind.precise:
        rate[np.abs(z) <= float(AT_ZERO)] = float(ERROR_AT_ZERO * UNIT)
    return (rate * np.abs(z) + more + ETA) * _DOWN if kind.grows else (rate + more) * _DOWN


def allowed_of(node: Node, z: Float64Array, off: Float64Array | float = 0.0) -> Float64Array:
    """The error that is assumed at most of a curve, read within ``off`` of z."""
    curve = rules_of(KINDS[node.op], node)
    assert curve is not None
    reach = np.abs(z) + off
    if curve.precise:
        return allowed_anywhere(cast("FunctionName", node.op), reach)
    rate, more = (float(count * UNIT) * _DOWN for count in (curve.error, curve.also))
    size = reach if curve.grows else np.ones_like(reach)
    if curve.relative:
        found = true_curve(node, z)
        steepest = curve_of(node).steepness_at(z, np.broadcast_to(off, z.shape))
        size = np.maximum(np.abs(found.value) - found.error, 0.0) + steepest * off
    return size * rate + reach * more + ETA * (1 if node.op in FUNCTIONS else float(curve.gain))


def allowed_anywhere(function: FunctionName, reach: Float64Array) -> Float64Array:
    """Likewise, of a function that has a name."""
    near, far = (
        allowed(function, reach, reference(function, reach), near=near) for near in (True, False)
    )
    return np.where(reach <= float(NEAR_ZERO), near, far)


@dataclass(frozen=True)
class Peak:
    """The largest of some numbers, and the argument where it stands (0 of no numbers)."""

    value: float = 0.0
    at: float = 0.0

    def joined(self, other: Peak) -> Peak:
        return self if self.value >= other.value else other


@dataclass(frozen=True)
class Tally:
    """What an implementation did at some arguments.

    Attributes:
        count: finite arguments that were held against the assumption.
        near: largest share where |z| <= 2^-6.
        far: largest share elsewhere.
        ulps: largest error in units of the last place of the true value (as a float32).
        zero: largest argument <= -1 at which the result is 0; -inf if none.
        top: smallest argument >= 1 at which the result is 1, z (of a function that grows like it)
            or infinite (exp); inf if none.
        nan_lost: NaN arguments whose result is a number.
    """

    count: int = 0
    near: Peak = Peak()
    far: Peak = Peak()
    ulps: Peak = Peak()
    zero: float = -math.inf
    top: float = math.inf
    nan_lost: int = 0

    @property
    def meets(self) -> bool:
        """Whether the assumption holds at every argument that was tried."""
        return self.count > 0 and self.near.value <= 1 and self.far.value <= 1

    def joined(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.count + other.count,
            self.near.joined(other.near),
            self.far.joined(other.far),
            self.ulps.joined(other.ulps),
            max(self.zero, other.zero),
            min(self.top, other.top),
            self.nan_lost + other.nan_lost,
        )

    def to_json(self) -> dict[str, list[str] | str | int]:
        """Numbers as hexadecimal floats."""
        plain: dict[str, list[str] | str | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Peak):
                plain[field.name] = [value.value.hex(), value.at.hex()]
            else:
                plain[field.name] = value.hex() if isinstance(value, float) else value
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, list[str] | str | int]) -> Tally:
        """Inverse of `to_json`; KeyError, TypeError or ValueError for anything else."""
        read = {}
        for field in fields(cls):
            value = plain[field.name]
            if isinstance(value, list):
                number, at = (float.fromhex(v) for v in value)
                read[field.name] = Peak(number, at)
            else:
                read[field.name] = float.fromhex(value) if isinstance(value, str) else value
        return cls(**read)


class Judge:
    """One function at some arguments: the reference is computed once for all implementations."""

    def __init__(self, function: FunctionName, z: Float32Array) -> None:
        self.function, self.z = function, z
        kind = curve_kind(function)
        finite = np.isfinite(z)
        if kind is not None:
            finite &= np.abs(z) <= float(kind.most)
        self.nan = np.flatnonzero(np.isnan(z))
        judged = finite & (z <= 0) if function == "exp" else finite
        close = judged & (np.abs(z) <= float(NEAR_ZERO)) & (function != "exp")
        grows = kind is not None and (kind.grows or function in ("elu", "softplus"))
        self.limit = z if grows else np.float32(1 if kind else np.inf)
        self.parts = [
            _Part(function, z, index, near=near)
            for index, near in ((_where(close), True), (_where(judged & ~close), False))
            if index is not None
        ]

    def tally(self, y: Float32Array) -> Tally:
        """What an implementation's results `y` amount to."""
        found = Tally(nan_lost=int(np.count_nonzero(~np.isnan(y[self.nan]))))
        for part in self.parts:
            found = found.joined(part.tally(y))
        z = self.z
        low, high = z <= -1, z >= 1
        if np.any(low):
            zeros = z[low & (y == 0)]
            found = found.joined(Tally(zero=float(np.max(zeros, initial=-np.inf))))
        if np.any(high):
            tops = z[high & (y == self.limit)]
            found = found.joined(Tally(top=float(np.min(tops, initial=np.inf))))
        return found


def _where(mask: np.ndarray) -> slice | np.ndarray | None:
    """An index for the True entries: a slice if all are, None if none is."""
    count = int(np.count_nonzero(mask))
    if count in (0, mask.size):
        return slice(None) if count else None
    return np.flatnonzero(mask)


class _Part:
    """Arguments that are judged by one formula."""

    def __init__(
        self, function: FunctionName, z: Float32Array, index: slice | np.ndarray, *, near: bool
    ) -> None:
        self.index, self.near = index, near
        self.z = z[index]
        z64 = self.z.astype(np.float64)
        self.true = reference(function, z64)
        self.per_allowed = 1.0 / allowed(function, z64, self.true, near=near)
        self.per_ulp = _per_ulp(self.true.value)

    def tally(self, y: Float32Array) -> Tally:
        """Errors are |y - value| + error, upwards; NaN counts as infinite."""
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(y[self.index] - self.true.value) + self.true.error
            share = self._peak(error * self.per_allowed)
            ulps = self._peak(error * self.per_ulp)
        none = Peak()
        near, far = (share, none) if self.near else (none, share)
        return Tally(self.z.size, near, far, ulps)

    def _peak(self, values: Float64Array) -> Peak:
        k = int(np.argmax(values))  # the first NaN, if there is one
        value = float(values[k])
        return Peak(math.inf if math.isnan(value) else value, float(self.z[k]))


def _per_ulp(value: Float64Array) -> Float64Array:
    """1 / ulp of float32 numbers of the size of `value`: 2^(23-e) for 2^e <= |value| < 2^(e+1)."""
    exponent = (value.view(np.int64) >> 52) & 0x7FF
    exponent = np.clip(exponent, 1023 - 126, 1023 + 127)
    return ((2046 + 23 - exponent) << 52).view(np.float64)
