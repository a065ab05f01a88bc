"""Sums whose terms have factors: every tree, and every place where a factor may be applied.

A group of terms has one factor, as the terms of a convolution have that is multiplied by a
constant. It may be folded into their weights, or be applied to any partial sum of them, or to the
whole; a divisor may be one, or its rounded reciprocal may multiply. Terms of other groups may have
been added by then only if these have what they lack. Binary32, to nearest; numbers are fractions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from adversaries.charged import Rule, rounding
from adversaries.trees import nudged
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Constant, Factor, Node, Part, Sum
from lastbit_check.operators.affine import divided_by, multiplied_by
from lastbit_check.operators.layers import Layer, layer_of

Numbers = frozenset[Fraction]
GRID = 48


def nearest(t: Fraction) -> Fraction:
    """To 24 bits, ties to even."""
    if not t:
        return t
    n, d = abs(t).numerator, abs(t).denominator
    e = n.bit_length() - d.bit_length() - 24
    scaled = Fraction(n, d) / Fraction(2) ** e
    if scaled >= 2**24:
        scaled, e = scaled / 2, e + 1
    return round(scaled) * Fraction(2) ** e * (1 if t > 0 else -1)


def rounded(values: Iterable[Fraction]) -> Numbers:
    return frozenset(map(nearest, values))


@dataclass(frozen=True)
class Group:
    """Products of weights and values, or constants where there are no values, times a factor.

    ``moved``: the factor is that of the values, which were stored without it as binary32 numbers.
    """

    weights: tuple[float, ...]
    values: tuple[float, ...] | None = None
    factor: float = 1.0
    divides: bool = False
    moved: bool = False

    @property
    def scale(self) -> Fraction:
        f = Fraction(self.factor)
        return 1 / f if self.divides else f

    @property
    def numbers(self) -> tuple[float, ...]:
        return self.values or (1.0,) * len(self.weights)

    @property
    def exact(self) -> list[Fraction]:
        pairs = zip(self.weights, self.numbers, strict=True)
        return [Fraction(w) * Fraction(x) * self.scale for w, x in pairs]

    def scaled(self, numbers: Iterable[Fraction]) -> Numbers:
        """Times the factor."""
        if self.scale == 1:
            return frozenset(numbers)
        factor = Fraction(self.factor)
        if not self.divides:
            return rounded(x * factor for x in numbers)
        inverse = nearest(self.scale)
        return rounded(v for x in numbers for v in (x / factor, x * inverse))

    def plain(self, k: int) -> tuple[Numbers, Numbers]:
        """A term without its factor: rounded, and as a fused addition reads it."""
        exact = Fraction(self.weights[k]) * Fraction(self.numbers[k])
        return rounded([exact]), frozenset([exact])

    def whole(self, k: int) -> tuple[Numbers, Numbers]:
        """Likewise with it: folded into the weight, applied before, or afterwards."""
        w, x = Fraction(self.weights[k]), Fraction(self.numbers[k])
        fused = frozenset(v * x for v in self.scaled([w]))
        if self.values is not None:
            fused |= frozenset(w * v for v in self.scaled([x]))
        return rounded(fused) | self.scaled(self.plain(k)[0]), fused


@dataclass(frozen=True)
class Factored:
    """Groups of terms that are added; the last ``constants`` of them are constants."""

    groups: tuple[Group, ...]

    @cached_property
    def layer(self) -> Layer:
        parts, constants = list[Part](), list[Constant]()
        shapes = dict[str, tuple[int, int, int]]()
        for k, group in enumerate(self.groups):
            kind = divided_by if group.divides else multiplied_by
            one = np.array([group.factor], np.float32)
            factors: tuple[Factor, ...] = () if group.scale == 1 else (kind(one),)
            if group.values is None:
                constants += [Constant(np.array([c], np.float32), factors) for c in group.weights]
                continue
            weight = np.array(group.weights, np.float32).reshape(1, -1, 1, 1)
            own, others = ((), factors) if group.moved else (factors, ())
            parts.append(Part(f"x{k}", weight, factors=own, moved=others))
            shapes[f"x{k}"] = (len(group.weights), 1, 1)
        what = Sum((*parts,), (*constants,))
        return layer_of(Node("sum", "sum", (*shapes,), (1, 1, 1), sum=what), shapes)

    @property
    def exact(self) -> Fraction:
        return sum((v for group in self.groups for v in group.exact), Fraction(0))

    def results(self) -> Numbers:
        """What all trees return."""
        terms = [(group, k) for group in self.groups for k in range(len(group.weights))]
        # of each set of terms: all that may be there with their factors, or of one group without
        whole, fused = dict[int, Numbers](), dict[int, Numbers]()
        plain = dict[int, Numbers]()
        for bit, (group, k) in enumerate(terms):
            whole[1 << bit], fused[1 << bit] = group.whole(k)
            plain[1 << bit], bare = group.plain(k)
            fused[-(1 << bit)] = bare
        for size in range(2, len(terms) + 1):
            for members in itertools.combinations(range(len(terms)), size):
                mask, groups = sum(1 << b for b in members), {id(terms[b][0]) for b in members}
                whole[mask] = _joined(mask, whole, fused, 1)
                if len(groups) == 1:
                    plain[mask] = _joined(mask, plain, fused, -1)
                    whole[mask] |= terms[members[0]][0].scaled(plain[mask])
        return whole[(1 << len(terms)) - 1]

    def charged(self, rule: Rule = rounding, layer: Layer | None = None) -> Fraction:
        """What a rule charges if all values are as large as can be, and the whole as it is."""
        reaches = list[Fix]()
        for group in self.groups:
            if group.values is not None:
                scale = group.scale if group.moved else Fraction(1)
                each = [abs(Fraction(x) * scale) * 2**GRID for x in group.values]
                reach = np.array([float(-(-x // 1)) for x in each]).reshape(-1, 1, 1, 1)
                reaches.append(Fix(reach, GRID))
        whole = np.array(float(-(-abs(self.exact) * 2**GRID // 1))).reshape(1, 1, 1, 1)
        return rule(layer or self.layer, reaches, Fix(whole, GRID)).largest()

    def share(self, rule: Rule = rounding, layer: Layer | None = None) -> float:
        """The worst error, over trees and places of the factors, as a share of that."""
        worst = max(abs(v - self.exact) for v in self.results())
        return float(worst / self.charged(rule, layer))


def _joined(mask: int, sums: dict[int, Numbers], fused: dict[int, Numbers], sign: int) -> Numbers:
    """The sums of two parts of a set of terms; a single one may be read as it was before rounding.

    ``sign`` -1: what is read of it lacks its factor.
    """
    found, part = set[Fraction](), (mask - 1) & mask
    while part:
        other = mask ^ part
        right = sums[other] | fused.get(sign * other, frozenset())
        found |= {nearest(a + b) for a in sums[part] for b in right}
        part = (part - 1) & mask
    return frozenset(found)


def neighbour(case: Factored, random: np.random.Generator) -> Factored:
    """One value, weight or factor a few last places away, or doubled, or negated."""
    k = int(random.integers(len(case.groups)))
    group = case.groups[k]
    field = str(random.choice(["weights", "values", "factor"]))
    if field == "factor":
        changed = replace(group, factor=_moved(group.factor, random, negate=False))
    else:
        numbers = [*(getattr(group, field) or group.weights)]
        field = field if group.values is not None else "weights"
        at = int(random.integers(len(numbers)))
        numbers[at] = _moved(numbers[at], random)
        changed = replace(group, **{field: tuple(numbers)})
    return Factored((*case.groups[:k], changed, *case.groups[k + 1 :]))


def _moved(x: float, random: np.random.Generator, *, negate: bool = True) -> float:
    match int(random.integers(4)):
        case 0 | 1:
            return nudged(x, int(random.integers(-3, 4)) << int(random.integers(20)))
        case 2:
            return float(np.clip(x * random.choice([0.5, 2.0]), -64, 64)) or x
        case _:
            return -x if negate else nudged(x, 1)


def random_factored(seed: int) -> Factored:
    """Two terms with a factor, a residual that may have one, a constant that is scaled, or not."""
    random = np.random.default_rng(seed)

    def numbers(n: int) -> tuple[float, ...]:
        return tuple(random.normal(size=n).astype(np.float32).tolist())

    factor = float(np.float32(random.uniform(0.3, 3)))
    divides = bool(seed % 2)
    first = Group(numbers(2), numbers(2), factor, divides, moved=seed % 5 == 0)
    residual = Group((1.0,), numbers(1))
    constant = Group(numbers(1), None, factor, divides) if seed % 3 else Group(numbers(1))
    return Factored((first, residual, constant) if seed % 4 else (first, residual))


def climbed(
    seed: int, steps: int, weaken: Callable[[Layer], Layer] = lambda layer: layer
) -> tuple[float, Factored]:
    """A local search for the largest share of what a layer is charged, or a weaker one."""
    random, case = np.random.default_rng(seed), random_factored(seed)
    best = case.share(layer=weaken(case.layer))
    for _ in range(steps):
        tried = neighbour(case, random)
        share = tried.share(layer=weaken(tried.layer))
        if share >= best:
            case, best = tried, share
        if share > 1:
            break
    return best, case


TIE = 1 + 2.0**-12 + 2.0**-23  # its square is as good as half of a last place off
BELOW, ABOVE = 1 - 2.0**-24, 1.5 + 2.0**-23  # 1 / BELOW is, and ABOVE times what it is rounded to


def one_product(*, divides: bool = False, moved: bool = False) -> Factored:
    """A residual with a factor, alone: the product, or the quotient, is all that rounds."""
    x, factor = (ABOVE, BELOW) if divides else (TIE, TIE)
    return Factored((Group((1.0,), (x,), factor, divides, moved),))


def scaled_constant() -> Factored:
    """A constant that a factor multiplies; the addition of a small value errs as much again."""
    above = nudged(2.0**-24, 1)
    return Factored((Group((1.0,), (above,)), Group((TIE,), None, TIE)))


CASES: dict[str, Factored] = {
    "a factor": one_product(),
    "a divisor": one_product(divides=True),
    "a moved factor": one_product(moved=True),
    "a moved divisor": one_product(divides=True, moved=True),
    "a constant's factor": scaled_constant(),
}
