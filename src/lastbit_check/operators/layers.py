"""A sum as exact integers: its linear core, what the core leaves out, its rounding.

The core of a part is the nearest integer matrix of 20 bits on a dyadic grid, with a row for each
unit and a column for each unit that is read; a product whose weight is not on the grid is marked,
and that weight is within one unit of the core. Factors are folded: the real weight is the weight
times all of them. ``reach`` is a crude integer bound on the gain of every intermediate step, for
underflow and overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.binary32 import CEILING, UNIT_BITS
from lastbit_check.arithmetic.exact import (
    LIMIT,
    Fix,
    Ints,
    apply,
    common,
    from_float,
    grid,
    heaviest_row,
    shift,
    total,
)
from lastbit_check.network import (
    Constant,
    Exact,
    Factor,
    Node,
    Part,
    Shape,
    Sum,
    exact,
    growth,
    made_of,
    product,
)
from lastbit_check.operators.patterns import products
from lastbit_check.verdict import require

WEIGHT_BITS = 20
SCALE_BITS = 28


@dataclass(frozen=True)
class Products:
    """A part: integers w (units, units read) with exponent ``e``.

    In the order of ``w``: ``inexact`` is 1 or 0 for each product, ``roundings`` says how often it
    may round besides the sums that it enters.
    """

    source: str
    w: csr_array
    e: int
    inexact: Ints
    roundings: Ints

    def matrix(self, values: Ints) -> csr_array:
        """The matrix with other numbers in the places of its weights."""
        return csr_array((values, self.w.indices, self.w.indptr), self.w.shape)

    @cached_property
    def heavy(self) -> csr_array:
        """Upper bounds of the magnitudes of the true weights."""
        return self.matrix(np.abs(self.w.data) + self.inexact)


@dataclass(frozen=True)
class Layer:
    """All of a sum.

    Constants are (C, 1, 1, K), their roundings (C, K); or (C, H, W, K) and (units, K).
    """

    parts: tuple[Products, ...]
    bias: Fix  # (C, 1, 1, 1), within one unit of what the constants add up to
    constants: Fix  # upper bounds of their magnitudes
    constant_roundings: Ints
    terms: int
    reach: int
    shape: Shape

    @property
    def steps(self) -> int:
        """How often a term may round at most, all sums that it enters included."""
        most = [int(np.max(part.roundings, initial=0)) for part in self.parts]
        return self.terms + max(1, *most, int(np.max(self.constant_roundings, initial=0)))

    @property
    def bias_size(self) -> Fix:
        """Upper bound of the magnitudes of the constants together (C, 1, 1, 1)."""
        return Fix(np.sum(self.constants.n, axis=3, keepdims=True), self.constants.e)

    def core(self, xs: Sequence[Fix]) -> list[Fix]:
        """Images of what the parts read under their cores, within one unit each."""
        return [self._image(p.w, p.e, x, up=False) for p, x in zip(self.parts, xs, strict=True)]

    def spread(self, xs: Sequence[Fix]) -> Fix:
        """Upper bound of the image of xs >= 0 under the absolute values of the true weights."""
        pairs = zip(self.parts, xs, strict=True)
        return total(*(self._image(p.heavy, p.e, x, up=True) for p, x in pairs))

    def left_out(self, xs: Sequence[Fix]) -> Fix:
        """Upper bound of |true weights - core| applied to xs >= 0."""
        pairs = zip(self.parts, xs, strict=True)
        return total(*(self._image(p.matrix(p.inexact), p.e, x, up=True) for p, x in pairs))

    def _image(self, w: csr_array, e: int, x: Fix, *, up: bool) -> Fix:
        y = apply(w, x.reshape(-1, x.n.shape[3]), up=up)
        return Fix(y.n.reshape(*self.shape, -1), y.e + e)

    def rounding(self, reaches: Sequence[Fix], whole: Fix) -> Fix:
        """Upper bound of the rounding of one execution (C, H, W, 1) for values |x| <= reaches.

        ``whole`` bounds the exact sums. n terms of magnitudes m_1 >= ... >= m_n, in all M, are
        added by some tree. Its i-th largest subtree has at most k = n - i + 1 leaves, so its exact
        sum is at most the k largest m; and at most (M + F) / 2, because what it leaves out of the
        whole, which is F at most, has M less its own magnitudes. Each sum errs by u of its
        subtree's computed sum; a term by u for each of its own roundings, a factor on a subtree by
        u of the subtree's magnitudes. What subtrees have erred by before is at most
        h u M / (1 - h u) each (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
        lemma 3.1), with h = ``steps``.
        """
        m, own, e = self.magnitudes(reaches)
        largest, count = np.cumsum(-np.sort(-m, axis=1), axis=1), np.count_nonzero(m, axis=1)
        mass, steps = largest[:, -1], self.steps
        require(float(np.max(mass)) * (steps + 2) < LIMIT, "precision", "the rounding of a sum")
        full = np.minimum(mass, np.ceil(np.ldexp(whole.n, e - whole.e)).ravel())
        rank = np.arange(1.0, m.shape[1] + 1)
        partial = np.minimum(largest, np.ceil((mass + full) / 2)[:, None])
        sums = np.sum(partial * ((rank > 1) & (rank < count[:, None])), axis=1)
        sums += np.where(count > 1, full, 0.0) + own
        u = 2.0**-UNIT_BITS
        later = mass * (steps * steps * u * (1 + 2.0**-8))
        n = np.ceil((sums + later) * u * (1 + 2.0**-40))
        return Fix(n.reshape(*self.shape, 1), e)

    def by_unit(self, of_constants: Ints) -> Ints:
        """Something that is said of each constant, unit by unit (units, K)."""
        *kept, count = of_constants.shape
        each = of_constants.reshape(math.prod(kept), count)
        return np.repeat(each, math.prod(self.shape) // len(each), axis=0)

    def magnitudes(self, reaches: Sequence[Fix]) -> tuple[Ints, Ints, int]:
        """The terms' magnitudes (units, terms), those times their own roundings, the exponent."""
        steps, found = self.steps, list[Fix]()
        for part, reach in zip(self.parts, reaches, strict=True):
            bits = 50 - (steps * max(1, heaviest_row(part.heavy))).bit_length()
            require(bits >= 8, "rounding.depth", "a sum is too long")
            x = reach.fit(bits).reshape(-1)
            found.append(Fix(part.heavy.data * x.n[part.w.indices], x.e + part.e))
        e = min([common(self.constants, bits=49 - steps.bit_length()), *(v.e for v in found)])
        units = math.prod(self.shape)
        constants = self.by_unit(self.constants.at(e).n)
        own = np.sum(constants * self.by_unit(self.constant_roundings), axis=1)
        columns = [constants]
        for part, values in zip(self.parts, found, strict=True):
            each = np.diff(part.w.indptr)  # products of a unit
            data = shift(values.n, values.e - e, up=True)
            m = np.zeros((units, np.max(each, initial=0)))
            m[np.arange(m.shape[1]) < each[:, None]] = data
            columns.append(m)
            own += part.matrix(data * part.roundings) @ np.ones(part.w.shape[1])
        return np.concatenate(columns, axis=1), own, e


