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
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, from_float
from lastbit_check.network import Exact, Node, Part, exact, growth, product
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.layers import products
from lastbit_check.operators.sums import sum_underflow

Float64Array = NDArray[np.float64]
ROUND = 2.0**-53
UP = 1 + 2.0**-40
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
        constants = [exact(c.value) * product(c.factors, node.shape[0]) for c in node.sum.constants]
        none: Exact = exact(np.zeros(node.shape[0], np.float32))
        self.bias = self._units(sum(constants, none))
        self.bias_size = self._units(sum(map(abs, constants), none)) * UP
        terms = np.max([np.diff(w.indptr).max() for w in self.weights])
        self.rate = (int(terms) + len(constants) + 16) * ROUND * UP
        self.rate += 0.0 if all(known) else UNKNOWN

    def _units(self, channels: Exact) -> Float64Array:
        places = math.prod(self.node.shape[1:])
        return np.repeat(channels.astype(np.float64), places)[:, None]

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

        ``whole`` (units, N) are upper bounds of the magnitudes of the exact sums.
        """
        if not all(np.all(np.isfinite(x.reach[:, image])) for x in xs):
            return np.full(self.bias.shape[0], np.inf)  # and so is the error
        reaches = [
            _above(x.reach[:, image]).reshape(*shape, 1)
            for x, shape in zip(xs, self.sources, strict=True)
        ]
        full = _above(whole[:, image]).reshape(*self.node.shape, 1)
        bound = real(self.layer.rounding(reaches, full)).ravel()
        tops = (x.largest() * before for x, before in zip(reaches, self.before, strict=True))
        return (bound + real(sum_underflow(self.layer, max(tops)))) * (2 - UP)

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
        return (np.where(n > 2, partial, 0.0) + full) * (_U / UP**2)

    def _counts(self, xs: Sequence[Known]) -> Float64Array:
        """How many terms of a unit are not 0 (units, N) or (units, 1); 1 if none is."""
        found = self._constants_counted
        for w, pattern, x in zip(self.weights, self._patterns, xs, strict=True):
            there = x.reach > 0
            each = np.diff(w.indptr)[:, None]
            found = found + (each if np.all(there) else pattern @ there.astype(np.float64))
        return np.maximum(found, 1.0)

    @cached_property
    def _patterns(self) -> list[csr_array]:
        return [csr_array((np.ones_like(w.data), w.indices, w.indptr), w.shape)
                for w in self.weights]  # fmt: skip

    @cached_property
    def _constants_counted(self) -> Float64Array:
        """Constants that are not 0, for each unit (units, 1)."""
        found = np.count_nonzero(self.layer.constants.n[:, 0, 0], axis=1).astype(np.float64)
        return np.repeat(found, math.prod(self.node.shape[1:]))[:, None]

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


def _above(x: Float64Array) -> Fix:
    """Numbers >= 0 from above, on a grid of 40 bits; 0 stays 0."""
    near, inexact = from_float(np.where(x > 0, np.nextafter(x, np.inf), 0.0), 40)
    return Fix(near.n + inexact, near.e) if near.n.any() else Fix(near.n, ZERO_GRID)


def real(x: Fix) -> Float64Array:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)
