"""Sums that use up what `Layer.rounding` charges: the weights, values, trees that are worst for it.

The ranges are chosen last: every |x| is exactly its bound, and the whole is exactly what it is, so
that nothing but the rule itself stands between an error and its bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np

from adversaries.charged import Rule, rounding
from adversaries.trees import (
    MOST_TERMS,
    Term,
    drift,
    exact_sum,
    fraction,
    integer,
    nudged,
    rounded,
    terms_of,
    worst,
)
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Constant, Node, Part, Sum as Terms
from lastbit_check.operators.layers import Layer, layer_of
from lastbit_check.operators.sums import sum_underflow

UNIT = Fraction(1, 2**24)
U = float(UNIT)
MORE = nudged(U, 1)  # just above half a unit in the last place of 1
SMALLEST = 2.0**-126
GRID = 48  # ranges are rounded up to multiples of 2^-48


@dataclass(frozen=True)
class Sum:
    """weights (n,) times values (n,), and constants.

    ``parts`` says how many of the products belong to each convolution that has joined the sum; by
    default there is one. A product with 1 may be that of a residual.
    """

    weights: tuple[float, ...]
    values: tuple[float, ...]
    constants: tuple[float, ...] = ()
    parts: tuple[int, ...] = ()

    @property
    def terms(self) -> list[Term]:
        """Those that are not 0."""
        found = terms_of(self.weights, self.values)
        found += [Term(integer(c), integer(c)) for c in self.constants]
        return [t for t in found if t.exact]

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.parts or (len(self.weights),)

    @property
    def layer(self) -> Layer:
        return _layer(self.weights, self.constants, self.lengths)

    def charged(self, rule: Rule = rounding) -> Fraction:
        """What a rule charges if the values are as large as can be, and the whole as it is."""
        reach, reaches = np.ceil(np.ldexp(np.abs(self.values), GRID)).reshape(-1, 1, 1, 1), []
        for length in self.lengths:
            reaches.append(Fix(reach[:length], GRID))
            reach = reach[length:]
        whole = np.array(float(-(-abs(exact_sum(self.terms)) >> 200 - GRID)))
        return rule(self.layer, reaches, Fix(whole.reshape(1, 1, 1, 1), GRID)).largest()

    def share(self, rule: Rule = rounding) -> float:
        """The worst error of binary32, over trees and fused multiply-adds, as a share of that."""
        return float(worst(self.terms) / self.charged(rule))


@cache
def _layer(
    weights: tuple[float, ...], constants: tuple[float, ...], lengths: tuple[int, ...]
) -> Layer:
    parts, left, shapes = list[Part](), [*weights], dict[str, tuple[int, int, int]]()
    for k, length in enumerate(lengths):
        numbers, left, name = left[:length], left[length:], f"x{k}"
        parts.append(Part(name, np.array(numbers, np.float32).reshape(1, length, 1, 1)))
        shapes[name] = (length, 1, 1)
    what = Terms((*parts,), tuple(Constant(np.array([c], np.float32)) for c in constants))
    return layer_of(Node("sum", "sum", (*shapes,), (1, 1, 1), sum=what), shapes)


@cache
def near_tie() -> tuple[float, float]:
    """A weight of 20 bits and a value of 24 whose product is as little as can be above 1 + 2^-24.

    Found among all weights from 1 to 2: the products of integers next above 2^43 + 2^19.
    """
    weights, target = np.arange(2**19 + 1, 2**20), 2**43 + 2**19
    values = -(-target // weights)
    over = weights * values - target
    best = int(np.argmin(np.where(over > 0, over, target)))
    return float(np.ldexp(weights[best], -19)), float(np.ldexp(values[best], -24))


def ladder(n: int, *, power: int = 0) -> Sum:
    """1 and n - 1 halves of its last place: each addition rounds up by as much. Exact products."""
    scales = tuple(2.0 ** (power * (k % 3)) for k in range(n))
    values = [1.0, *[MORE] * (n - 1)]
    return Sum(scales, tuple(v / s for v, s in zip(values, scales, strict=True)))


def cancelled(n: int, left: float = 0.0) -> Sum:
    """The ladder, then what takes nearly all of it away: partial sums are half of sum m_i.

    ``left`` of the whole remains.
    """
    return Sum((1.0,) * n, (1.0, *[MORE] * (n - 2), left - 1.0))


def rounded_products(n: int) -> Sum:
    """The ladder with products that round up too, each by half of its last place."""
    weight, value = near_tie()
    return Sum((weight,) * n, (value, *[value * U] * (n - 1)))


def with_zeros(n: int) -> Sum:
    """The ladder among weights that are 0, whose values are large."""
    plain = ladder(n)
    weights = [w for pair in zip(plain.weights, (0.0,) * n, strict=True) for w in pair]
    values = [x for pair in zip(plain.values, (1.0,) * n, strict=True) for x in pair]
    return Sum(tuple(weights), tuple(values))


def biased(n: int) -> Sum:
    """The ladder on a bias: the products are what climbs on it."""
    return Sum((1.0,) * (n - 1), (MORE,) * (n - 1), (1.0,))


def shifted(n: int) -> Sum:
    """The ladder on one of two constants, which the last one takes away again."""
    return Sum((1.0,) * n, (MORE,) * n, (1.0, -0.75))


def joined(n: int, others: int = 1) -> Sum:
    """The ladder on a residual: a convolution's terms, one after the other, added to it.

    ``others`` is how many further convolutions have joined, with a term each.
    """
    return Sum(
        (1.0,) * (n + others), (1.0, *[MORE] * (n + others - 1)),
        parts=(1, n - 1, *[1] * others),
    )  # fmt: skip


def random_sum(seed: int, n: int, bits: int = 20) -> Sum:
    """Nothing special: weights of so many bits, values of 24."""
    random = np.random.default_rng(seed)
    weights = np.ldexp(np.rint(np.ldexp(random.normal(size=n), bits - 3)), 3 - bits)
    values = random.normal(size=n).astype(np.float32)
    return Sum(tuple(weights.tolist()), tuple(values.tolist()))


def neighbours(case: Sum, random: np.random.Generator) -> Iterator[Sum]:
    """Endless: a value moved by some last places, doubled, halved, negated, or made tiny."""
    while True:
        k = int(random.integers(len(case.values)))
        x, values = case.values[k], list(case.values)
        match int(random.integers(6)):
            case 0 | 1 | 2:
                values[k] = nudged(x, int(random.integers(-3, 4)) << int(random.integers(20)))
            case 3:
                values[k] = x * float(random.choice([2.0, 0.5]))
            case 4:
                values[k] = -x
            case _:
                values[k] = float(np.float32(random.choice([U, 1.0]) * random.uniform(0.5, 2)))
        if 2.0**-30 < abs(values[k]) < 2.0**4:
            yield replace(case, values=tuple(values))


def climbed(case: Sum, seed: int, steps: int) -> tuple[float, Sum]:
    """A local search for the largest share; every case on its way has to be within its bound."""
    random = np.random.default_rng(seed)
    best = case.share()
    for _ in range(steps):
        tried = next(neighbours(case, random))
        share = tried.share()
        assert share <= 1, tried
        if share >= best:
            case, best = tried, share
    return best, case


def greedy(seed: int, n: int, part: float = 0.5) -> Sum:
    """Any weights and ranges, as a layer has them; only the last bits of the values are chosen.

    A chain: a ``part`` of the magnitudes up, the largest first, then down, the smallest first, so
    that partial sums stay high. Of each value the 64 numbers next below its range are tried, and
    the one is taken with which product and addition err most upwards.
    """
    plain, total, taken = random_sum(seed, n), 0, dict[int, float]()
    reach = {
        k: abs(w * x) for k, (w, x) in enumerate(zip(plain.weights, plain.values, strict=True))
    }
    order = sorted(reach, key=lambda k: -reach[k])
    top = part * sum(reach.values())
    up = [k for i, k in enumerate(order) if i == 0 or sum(reach[j] for j in order[: i + 1]) <= top]
    for k in [*up, *reversed([k for k in order if k not in up])]:
        w, sign = plain.weights[k], 1 if k in up else -1
        tries = [nudged(abs(plain.values[k]), -j) * np.sign(w) * sign for j in range(64)]
        terms = terms_of([w] * len(tries), tries)
        off = [rounded(total + t.rounded) - total - t.exact for t in terms]
        best = int(np.argmax([float(fraction(v)) for v in off]))
        taken[k], total = float(tries[best]), rounded(total + terms[best].rounded)
    order = [*taken]
    return Sum(tuple(plain.weights[k] for k in order), tuple(taken[k] for k in order))


def second_order(n: int, value: float = U, rule: Rule = rounding) -> tuple[float, float]:
    """1 and n - 1 times ``value``, where every operation errs by exactly u of its result.

    Binary32 cannot: an addition errs by no more than the smaller of its operands. Returns the whole
    error as a share of the bound, and what is of second order in it as a share of the term for
    that. Products round, and all terms have one sign.
    """
    case = Sum((1 + 2.0**-12,) * n, (1.0, *[value] * (n - 1)))
    terms = [fraction(t.exact) for t in case.terms]
    if n <= MOST_TERMS:
        error = drift(terms, [True] * n, UNIT)
    else:
        total = terms[0] * (1 + UNIT)
        for t in terms[1:]:
            total = (total + t * (1 + UNIT)) * (1 + UNIT)
        error = total - sum(terms)
    h, partial = n + 2, [sum(terms[:k], Fraction(0)) for k in range(2, n + 1)]
    first = UNIT * (sum(partial) + sum(terms))
    later = Fraction(1004, 1000) * h * h * UNIT * UNIT * sum(terms)
    return float(error / case.charged(rule)), float((error - first) / later)


def flushed(n: int) -> tuple[Fraction, Fraction, Fraction]:
    """Products with a large power of two of values that are read as 0, just below 2^-126.

    Returns the error, what the rounding rule charges, and what underflow is charged with.
    """
    layer, value, power = _layer((2.0**60,) * n, (), (n,)), nudged(SMALLEST, -1), Fraction(2) ** 60
    reach = Fix(np.full((n, 1, 1, 1), 1.0), 126)
    charged = rounding(layer, [reach], Fix(np.full((1, 1, 1, 1), float(n)), 66))
    lost = sum_underflow(layer, reach.largest())
    return n * power * Fraction(value), charged.largest(), lost.largest()


CASES: dict[str, dict[str, Sum]] = {
    "partial sums up to (M + F) / 2": {f"{n} terms": cancelled(n) for n in (3, 5, 7, 16, 40)},
    "the whole up to F": {f"{n} terms": cancelled(n, 0.25) for n in (4, 7, 16, 40)},
    "exact products": {f"{n} terms": ladder(n, power=3) for n in (2, 4, 7, 25)},
    "products that round": {f"{n} terms": rounded_products(n) for n in (1, 2, 4, 7, 25)},
    "terms that are not 0": {f"{n} of {2 * n} terms": with_zeros(n) for n in (2, 4, 7)},
    "a bias": {f"{n - 1} products": biased(n) for n in (3, 7, 25)},
    "two constants": {f"{n} products": shifted(n) for n in (2, 5, 25)},
    "a residual": {f"{n - 1} products, a residual": joined(n, 0) for n in (3, 7, 25)},
    "several parts": {f"{n + 1} products of 3 parts": joined(n) for n in (3, 6, 25)},
}
"""Rule -> what to call it -> a sum that is made for it."""