def layer_of(node: Node, shapes: dict[str, Shape]) -> Layer:
    """The integer form of a sum; ``shapes`` of what it reads."""
    assert node.sum is not None
    what = node.sum
    reach = _reach(what)
    require(reach < CEILING, "finite.values", "a folded constant may overflow", node.name)
    parts = tuple(_products_of(part, node, shapes[part.source]) for part in what.parts)
    bias, sizes, roundings = _constants_of(what.constants, node.shape)
    largest = [np.max(np.count_nonzero(p.weight, axis=(1, 2, 3)), initial=0) for p in what.parts]
    terms = int(sum(largest)) + len(what.constants)
    layer = Layer(parts, bias, sizes, roundings, terms, reach, node.shape)
    require(layer.steps < 2**15, "rounding.depth", "too many terms", node.name)
    return layer


def _products_of(part: Part, node: Node, source: Shape) -> Products:
    # w has 24 significant bits and the scale 28: the product is exact in float64, and off the true
    # one by less than 2^-27 of it, which is below a quarter of a unit; with a scale of 1 it is w
    channels, weight = len(part.weight), part.weight.astype(np.float64)
    factor, same = _scale(part.factors, channels)
    core, inexact = from_float(weight * factor[:, None, None, None], WEIGHT_BITS)
    inexact = np.where(same[:, None, None, None], inexact, weight != 0).astype(np.float64)
    moved = sum(int(np.max(f.roundings)) for f in part.moved)
    of_factors = sum((f.roundings for f in part.factors), np.full(channels, moved))
    rounds = (np.frexp(np.abs(weight))[0] != 0.5) + of_factors[:, None, None, None]
    made = products(part, node.shape, source)
    inexact, rounds = inexact.ravel()[made.data], rounds.ravel()[made.data].astype(np.float64)
    made.data = core.n.ravel()[made.data]
    return Products(part.source, made, core.e, inexact, rounds)


