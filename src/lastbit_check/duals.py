"""From dual vectors to a bound: the identity of docs/bound.md, section 3.

For any vectors a_k with a = e_c - e_j at the logits, and D_k = x'_k - x_k as computed,

    D_c - D_j = b . D_0 + sum_j d_j . D_j + sum_k a_k . (nu_k + rho'_k - rho_k)

with d_j = sum_k L_kj^T a_k - a_j and b = sum_k L_k0^T a_k over the readers k of a node.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

from lastbit_check.certificate import Hints
from lastbit_check.exact import Fix, matmul_up, total
from lastbit_check.forward import Outcome
from lastbit_check.layers import Layer
from lastbit_check.network import LINEAR, Node
from lastbit_check.verdict import require

SLACK = 16.0  # units that pulled_back may be off


class Ledger:
    """What each node adds to the bound, for every pair of classes and every pixel's group.

    ``pairs`` (pairs, 2) lists the classes c < j. Of a node's ``effects`` the remainder and the
    defect are (pairs, groups), the rounding, of two executions, is (pairs, 1). ``direct`` (pairs,
    pixels + 1) is |b . D_0|, 0 in the last column.
    """

    def __init__(self, classes: int, pixels: int) -> None:
        self.pairs = np.array([*itertools.combinations(range(classes), 2)], dtype=np.intp)
        self.effects = {kind: dict[str, Fix]() for kind in ("remainder", "rounding", "defect")}
        self.direct = Fix(np.zeros((len(self.pairs), pixels + 1)), 0)

    def _differences(self, a: Fix) -> Fix:
        """|a_c - a_j| for every pair (pairs, units) from a (C, H, W, classes)."""
        flat, (c, j) = a.n.reshape(-1, a.n.shape[3]).T, self.pairs.T
        return Fix(np.abs(flat[c] - flat[j]), a.e)

    def enter(self, node: Node, dual: Fix, pulled: Fix | None, made: Outcome, moves: Fix) -> None:
        """Book one node: its own effects, and the defect of its dual vectors.

        ``dual`` is a_k and ``pulled`` is sum_k L_kj^T a_k with an error of at most SLACK units,
        both (C, H, W, classes), None for 0; ``moves`` bounds |D_k| by group.
        """
        remainder, rounding, defect = self.effects.values()
        weights = self._differences(dual)
        units = weights.n.shape[1]
        if made.bend.n.any():
            remainder[node.name] = matmul_up(weights, made.bend.reshape(units, -1))
        noise = made.noise.reshape(units, 1)
        rounding[node.name] = matmul_up(weights, Fix(2.0 * noise.n, noise.e))
        if pulled is dual or (pulled is None and not dual.n.any()):
            defect[node.name] = Fix(np.zeros((len(self.pairs), 1)), 0)
            return
        pulled = pulled or Fix(np.zeros_like(dual.n), dual.e)
        gap = total(pulled, Fix(-dual.n, dual.e), up=False)
        slack = SLACK * 2.0 ** max(0, gap.e - pulled.e) + 2.0
        size, (c, j) = np.abs(gap.n).reshape(units, -1).T + slack, self.pairs.T
        defect[node.name] = matmul_up(Fix(size[c] + size[j], gap.e), moves.reshape(units, -1))

    def row(self, pair: tuple[int, int]) -> int:
        """The place of a pair of classes c < j."""
        pairs = self.pairs.tolist()
        require([*pair] in pairs, "together.pair", f"{pair}")
        return pairs.index([*pair])

    def share(self, row: int, names: tuple[str, ...], most: Fraction) -> None:
        """The roundings of these nodes, together at most ``most``, divided as they were alone."""
        rounding = self.effects["rounding"]
        alone = sum(rounding[name][row, 0].largest() for name in names)
        for name in names if most < alone else ():
            n = rounding[name].n.copy()
            n[row] = math.ceil(int(n[row, 0]) * most / alone)
            rounding[name] = Fix(n, rounding[name].e)

    def close(self, pulled: Fix | None) -> None:
        """Book the input: |b . D_0| with D_0 = 1 at one pixel."""
        if pulled is not None:
            d = self._differences(pulled)
            self.direct = Fix(np.pad(d.n + 2 * SLACK, ((0, 0), (0, 1))), d.e)


def pulled_back(
    node: Node, readers: list[Node], layers: dict[str, Layer], hints: Hints, classes: int
) -> Fix | None:
    """sum over the readers k of L_kj^T a_k (C, H, W, classes), within SLACK units; None for 0."""
    parts: list[Fix] = []
    coarsest = 1000  # grid of the parts that are within a unit only; the others are exact
    for reader in readers:
        a = hints.dual(reader, classes)
        if not a.n.any():
            continue
        if reader.op in LINEAR:
            layer = layers[reader.name]
            part = layer.transposed(a).fit(44, up=False)
            coarsest = coarsest if part.e == a.e + layer.e else min(coarsest, part.e)
            parts.append(part)
        elif reader.op == "add":
            parts += [a] * reader.inputs.count(node.name)
        elif reader.inputs[0] == node.name:
            m = hints.slope(reader)
            parts.append(Fix(a.n * m.n, a.e + m.e))
    require(2 * len(parts) < SLACK, "hint.dual", "too many readers")
    if not parts:
        return None
    result = total(*parts, up=False)
    return result.at(min(result.e, coarsest), up=False)
