"""Sums of the normal form on the values that one execution had: what is exact, what is allowed.

The exact sum is evaluated in float64 with a bound of that evaluation's own error, which counts
against us: n products and sums in any order err by at most (n + 16) 2^-53 of the sum of their
magnitudes (Higham, section 3.1); 16 covers the rounding of folded weights and constants. A factor
that is not known exactly is within 2^-49 of itself.

What one execution may round is the checker's own rule (`Layer.rounding`) for the magnitudes of this
image. It sorts the terms of every unit, so that it is asked only where a cheap lower bound of it
does not settle the matter.
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

from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Exact, Node, Part, View, growth, made_of, product
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.patterns import products
from lastbit_check.operators.sums import sum_underflow

Float64Array = NDArray[np.float64]
ROUND = 2.0**-53
UP = 1 + 2.0**-40
DOWN = 1 - 2.0**-36
TINY = 2.0**-800
UNKNOWN = 2.0**-48
"""Twice what a factor that is not known exactly may be off, relatively."""
_U = float(UNIT)


@dataclass(frozen=True)
class Known:
    """A value (units, N): computed, or evaluated where it is hidden.

    Attributes:
        value: the float64 number.
        error: how far it may be from the exact one, because it was evaluated in float64.
        allowance: how far the hidden value may be from the exact one, because it was rounded.
    """

    value: Float64Array
    error: Float64Array | float = 0.0
    allowance: Float64Array | float = 0.0

    def seen(self, view: View) -> Known:
        """In another order; the shape is that of a list of units."""
        if view.order is None:
            return self
        shape = self.value.shape
        return Known(*(np.broadcast_to(v, shape)[view.order]
                       for v in (self.value, self.error, self.allowance)))  # fmt: skip

    @property
    def off(self) -> Float64Array | float:
        """How far the value that the execution had may be from this one."""
        return self.error + self.allowance

    @property
    def reach(self) -> Float64Array:
        """Upper bound of the magnitude of what the execution had."""
        return (np.abs(self.value) + self.off) * UP


class SumInFloat64:
    """A sum as matrices (units, units read): exact weights to float64, and their magnitudes."""

    def __init__(self, setting: Setting, sources: Sequence[Node]) -> None:
        node, layer = setting.node, setting.layer
        assert node.sum is not None
        assert layer is not None
        self.node, self.layer = node, layer
        self.sources = [source.shape for source in sources]
        self.before = [growth(source.trailing) for source in sources]
        self.weights = [
            _weights(part, node, source)
            for part, source in zip(node.sum.parts, sources, strict=True)
        ]
        self.sizes = [abs(w) for w in self.weights]
        known = [f.known for part in (*node.sum.parts, *node.sum.constants) for f in part.factors]
        constants = [self._units(made_of(c, node.shape)) for c in node.sum.constants]
        none = np.zeros((math.prod(node.shape), 1), object)
        self.bias = sum(constants, none).astype(np.float64)
        sizes = [abs(c).astype(np.float64) for c in constants]
        self.bias_size = sum(sizes, none.astype(np.float64)) * UP
        rounds = layer.by_unit(layer.constant_roundings)
        magnitudes = np.concatenate([none.astype(np.float64), *sizes], axis=1)
        counts = np.zeros_like(magnitudes)
        counts[:, 1 : 1 + rounds.shape[1]] = rounds
        self._constants = magnitudes, np.sum(magnitudes * counts, axis=1)
        terms = np.max([np.diff(w.indptr).max() for w in self.weights])
        self.rate = (int(terms) + len(constants) + 16) * ROUND * UP
        self.rate += 0.0 if all(known) else UNKNOWN

    def _units(self, numbers: Exact) -> Exact:
        return np.repeat(numbers, math.prod(self.node.shape) // len(numbers))[:, None]

    def __call__(self, xs: Sequence[Known]) -> Known:
        """The exact sum, and the magnitudes of all terms in it are `size`."""
        pairs = list(zip(self.weights, xs, strict=True))
        value = sum((w @ x.value for w, x in pairs), self.bias)
        error = self.size(xs) * self.rate + self._carried([x.error for x in xs]) + TINY
        allowance = self._carried([x.allowance for x in xs])
        return Known(value, error * UP, allowance if np.any(allowance) else 0.0)

    def size(self, xs: Sequence[Known]) -> Float64Array:
        """The magnitudes of all terms (units, N), within a few roundings."""
        pairs = zip(self.sizes, xs, strict=True)
        return sum((w @ np.abs(x.value) for w, x in pairs), self.bias_size)

    def _carried(self, errors: Sequence[Float64Array | float]) -> Float64Array:
        found = np.zeros((self.bias.shape[0], 1))
        for w, error in zip(self.sizes, errors, strict=True):
            if isinstance(error, np.ndarray):
                found = found + w @ error
        return found * UP

    def allowed(self, xs: Sequence[Known], whole: Float64Array, image: int) -> Float64Array:
        """What one execution of an image may be off (units,): the checker's rule.

        ``whole`` (units, N) are upper bounds of the magnitudes of the exact sums. The formula is
        that of `Layer.rounding`, for the exact weights and these values: as all of it is positive,
        float64 evaluates it within 2 n roundings for n terms, and more than these are taken off.
        """
        reaches = [x.reach[:, image] for x in xs]
        if not all(np.all(np.isfinite(x)) for x in reaches):
            return np.full(self.bias.shape[0], np.inf)  # and so is the error
        m, own = self._terms(reaches)
        largest, count = np.cumsum(-np.sort(-m, axis=1), axis=1), np.count_nonzero(m, axis=1)
        mass, rank = largest[:, -1], np.arange(1.0, m.shape[1] + 1)
        full = np.minimum(mass, whole[:, image])
        partial = np.minimum(largest, (mass + full)[:, None] / 2)
        sums = np.sum(partial * ((rank > 1) & (rank < count[:, None])), axis=1)
        sums += np.where(count > 1, full, 0.0) + own
        later = mass * (self.layer.steps**2 * _U * (1 + 2.0**-8))
        top = max(Fraction(float(x.max())) * g for x, g in zip(reaches, self.before, strict=True))
        return ((sums + later) * _U + real(sum_underflow(self.layer, top))) * DOWN

    def _terms(self, reaches: Sequence[Float64Array]) -> tuple[Float64Array, Float64Array]:
        """The magnitudes of every unit's terms (units, terms), and those times own roundings."""
        columns, own = [self._constants[0]], self._constants[1]
        for part, size, x in zip(self.layer.parts, self.sizes, reaches, strict=True):
            data, each = size.data * x[size.indices], np.diff(size.indptr)
            m = np.zeros((len(each), np.max(each, initial=0)))
            m[np.arange(m.shape[1]) < each[:, None]] = data
            columns.append(m)
            counted = csr_array((data * part.roundings, size.indices, size.indptr), size.shape)
            own = own + counted @ np.ones(size.shape[1])
        return np.concatenate(columns, axis=1), own

    def least(self, xs: Sequence[Known], whole: Float64Array) -> Float64Array:
        """A lower bound of `allowed` (units, N), without sorting.

        The k largest of n magnitudes that add up to M are at least k M / n together.
        """
        m = self.size(xs) / UP**2
        f = np.minimum(m, whole / UP**2)
        n = self._counts(xs)
        full = np.where(n > 1, f, 0.0)
        cap = (m + f) / 2
        steps = np.clip(np.floor(n * cap / np.where(m > 0, m, 1.0)), 1.0, np.maximum(n - 1, 1.0))
        below = (steps * (steps + 1) / 2 - 1) * m / n
        partial = np.maximum(below, 0.0) + np.maximum(n - 1 - steps, 0.0) * cap
        return (np.where(n > 2, partial, 0.0) + full) * (_U * DOWN**2)

    def _counts(self, xs: Sequence[Known]) -> Float64Array:
        """How many terms of a unit are not 0 (units, N) or (units, 1); 1 if none is."""
        found = self._constants_counted
        for pattern, x in zip(self._patterns, xs, strict=True):
            there = x.reach > 0
            every = np.all(there)
            found = found + pattern @ (np.ones((len(there), 1)) if every else there)
        return np.maximum(found, 1.0)

    @cached_property
    def _patterns(self) -> list[csr_array]:
        return [csr_array(((w.data != 0).astype(np.float64), w.indices, w.indptr), w.shape)
                for w in self.weights]  # fmt: skip

    @cached_property
    def _constants_counted(self) -> Float64Array:
        """Constants that are not 0, for each unit (units, 1)."""
        each = self.layer.by_unit(self.layer.constants.n)
        return np.count_nonzero(each, axis=1).astype(np.float64)[:, None]

    def folded(self, xs: Sequence[Known]) -> Float64Array:
        """What the rounding of folded weights and constants alone may be (units, N).

        A weight rounds as often as its factors may, a constant likewise, and once more for every
        other constant that it is added to.
        """
        found = np.zeros((self.bias.shape[0], 1))
        for part, size, x in zip(self.layer.parts, self.sizes, xs, strict=True):
            counts = csr_array((part.roundings, part.w.indices, part.w.indptr), part.w.shape)
            found = found + (size * counts) @ np.abs(x.value)
        rounds = self.layer.constant_roundings
        most = rounds.shape[1] + np.max(rounds, initial=0)
        return (found + most * self.bias_size) * (_U * (1 + 2.0**-10)) + TINY


def _weights(part: Part, node: Node, source: Node) -> csr_array:
    scale = product(part.factors, len(part.weight)).astype(np.float64)
    folded = part.weight.astype(np.float64) * scale[:, None, None, None]
    made = products(part, node.shape, source.shape)
    made.data = folded.ravel()[made.data.astype(np.intp)]
    return made


def real(x: Fix) -> Float64Array:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)
