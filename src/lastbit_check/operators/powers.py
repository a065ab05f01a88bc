"""Pow by small whole numbers, products of a tensor with itself, and constants by a tensor.

    z^n, n = 2, 3 or 4,    c / z.

What is assumed of z^n: within n u |z^n| + 2^-126, as n - 1 products in any order or as a function.
c / z is a quotient, or the product of c and a rounded reciprocal: 2u |c / z|, and nothing is
assumed of it.

Factors that come last in what is read may be raised to the power, too, and be applied to what it
makes, or where that is read: (y k)^n = y^n k^n, c / (y k) = (c / k) / y. With their r roundings
(and two more of a mean) that is another n (2 r + 2)u of the value. They are not larger than 2^16
nor smaller than its inverse together, so that no underflow grows beyond u.

Neither is a curve on all numbers: c / z is refused where z may be 0, or nearly.

Map: powers; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.files.operators import BINARY, LISTED, UNARY, F, Form
from lastbit_check.network import F32, Node, growth
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import by_channel
from lastbit_check.operators.curves import CurveKind, Family, on_grid
from lastbit_check.operators.forms import Made, Value
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before
from lastbit_check.operators.seen import Seen
from lastbit_check.verdict import require

RECIPROCAL_ERROR = Fraction(2)
MOST_POWER, MOST_FACTOR = 4, Fraction(2) ** 16
LEAST, MOST = 2.0**-24, 2.0**24  # of divisors, and of constants that are divided


def power(reader: Reader, o: Operator, x: Seen) -> Seen:
    """By a constant number: 1 is the tensor itself."""
    require(isinstance(reader.values[o.inputs[0]], Seen), "model.operator", "of a constant")
    given = reader.tensor(o.inputs[1]).astype(np.float32)
    exponents = np.unique(given)
    whole = exponents.size == 1 and float(exponents[0]) in (1, -1, *range(2, MOST_POWER + 1))
    told = f"by {exponents[0] if exponents.size == 1 else 'several numbers'}"
    require(whole, "model.operator", f"{told}, not by one of -1, 1, 2, ..., {MOST_POWER}")
    x.inside(given)  # it fits beside the tensor
    n = int(exponents[0])
    if n == 1:
        return x
    return _on(x, powered(o, x.node, n) if n > 1 else _divided(reader, o, x.node, _ones(x.node)))


def raised(o: Operator, x: Node, s: Node) -> Node | None:
    """The power that the product of a node and a power of it is, if that is one."""
    if s.name == x.name:
        n = 2
    elif s.op == "power" and s.inputs == (x.name,):
        n = int(s.parameters[0][0]) + 1
    else:
        return None
    return powered(o, x, n) if n <= MOST_POWER and growth(x.trailing) ** n <= MOST_FACTOR else None


def powered(o: Operator, x: Node, n: int) -> Node:
    """Parameters: n, what folding costs, how much larger it may be without factors of x."""
    return _made(o, x, "power", np.full(x.shape[0], n, np.float32), n)


def reciprocal(reader: Reader, o: Operator, x: Node) -> Node:
    """One by a number."""
    return _divided(reader, o, x, _ones(x))


def over(reader: Reader, o: Operator, x: Seen) -> Seen:
    """A constant by a tensor."""
    values = x.inside(reader.floats(o.inputs[0]))
    require(by_channel(values), "model.operator", "of constants that differ from place to place")
    return _on(x, _divided(reader, o, x.node, values[:, 0, 0]))


def _on(x: Seen, node: Node) -> Seen:
    return Seen(node, x.sizes, x.order)


def _ones(x: Node) -> F32:
    return np.ones(x.shape[0], np.float32)


def _divided(reader: Reader, o: Operator, x: Node, c: F32) -> Node:
    """Parameters: c, what folding costs, how much larger it may be without factors of x."""
    not_a_quotient(reader, x)
    size = np.abs(c.astype(np.float64))
    right = bool(np.all((size == 0) | ((size >= LEAST) & (size <= MOST))))
    require(right, "model.operator", "of constants that are not between 2^-24 and 2^24")
    return _made(o, x, "reciprocal", c, 1)


def not_a_quotient(reader: Reader, x: Node) -> None:
    """Of a quotient's operand: (a / b) / c may be a / (b c), and a / (b / c) a c / b."""
    while x.sum is not None and len(x.sum.parts) == 1 and not x.sum.constants:
        if not x.sum.parts[0].copies:
            break
        x = reader.seen(x.sum.parts[0].source).node
    require(x.op not in ("reciprocal", "quotient"), "model.operator", "of a quotient")


