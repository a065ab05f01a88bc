"""The linear cores: how the nodes after a base depend on it, and the logits on every node.

What a base is not known to do is a box. The linear cores carry one unit vector of the base after
the other through the network, on integer grids; |A| radius is summed as they pass, so that the
matrix A of a node is never held whole. Re-gridding changes an entry of A by at most two units:
``slack`` bounds what that is worth, and goes into the node's own error.

Dual vectors are the adjoint of the cores (docs/bound.md, section 3), from the logits back, rounded
to integers on a grid for each node, so that of d_j = sum_k L_kj^T a_k - a_j, over the readers k of
a node j, only roundings are left. The image has no core: its D_0 is all in nu_0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array

from lastbit_check.certificate import Hints
from lastbit_check.exact import ZERO_GRID, Fix, Matrix, apply, beside, total
from lastbit_check.layers import Layer
from lastbit_check.network import CURVED, Node, Shape
from lastbit_check.verdict import require

CHUNK = 256  # CORE_BITS + RADIUS_BITS + 8 <= 52: the sums of |A| radius are exact
CORE_BITS = 24  # exact in a float32, too
RADIUS_BITS = 19
DUAL_BITS = 34  # of a dual vector: with 2^15 terms of a sum, exact below 2^53


class Spread(NamedTuple):
    """|A| radius and what re-gridding may add, both (C, H, W, 1 + groups), upper bounds."""

    spread: Fix
    slack: Fix


def core(node: Node, layers: dict[str, Layer], hints: Hints) -> tuple[tuple[str, ...], Matrix, int]:
    """The inputs of the node's linear core; its matrix, the same for each; the exponent."""
    if node.op in CURVED:
        m = hints.slope(node)
        return node.inputs[:1], diags_array(np.broadcast_to(m.n, (*node.shape, 1)).ravel()), m.e
    if node.op == "add":
        return node.inputs, eye_array(math.prod(node.shape)), 0
    layer = layers[node.name]
    return node.inputs, layer.w, layer.e


def spreads(
    nodes: list[Node], base: Node, layers: dict[str, Layer], hints: Hints, radius: Fix,
    sums: dict[str, Spread], kept: dict[str, list[csr_array]],
) -> None:  # fmt: skip
    """Add to ``sums``, for every node after ``base``; ``radius`` (units of the base, 1 + groups).

    The columns A of the nodes in ``kept`` on single units (units, K), in float32, are appended
    there, some after others.
    """
    after = [node for node in nodes[nodes.index(base) + 1 : -1] if node.name not in hints.boxes]
    steps = {node.name: core(node, layers, hints) for node in after}
    ranges, moves = radius[:, :1].fit(RADIUS_BITS), radius[:, 1:].fit(RADIUS_BITS)
    last = {name: node.name for node in after for name in node.inputs}
    live, units = np.flatnonzero(np.any(radius.n, axis=1)), radius.n.shape[0]
    for start in range(0, live.size, CHUNK):
        here = live[start : start + CHUNK]
        own = np.zeros((units, here.size))
        own[here, range(here.size)] = 1.0
        held = {base.name: Fix(own, 0)}
        for node in after:
            inputs, w, e = steps[node.name]
            sources = [held[name] for name in inputs if name in held]
            if sources:
                a, exact = _step(w, e, sources)
                held[node.name] = a
                if node.name in kept:
                    kept[node.name].append(_single(a))
                new = _gathered(a, exact, node.shape, ranges[here], moves[here])
                old = sums.get(node.name)
                sums[node.name] = Spread(*map(total, old, new)) if old else new
            for name in node.inputs:
                if last[name] == node.name:
                    held.pop(name, None)


def _step(w: Matrix, e: int, sources: list[Fix]) -> tuple[Fix, bool]:
    """The columns (units, K) of a node, and whether they are exact."""
    y = apply(w, total(*sources, up=False), up=False)
    a = Fix(y.n, y.e + e).fit(CORE_BITS, up=False)
    return a, a.e == max(x.e for x in sources) + e


def _single(a: Fix) -> csr_array:
    require(not a.n.any() or abs(a.e) <= 100, "precision", "columns are not exact in float32")
    return csr_array(np.ldexp(a.n, -a.e).astype(np.float32))


def _gathered(a: Fix, exact: bool, shape: Shape, ranges: Fix, moves: Fix) -> Spread:
    sizes = np.abs(a.n)
    sums = [Fix(sizes @ v.n, a.e + v.e) for v in (ranges, moves)]
    slack = [Fix((0.0 if exact else 2.0) * np.sum(v.n, axis=0), a.e + v.e) for v in (ranges, moves)]
    return Spread(beside(*sums).reshape(*shape, -1), beside(*slack))


def coarse(radius: Fix) -> Fix:
    """Columns of single pixels -> one of all pixels, the largest; the first and the last one stay.

    They are the range, and how far a value is from the exact one.
    """
    first, last = radius.n[..., :1], radius.n[..., -1:]
    largest = np.max(radius.n[..., 1:-1], axis=3, keepdims=True)
    return Fix(np.concatenate([first, largest, last], axis=3), radius.e)


def unspread(node: Node) -> Spread:
    """That of a node before all bases."""
    none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
    return Spread(none, none)


class Dual(NamedTuple):
    """Vectors a (units, classes), and a bound of the entries of d, a number."""

    a: Fix
    off: Fix


def adjoint(
    nodes: list[Node], readers: dict[str, list[Node]], layers: dict[str, Layer], hints: Hints
) -> dict[str, Dual]:
    """The dual vectors of every node but the softmax, last of all.

    A core is 0 where the node is among nobody's ``readers``.
    """
    logits, classes = nodes[-1].inputs[0], nodes[-1].shape[0]
    found = {logits: Dual(Fix(np.eye(classes), 0), Fix(np.zeros(1), ZERO_GRID))}
    for node in reversed(nodes[:-1]):
        if node.name == logits:
            continue
        parts, split = [Fix(np.zeros((math.prod(node.shape), classes)), ZERO_GRID)], list[int]()
        for reader in readers[node.name]:
            inputs, w, e = core(reader, layers, hints)
            y = apply(w.T, found[reader.name].a, up=False)
            parts += [Fix(y.n, y.e + e)] * inputs.count(node.name)
            split += [y.e + e] * (y.e < found[reader.name].a.e)
        a = total(*parts, up=False).fit(DUAL_BITS, up=False)
        # a part is exact, or was split and is within a unit; it is rounded to the grid, and the sum
        grid = min([a.e, *split])
        found[node.name] = Dual(a, Fix(np.array([2.0 * len(parts) + 1]), grid))
    return found