def _scale(factors: Sequence[Factor], channels: int) -> tuple[Ints, NDArray[np.bool_]]:
    """The factors multiplied (C,), to SCALE_BITS, and where that is exact."""
    if not factors:
        return np.ones(channels), np.ones(channels, np.bool_)
    scale = product(factors, channels)
    mantissa, exponent = np.frexp(scale.astype(np.float64))
    factor = np.ldexp(np.rint(np.ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)
    return factor, (exact(factor) == scale) & all(f.known for f in factors)


def _constants_of(constants: Sequence[Constant], shape: Shape) -> tuple[Fix, Fix, Ints]:
    """What they add up to, rounded down; their magnitudes, rounded up, to 40 bits; roundings.

    One for each channel, or for each unit where one of them is.
    """
    by_unit = any(c.value.ndim == 3 for c in constants)
    rows, repeats = (math.prod(shape), math.prod(shape[1:])) if by_unit else (shape[0], 1)
    kept = (*shape, -1) if by_unit else (rows, 1, 1, -1)
    if len(constants) == 1 and not constants[0].factors:
        bias, sizes = _one_constant(constants[0].value.ravel().astype(np.float64))
        return bias.reshape(*kept), sizes.reshape(*kept), np.zeros((rows, 1))
    made: list[Exact] = [made_of(c, shape) for c in constants]
    each = [v.repeat(rows // len(v)) for v in made]
    none: Exact = np.zeros(rows, object)
    added, magnitudes = none, none
    for terms in each:
        added, magnitudes = added + terms, magnitudes + abs(terms)
    e = grid(float(max(magnitudes)), 40)
    unit = Fraction(2) ** e
    bias = (added * unit // 1).astype(np.float64)
    sizes = [(-(-abs(v) * unit // 1)).astype(np.float64) for v in each]
    rounds: Ints = np.zeros((rows, len(constants)))
    for k, constant in enumerate(constants):
        for factor in constant.factors:
            rounds[:, k] += factor.roundings.repeat(repeats)
    most = np.stack([np.zeros(rows), *sizes], axis=1)[:, 1:]
    return Fix(bias, e).reshape(*kept[:3], 1), Fix(most, e).reshape(*kept), rounds


def _one_constant(value: Ints) -> tuple[Fix, Fix]:
    """The same of one that nothing multiplies: it has 24 bits, and float64 is exact."""
    e = grid(float(np.max(np.abs(value))), 40)
    return Fix(np.floor(np.ldexp(value, e)), e), Fix(np.ceil(np.ldexp(np.abs(value), e)), e)


def _reach(what: Sum) -> int:
    """The magnitudes of a row, times every factor that may follow or precede, or be folded."""
    reach = 0
    for part in what.parts:
        rows = np.sum(np.abs(part.weight.astype(np.float64)), axis=(1, 2, 3))
        gain = math.ceil(float(np.max(rows)) * 1.01 + 1)
        reach += gain * math.ceil(growth((*part.factors, *part.moved)))
    for constant in what.constants:
        size = math.ceil(float(np.max(np.abs(constant.value))) + 1)
        reach += size * math.ceil(growth(constant.factors))
    return reach