def _made(o: Operator, x: Node, op: str, own: F32, n: int) -> Node:
    grown = growth(x.trailing) ** n
    require(grown <= MOST_FACTOR, "model.operator", "behind factors beyond 2^16")
    folded = n * (2 * roundings_before(x) + 2)
    grows = np.full(x.shape[0], math.ceil(grown), np.float32)
    return made(o, op, x, parameters=(own, folded.astype(np.float32), grows))


def _folding(node: Node) -> int:
    return int(np.max(node.parameters[1]))


def power_curve(node: Node) -> CurveKind:
    """z^n; with n odd it rises, with n even it turns at 0."""
    n = int(node.parameters[0][0])

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        return _monomial(lo, hi, n, 1.0)

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        return _monomial(lo, hi, n - 1, float(n))

    most = Fraction(2) ** (96 // n)
    return CurveKind(
        values, slopes, Fraction(n + _folding(node)), grows=False, at_zero=_none(), turn=None,
        relative=True, most=most, gain=2 * MOST_FACTOR,
    )  # fmt: skip


def _monomial(lo: Fix, hi: Fix, n: int, by: float) -> tuple[Fix, Fix]:
    """Between the ends, and 0 where an even power turns."""
    a, b = (np.ldexp(z.n, -z.e) for z in (lo, hi))
    ends: Ints = np.sort([by * a**n, by * b**n], axis=0)
    crosses = (a <= 0) & (b >= 0) if n % 2 == 0 else np.zeros(a.shape, np.bool_)
    least: Ints = ends[0] * ~(crosses & (ends[0] > 0))
    return _outwards(least, ends[1])


def reciprocal_curve(node: Node) -> CurveKind:
    """c / z, for all z of one sign, and not too small."""
    c: Ints = node.parameters[0].astype(np.float64).reshape(-1, 1, 1, 1)

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        a, b = away_from_zero(lo, hi)
        return _outwards(*np.sort([c / a, c / b], axis=0))

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        a, b = away_from_zero(lo, hi)
        return _outwards(*np.sort([-c / (a * a), -c / (b * b)], axis=0))

    return CurveKind(
        values, slopes, RECIPROCAL_ERROR + _folding(node), grows=False, at_zero=_none(), turn=None,
        relative=True, singular=True, most=Fraction(MOST),
    )  # fmt: skip


def away_from_zero(lo: Fix, hi: Fix) -> tuple[Ints, Ints]:
    """The ends of intervals of divisors. Rule finite.values: none may be 0, or nearly."""
    a, b = (np.ldexp(z.n, -z.e) for z in (lo, hi))
    apart = np.all(((a >= LEAST) | (b <= -LEAST)) & (np.maximum(-a, b) <= MOST))
    require(apart, "finite.values", "a divisor may be 0, or beyond 2^-24 and 2^24")
    return a, b


def _outwards(low: Ints, high: Ints) -> tuple[Fix, Fix]:
    """Beyond what a few roundings in float64 may be off: here 2^-48 relatively."""
    below, above = low - np.abs(low) * 2.0**-48, high + np.abs(high) * 2.0**-48
    return on_grid(below, 60, up=False), on_grid(above, 60, up=True)


def _none() -> Fix:
    return Fix(np.zeros(1), ZERO_GRID)


@dataclass(frozen=True)
class Raised(Family):
    """What factors of what is read may be taken out of."""

    def value(self, setting: Setting, sources: list[Value], spread: Fix) -> Made:
        """That of the curve; without those factors it may be so much larger."""
        grows = Fraction(float(setting.node.parameters[2][0]))
        return super().value(setting, sources, spread)._replace(before=(Fraction(0), grows))


RULES = {
    "Pow": Rule({1: power}, (2,)),
    "Reciprocal": Rule({1: reciprocal}, by_number=True),
}
FORMS = {"Pow": {7: BINARY, 12: Form((F, (*F, *LISTED)), 2)}, "Reciprocal": {7: UNARY}}
KINDS = {
    "power": Raised(power_curve, ("power-relative-nu",)),
    "reciprocal": Raised(reciprocal_curve),
}
