"""A sum as exact integers: its linear core, what the core leaves out, its rounding.

The core of a part is the nearest integer matrix of 20 bits on a dyadic grid, with a row for each
unit and a column for each unit that is read; a product whose weight is not on the grid is marked,
and that weight is within one unit of the core. Factors are folded: the real weight is the weight
times all of them. ``reach`` is a crude integer bound on the gain of every intermediate step, for
underflow and overflow.

Map: sum <- unit_rounding, layer_rounding, layer_formula, layer_spread, affine_value, affine_change,
rewritten-sum-scale-hide; argued in PROOF.md 3.2
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.binary32 import CEILING, UNIT_BITS
from lastbit_check.arithmetic.exact import (
    LIMIT,
    Fix,
    Ints,
    apply,
    common,
    from_float,
    grid,
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
from lastbit_check.operators.kernels import BLOCK, Kernel, Products, pieces, places_of
from lastbit_check.verdict import require

WEIGHT_BITS = 20
SCALE_BITS = 28
COARSER = 8
Block = tuple[tuple[slice, slice], Ints, Ints]  # channels and rows of places, m, own


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
        most = [int(np.max(part.rounds, initial=0)) for part in self.parts]
        return self.terms + max(1, *most, int(np.max(self.constant_roundings, initial=0)))

    @property
    def bias_size(self) -> Fix:
        """Upper bound of the magnitudes of the constants together (C, 1, 1, 1)."""
        return Fix(np.sum(self.constants.n, axis=3, keepdims=True), self.constants.e)

    def core(self, xs: Sequence[Fix]) -> list[Fix]:
        """Images of what the parts read under their cores, within one unit each."""
        pairs = zip(self.parts, xs, strict=True)
        return [self._image(part.core, part.e, x, up=False) for part, x in pairs]

    def spread(self, xs: Sequence[Fix]) -> Fix:
        """Upper bound of the image of xs >= 0 under the absolute values of the true weights."""
        pairs = zip(self.parts, xs, strict=True)
        return total(*(self._image(part.heaviest, part.e, x, up=True) for part, x in pairs))

    def left_out(self, xs: Sequence[Fix]) -> Fix:
        """Upper bound of |true weights - core| applied to xs >= 0."""
        pairs = zip(self.parts, xs, strict=True)
        return total(*(self._image(part.left_out, part.e, x, up=True) for part, x in pairs))

    def _image(self, w: Kernel, e: int, x: Fix, *, up: bool) -> Fix:
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
        n, e = np.empty(self.shape), self._grid(reaches)
        for (some, here), m, own in self.magnitudes(reaches):
            largest, count = np.cumsum(-np.sort(-m, axis=1), axis=1), np.count_nonzero(m, axis=1)
            mass, steps = largest[:, -1], self.steps
            fits = float(np.max(mass)) * (steps + 2) < LIMIT
            require(fits, "precision", "the rounding of a sum")
            exact = np.ceil(np.ldexp(whole.n[some, here], e - whole.e)).ravel()
            full = np.minimum(mass, exact)
            rank = np.arange(1.0, m.shape[1] + 1)
            partial = np.minimum(largest, np.ceil((mass + full) / 2)[:, None])
            sums = np.sum(partial * ((rank > 1) & (rank < count[:, None])), axis=1)
            sums += np.where(count > 1, full, 0.0) + own
            u = 2.0**-UNIT_BITS
            later = mass * (steps * steps * u * (1 + 2.0**-8))
            made = np.ceil((sums + later) * u * (1 + 2.0**-40))
            n[some, here] = made.reshape(n[some, here].shape)
        return Fix(n[..., None], e)

    def by_unit(self, of_constants: Ints) -> Ints:
        """Something that is said of each constant, unit by unit (units, K)."""
        *kept, count = of_constants.shape
        each = of_constants.reshape(math.prod(kept), count)
        return np.repeat(each, math.prod(self.shape) // len(each), axis=0)

    def magnitudes(self, reaches: Sequence[Fix]) -> Iterator[Block]:
        """The terms' magnitudes (units, terms), and those times their own roundings.

        Of some channels and some rows of places after others: all of them on one grid.
        """
        e, given = self._grid(reaches), self.constants
        constants = np.broadcast_to(given.at(e).n, (*self.shape, given.n.shape[3]))
        rounds = np.broadcast_to(self.constant_roundings.reshape(given.n.shape), constants.shape)
        read = [(part, part.places.on(x.n.reshape(-1, 1)), x.e + part.e - self._coarser(part) - e)
                for part, x in zip(self.parts, self._fitted(reaches), strict=True)]  # fmt: skip
        wide = self.shape[2] * (constants.shape[3] + sum(p.in_rows[0].shape[1] for p in self.parts))
        channels = max(1, BLOCK // wide)
        for start in range(0, self.shape[0], channels):
            some = slice(start, min(start + channels, self.shape[0]))
            for here in pieces(self.shape[1], wide * (some.stop - some.start)):
                own = np.sum(constants[some, here] * rounds[some, here], axis=3).ravel()
                columns = [constants[some, here].reshape(own.size, constants.shape[3])]
                for part, on, coarser in read:
                    group = np.arange(self.shape[0])[some] // (self.shape[0] // part.places.groups)
                    number, weight, often = part.in_rows
                    weight = np.ceil(weight * 2.0 ** -self._coarser(part))
                    x = part.places.laid(on, here)[group[:, None], number[some]]
                    m = shift(x * weight[some, :, None], coarser, up=True)
                    own += np.sum(m * often[some, :, None], axis=1).ravel()
                    columns.append(m.swapaxes(1, 2).reshape(own.size, -1))
                yield (some, here), np.concatenate(columns, axis=1), own

    def _fitted(self, reaches: Sequence[Fix]) -> list[Fix]:
        """What the parts read, with so few bits that no sum of terms reaches 2^53."""
        found = list[Fix]()
        for part, reach in zip(self.parts, reaches, strict=True):
            bits = 50 - (self.steps * self._gain(part)).bit_length()
            require(bits >= 8, "rounding.depth", "a sum is too long")
            found.append(reach.fit(bits))
        return found

    def _coarser(self, part: Products) -> int:
        """By how many bits the weights of a very long sum are coarser here, rounded up."""
        return COARSER if (self.steps * part.heaviest.gain).bit_length() > 42 else 0

    def _gain(self, part: Products) -> int:
        """The most that they add up to."""
        bits = self._coarser(part)
        return max(1, (part.heaviest.gain >> bits) + (self.terms if bits else 0))

    def _grid(self, reaches: Sequence[Fix]) -> int:
        """The exponent of all terms."""
        pairs = zip(self.parts, self._fitted(reaches), strict=True)
        terms = [x.e + part.e - self._coarser(part) for part, x in pairs]
        return min([common(self.constants, bits=49 - self.steps.bit_length()), *terms])


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
    places = places_of(part, node.shape, source)
    there = (weight != 0) & places.used
    rounds = np.where(there, rounds, 0).astype(np.float64)
    return Products(part.source, places, core.n, core.e, inexact * there, rounds, there)


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
