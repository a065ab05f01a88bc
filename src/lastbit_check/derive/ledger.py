"""What each node adds to the bound of a difference of two logits (docs/bound.md, section 3).

Map: duals
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lastbit_check.arithmetic.exact import Fix, matmul_up
from lastbit_check.derive.duals import Dual
from lastbit_check.verdict import require

REMAINDER, ROUNDING, DEFECT = "remainder", "rounding", "defect"


class Entry(NamedTuple):
    """``aspect`` is one of the executions, or of the errors of the first layers."""

    aspect: str
    kind: str
    node: str


@dataclass(frozen=True)
class Ledger:
    """For every pair of classes c < j a row; for every place a column, or one for all.

    ``effects`` are upper bounds (pairs, places) or (pairs, 1).
    """

    pairs: tuple[tuple[int, int], ...]
    effects: dict[Entry, Fix] = field(default_factory=dict[Entry, Fix])

    def row(self, pair: Sequence[int]) -> int:
        """The place of a pair of classes c < j."""
        require((*pair,) in self.pairs, "together.pair", f"{pair}")
        return self.pairs.index((pair[0], pair[1]))

    def of(self, aspect: str, kind: str, nodes: Iterable[str]) -> list[Fix]:
        """The effects of some nodes."""
        return [self.effects[Entry(aspect, kind, name)] for name in nodes]


def both_runs(noise: Fix) -> Fix:
    """The roundings of two runs (units, 1)."""
    return Fix(2 * noise.n.reshape(-1, 1), noise.e)


def defect(dual: Dual, moves: Fix) -> Fix:
    """|d_c - d_j| times |D| (units, K), for every pair: all d have one bound."""
    units, classes = dual.a.n.shape
    each = matmul_up(Fix(np.full((1, units), 2 * dual.off.n), dual.off.e), moves)
    return Fix(np.broadcast_to(each.n, (math.comb(classes, 2), each.n.shape[1])), each.e)


def side_by_side(parts: Sequence[Fix]) -> Fix:
    """Columns of some places, and of more places, on the coarsest of their grids, rounded up."""
    e = min(part.e for part in parts)
    return Fix(np.concatenate([part.at(e).n for part in parts], axis=-1), e)


def difference(dual: Dual, pair: Sequence[int]) -> Fix:
    """The difference of a pair's two dual vectors (units, 1)."""
    c, j = pair
    return Fix(dual.a.n[:, [c]] - dual.a.n[:, [j]], dual.a.e)
