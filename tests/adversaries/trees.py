"""Sums in binary32, in exact integers: every tree of a few terms, chains of many.

A number is an integer n and stands for n * 2^-GRID; underflow is not modelled here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

GRID = 200
MOST_TERMS = 7  # of a sum whose trees are all tried


class Term(NamedTuple):
    """A product before and after its own rounding; a fused multiply-add reads the first."""

    exact: int
    rounded: int


def integer(x: float) -> int:
    """The float as an integer of the grid."""
    n, d = float(x).as_integer_ratio()
    whole, rest = divmod(n << GRID, d)
    assert not rest, x
    return whole


def fraction(n: int) -> Fraction:
    return Fraction(n, 1 << GRID)


def rounded(n: int) -> int:
    """To 24 bits, to nearest, ties to even."""
    size = abs(n)
    excess = size.bit_length() - 24
    if excess <= 0:
        return n
    half, low = 1 << (excess - 1), size & ((1 << excess) - 1)
    high = size >> excess
    high += low > half or (low == half and high & 1)
    return (high << excess) * (1 if n > 0 else -1)


def terms_of(weights: Sequence[float], values: Sequence[float]) -> list[Term]:
    """The products of binary32 numbers."""
    products = [integer(w * x) for w, x in zip(weights, values, strict=True)]  # exact: 48 bits
    return [Term(n, rounded(n)) for n in products]


def exact_sum(terms: Sequence[Term]) -> int:
    return sum(term.exact for term in terms)


def all_sums(terms: Sequence[Term], *, fused: bool = True) -> set[int]:
    """What all binary trees return, with a product fused into an addition or not.

    By subsets: what a subset's trees return is what the trees of its two halves do, added.
    """
    assert len(terms) <= MOST_TERMS
    sums = {1 << k: {term.rounded} for k, term in enumerate(terms)}
    leaves = {1 << k: {*term} if fused else {term.rounded} for k, term in enumerate(terms)}
    for size in range(2, len(terms) + 1):
        for members in itertools.combinations(range(len(terms)), size):
            mask = sum(1 << k for k in members)
            found, part = set[int](), (mask - 1) & mask
            while part:  # each split once as (part, rest), once as (rest, part)
                left, right = sums[part], leaves.get(mask ^ part) or sums[mask ^ part]
                found |= {rounded(a + b) for a in left for b in right}
                part = (part - 1) & mask
            sums[mask] = found
    return sums[(1 << len(terms)) - 1]


def chain(terms: Sequence[Term]) -> int:
    """One after the other."""
    total = terms[0].rounded
    for term in terms[1:]:
        total = rounded(total + term.rounded)
    return total


def beam(terms: Sequence[Term], sign: int, width: int = 24) -> int:
    """The furthest up (``sign`` 1) or down that a search among chains gets, fused or not."""
    states = {(1 << k, t.rounded, t.exact) for k, t in enumerate(terms)}
    for _ in terms[1:]:
        after = {
            (mask | 1 << k, rounded(total + read), exact + t.exact)
            for mask, total, exact in states
            for k, t in enumerate(terms)
            if not mask >> k & 1
            for read in {*t}
        }
        by_error = sorted(after, key=lambda s: sign * (s[2] - s[1]))[:width]
        by_size = sorted(after, key=lambda s: -abs(s[2]))[:width]  # room for later roundings
        states = {*by_error, *by_size}
    return max((s[1] for s in states), key=lambda n: sign * n)


def worst(terms: Sequence[Term], *, fused: bool = True) -> Fraction:
    """The largest error: of all trees if they are few, else of a search among chains."""
    exact = exact_sum(terms)
    if len(terms) <= MOST_TERMS:
        found = all_sums(terms, fused=fused)
    else:
        found = {beam(terms, 1), beam(terms, -1), chain(terms), chain(terms[::-1])}
    return fraction(max(abs(n - exact) for n in found))


def drift(terms: Sequence[Fraction], products: Sequence[bool], unit: Fraction) -> Fraction:
    """The largest error over all trees if every operation errs by ``unit`` of its exact result.

    The model's own arithmetic: ``products`` tells which terms were rounded. By subsets, as above:
    the furthest up; the furthest down is that of the negated terms.
    """
    top = {
        1 << k: t + unit * abs(t) * bool(p)
        for k, (t, p) in enumerate(zip(terms, products, strict=True))
    }
    for size in range(2, len(terms) + 1):
        for members in itertools.combinations(range(len(terms)), size):
            mask = sum(1 << k for k in members)
            best, part = None, (mask - 1) & mask
            while part:
                t = top[part] + top[mask ^ part]
                t += unit * abs(t)
                best, part = t if best is None else max(best, t), (part - 1) & mask
            assert best is not None
            top[mask] = best
    return top[(1 << len(terms)) - 1] - sum(terms)


def nudged(x: float, steps: int) -> float:
    """The binary32 number so many steps further away from zero."""
    bits = np.float32(x).view(np.int32) + np.int32(steps)
    return float(bits.view(np.float32))
