"""From dual vectors to a bound: the identity of docs/bound.md, section 3.

For any vectors a_k with a = e_c - e_j at the logits, and D_k = x'_k - x_k as computed,

    D_c - D_j = sum_j d_j . D_j + sum_k a_k . (nu_k + rho'_k - rho_k),
        d_j = sum_k L_kj^T a_k - a_j        over the readers k of a node j.

The vectors are the adjoint of the linear core, rounded to integers on a grid for each node, so that
of d_j only roundings are left. The image has no core: its D_0 is all in nu_0.
"""

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lastbit_check.certificate import Hints
from lastbit_check.exact import ZERO_GRID, Fix, matmul_up, total
from lastbit_check.forward import Outcome
from lastbit_check.layers import Layer
from lastbit_check.network import Node
from lastbit_check.verdict import require

BITS = 30  # of a dual vector: with a slope, of 22 bits, exact below 2^53


class Dual(NamedTuple):
    """Vectors a (C, H, W, classes), and a bound of the entries of d, a number."""

    a: Fix
    off: Fix


def adjoint(
    nodes: list[Node], readers: dict[str, list[Node]], layers: dict[str, Layer], hints: Hints
) -> dict[str, Dual]:
    """The dual vectors of every node but the softmax, last of all.

    A core is 0 where the node is among nobody's ``readers``.
    """
    logits, classes = nodes[-1].inputs[0], nodes[-1].shape[0]
    unit = Fix(np.eye(classes).reshape(classes, 1, 1, classes), 0)
    found = {logits: Dual(unit, Fix(np.zeros(1), ZERO_GRID))}
    for node in reversed(nodes[:-1]):
        if node.name == logits:
            continue
        parts = [Fix(np.zeros((*node.shape, classes)), ZERO_GRID)]
        for reader in readers[node.name]:
            a = found[reader.name].a
            if reader.name in layers:
                parts.append(layers[reader.name].transposed(a))
            elif reader.op == "add":
                parts += [a] * reader.inputs.count(node.name)
            elif reader.inputs[0] == node.name:
                m = hints.slope(reader)
                parts.append(Fix(a.n * m.n, a.e + m.e))
        a = total(*parts, up=False).fit(BITS, up=False)
        # each part is within a unit of its grid, and is rounded to that of the sum, and the sum too
        grid = min(a.e, *(part.e for part in parts))
        found[node.name] = Dual(a, Fix(np.array([2.0 * len(parts) + 1]), grid))
    return found


class Ledger:
    """What each node adds to the bound, for every pair of classes and every pixel's group.

    ``pairs`` (pairs, 2) lists the classes c < j. Of a node's ``effects`` the remainder and the
    defect are (pairs, groups), the rounding, of two executions, is (pairs, 1).
    """

    def __init__(self, classes: int) -> None:
        self.pairs = np.array([*itertools.combinations(range(classes), 2)], dtype=np.intp)
        self.effects = {kind: dict[str, Fix]() for kind in ("remainder", "rounding", "defect")}

    def enter(self, node: Node, dual: Dual, made: Outcome, moves: Fix) -> None:
        """Book one node's effects; ``moves`` bounds |D_k| by group."""
        flat, (c, j) = dual.a.n.reshape(-1, dual.a.n.shape[3]).T, self.pairs.T
        weights = Fix(np.abs(flat[c] - flat[j]), dual.a.e)
        off = Fix(np.broadcast_to(2 * dual.off.n, weights.n.shape), dual.off.e)
        runs = Fix(2 * made.noise.n, made.noise.e)
        entries = (weights, made.bend), (weights, runs), (off, moves)
        for booked, (factor, values) in zip(self.effects.values(), entries, strict=True):
            booked[node.name] = matmul_up(factor, values.reshape(flat.shape[1], -1))

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
