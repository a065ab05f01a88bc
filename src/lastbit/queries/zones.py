"""How the two copies' numbers at one place may be: a set that holds every pair that they can be.

Both kinds are cut by a comparison, met and joined, and never smaller than what is asserted. Pairs
of bytes are known exactly; of real numbers, bounds of each and of their difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lastbit.queries.syntax import Number
from lastbit_check.question import BYTES

Bounds = tuple[Fraction | float, Fraction | float]
"""Least and largest, each a fraction or infinite."""
EVERYTHING: Bounds = (-math.inf, math.inf)
_HOLDS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
          "==": np.equal, "!=": np.not_equal}  # fmt: skip
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Zone(Protocol):
    """Pairs (x, a) of numbers of the first and of the second copy."""

    def __and__(self, other: Self, /) -> Self: ...

    def __or__(self, other: Self, /) -> Self: ...

    @property
    def moves(self) -> bool:
        """Whether the two may differ."""
        ...

    @classmethod
    def where(cls, op: str, x: Number, a: Number, constant: Number) -> Self:
        """The pairs of which x times the one and a times the other, plus a constant, is ``op`` 0.

        x and a are not both 0.
        """
        ...


@dataclass(frozen=True, eq=False)
class ByteZone:
    """``table`` (256, 256) says of each pair of bytes whether it may be; rows are the first's.

    Equal ones are one object, so that meets and joins of the same two are made once.
    """

    table: NDArray[np.bool_]

    def __and__(self, other: ByteZone) -> ByteZone:
        return _met(self, other)

    def __or__(self, other: ByteZone) -> ByteZone:
        return _joined(self, other)

    @property
    def moves(self) -> bool:
        return bool(self.steps)

    @cached_property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """The pairs of two different bytes."""
        return tuple((int(x), int(a)) for x, a in np.argwhere(self.table) if x != a)

    @classmethod
    def where(cls, op: str, x: Number, a: Number, constant: Number) -> ByteZone:
        return _bytes_where(op, x, a, constant)


_KNOWN: dict[bytes, ByteZone] = {}


def _one(table: NDArray[np.bool_]) -> ByteZone:
    return _KNOWN.setdefault(np.packbits(table).tobytes(), ByteZone(table))


@cache
def _met(one: ByteZone, other: ByteZone) -> ByteZone:
    return _one(one.table & other.table)


@cache
def _joined(one: ByteZone, other: ByteZone) -> ByteZone:
    return _one(one.table | other.table)


@cache
def _bytes_where(op: str, x: Number, a: Number, constant: Number) -> ByteZone:
    whole = math.lcm(x.denominator, a.denominator, constant.denominator)
    factors = [int(number * whole) for number in (x, a, constant)]
    small = max(map(abs, factors)) < 2**48
    values = np.arange(BYTES).astype(np.int64 if small else object)  # integers of any length
    sums = factors[0] * values[:, None] + factors[1] * values + factors[2]
    return _one(_HOLDS[op](sums, 0).astype(bool))


ANY_BYTES = _one(np.ones((BYTES, BYTES), bool))


@dataclass(frozen=True)
class RealZone:
    """Bounds of the first number, of the second, and of the second less the first."""

    x: Bounds = EVERYTHING
    a: Bounds = EVERYTHING
    step: Bounds = EVERYTHING

    def __and__(self, other: RealZone) -> RealZone:
        return RealZone(*(
            (max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(self._all, other._all, strict=True)
        ))  # fmt: skip

    def __or__(self, other: RealZone) -> RealZone:
        return RealZone(*(
            (min(p[0], q[0]), max(p[1], q[1])) for p, q in zip(self._all, other._all, strict=True)
        ))  # fmt: skip

    @property
    def moves(self) -> bool:
        return self.step != (0, 0)

    @property
    def _all(self) -> tuple[Bounds, Bounds, Bounds]:
        return self.x, self.a, self.step

    @classmethod
    def where(cls, op: str, x: Number, a: Number, constant: Number) -> RealZone:
        """What is strict is taken for not; of x and a with other factors than 1 and -1, nothing."""
        if a == 0:
            return cls(x=_bounds(op, x, constant))
        if x == 0:
            return cls(a=_bounds(op, a, constant))
        return cls(step=_bounds(op, a, constant)) if x == -a else cls()


def _bounds(op: str, factor: Number, constant: Number) -> Bounds:
    """Of the numbers whose product with the factor, plus the constant, is ``op`` 0."""
    op = op if factor > 0 else _FLIPPED[op]
    end = Fraction(-constant) / factor
    if op == "!=":
        return EVERYTHING
    low = end if op in (">", ">=", "==") else -math.inf
    high = end if op in ("<", "<=", "==") else math.inf
    return low, high
