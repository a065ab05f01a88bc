"""What a sum's rounding is charged (docs/bound.md, section 4), part by part, to be made less.

`rounding` is the checker's rule. `weaker` is the formula of the document with something left out;
with nothing left out the two agree (test_sums.py), so that what is tested is needed in the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import Fix
from lastbit_check.operators.kernels import Products
from lastbit_check.operators.layers import Layer
from soundness.exactly import real

Rule = Callable[[Layer, Sequence[Fix], Fix], Fix]
UNIT = Fraction(1, 2**24)
rounding: Rule = Layer.rounding


@dataclass(frozen=True)
class Weaker:
    """Of one unit: u (T' + sum k_i m_i + 1.004 h^2 u M), with

        T' = F + sum of the n - 2 largest subtrees, each at most (M + F) / 2.

    Attributes:
        whole: how much of the rounding of the whole, F, counts.
        share: of a subtree's cap, in units of M + F or, without F, of M.
        cap_whole: whether F is a part of the cap.
        additions: how many there are fewer.
        own: whether terms round by themselves.
        constants: whether these are terms.
        parts: of how many parts the terms count; by default of all.
        later: whether errors of errors count.
    """

    whole: float = 1.0
    share: float = 0.5
    cap_whole: bool = True
    additions: int = 0
    own: bool = True
    constants: bool = True
    parts: int = 10**9
    later: bool = True

    def __call__(self, layer: Layer, reaches: Sequence[Fix], whole: Fix) -> Fix:
        m, own = self._terms(layer, reaches)
        m, mass = sorted((v for v in m if v), reverse=True), sum(m, Fraction(0))
        full = min(mass, whole.largest())
        cap = Fraction(self.share) * (mass + full * self.cap_whole)
        sums, largest = Fraction(0), Fraction(0)
        for rank, v in enumerate(m, 1):
            largest += v
            if 1 < rank < len(m) - self.additions:
                sums += min(largest, cap)
        if len(m) > 1:
            sums += Fraction(self.whole) * full
        if self.later:
            sums += Fraction(1004, 1000) * layer.steps**2 * UNIT * mass
        charged = UNIT * (sums + (own if self.own else 0))
        return Fix(np.array(float(-(-charged * 2**80 // 1))).reshape(1, 1, 1, 1), 80)

    def _terms(self, layer: Layer, reaches: Sequence[Fix]) -> tuple[list[Fraction], Fraction]:
        """The magnitudes of the one unit's terms, and those times their own roundings."""
        m, own = list[Fraction](), Fraction(0)
        for part, reach in [*zip(layer.parts, reaches, strict=True)][: self.parts]:
            x = real(reach).ravel()[part.w.indices]
            sizes = [Fraction(a) * Fraction(b) for a, b in zip(x, part.heavy.data, strict=True)]
            sizes = [size / Fraction(2) ** part.e for size in sizes]
            m += sizes
            own += sum(s * int(k) for s, k in zip(sizes, part.roundings, strict=True))
        if self.constants:
            sizes = [Fraction(v) for v in real(layer.constants).ravel()]
            m += sizes
            own += sum(s * int(k) for s, k in zip(sizes, layer.constant_roundings[0], strict=True))
        return m, own


def without_roundings(layer: Layer, *, parts: bool = True, constants: bool = True) -> Layer:
    """The same, but no term rounds by itself: not its product, and none of its factors."""

    def still(part: Products) -> Products:
        return replace(part, rounds=0 * part.rounds)

    made = tuple(map(still, layer.parts)) if parts else layer.parts
    rounds = 0 * layer.constant_roundings if constants else layer.constant_roundings
    return replace(layer, parts=made, constant_roundings=rounds)
