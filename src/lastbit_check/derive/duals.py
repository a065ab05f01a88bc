"""Dual vectors: the adjoint of the linear cores, from the logits back (docs/bound.md, section 3).

Rounded to integers on a grid for each node, so that of d_j = sum_k L_kj^T a_k - a_j, over the
readers k of a node j, only roundings are left. The image has no core: its D_0 is all in nu_0.

Map: duals <- dual_bound
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, apply, matmul_up, total
from lastbit_check.network import Network
from lastbit_check.operators.kernels import pieces
from lastbit_check.operators.kinds import Core

DUAL_BITS = 34  # of a dual vector: with 2^15 terms of a sum, exact below 2^53


@dataclass(frozen=True)
class Dual:
    """Vectors a (units, classes), and a bound of the entries of d, a number."""

    a: Fix
    off: Fix

    def weigh(self, x: Fix) -> Fix:
        """Upper bounds (pairs, K) of |a_c - a_j| times x >= 0 (units, K), for all pairs c < j."""
        c, j = np.transpose(pairs_of(self.a.n.shape[1]))
        found = list[Fix]()
        for here in pieces(len(x.n), c.size):  # of all units they may take much memory
            flat = self.a.n[here].T
            added = matmul_up(Fix(np.abs(flat[c] - flat[j]), self.a.e), x[here])
            found = [total(*found, added)] if found else [added]
        return found[0]


def pairs_of(classes: int) -> tuple[tuple[int, int], ...]:
    """All pairs c < j."""
    return tuple(itertools.combinations(range(classes), 2))


def adjoint(network: Network, cores: Mapping[str, list[Core]]) -> dict[str, Dual]:
    """The dual vectors of every node but the softmax."""
    logits, classes = network.logits, network.classes
    found = {logits: Dual(Fix(np.eye(classes), 0), Fix(np.zeros(1), ZERO_GRID))}
    for node in reversed(network.computed):
        if node.name == logits:
            continue
        parts, split = [Fix(np.zeros((math.prod(node.shape), classes)), ZERO_GRID)], list[int]()
        for reader in network.readers[node.name]:
            for core in cores.get(reader.name, ()):
                if core.source == node.name:
                    a = found[reader.name].a
                    y = apply(core.w.T, a, up=False)
                    parts.append(Fix(y.n, y.e + core.e))
                    split += [y.e + core.e] * (y.e < a.e)
        a = total(*parts, up=False).fit(DUAL_BITS, up=False)
        # a part is exact, or was split and is within a unit; it is rounded to the grid, and the sum
        grid = min([a.e, *split])
        found[node.name] = Dual(a, Fix(np.array([2.0 * len(parts) + 1]), grid))
    return found
