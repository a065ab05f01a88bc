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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.certificate import Hints
from lastbit_check.exact import ZERO_GRID, Fix, beside, total
from lastbit_check.layers import Layer, Rows
from lastbit_check.network import CURVED, Node

CHUNK = 256  # CORE_BITS + RADIUS_BITS + 8 <= 52: the sums of |A| radius are exact
CORE_BITS = 24  # exact in a float32, too
RADIUS_BITS = 19
DUAL_BITS = 30  # of a dual vector: with a slope, of 22 bits, exact below 2^53
# of some columns: the place of the first one, the channels that are not 0, and A on them
# (rows, H, W, K) with an exponent; columns that are in none are 0
Gathered = list[tuple[int, Rows, NDArray[np.float32], int]]


class Spread(NamedTuple):
    """|A| radius and what re-gridding may add, both (C, H, W, 1 + groups), upper bounds."""

    spread: Fix
    slack: Fix

    def plus(self, other: Spread) -> Spread:
        """What two sets of columns amount to together."""
        return Spread(total(self.spread, other.spread), total(self.slack, other.slack))


class _Columns(NamedTuple):
    """Columns (rows, H, W, K) of the channels that are not 0, and whether they are exact."""

    rows: Rows
    a: Fix
    exact: bool = True


def spreads(
    nodes: list[Node], base: Node, layers: dict[str, Layer], hints: Hints, radius: Fix,
    kept: dict[str, Gathered],
) -> dict[str, Spread]:  # fmt: skip
    """For every node after ``base``; ``radius`` (units of the base, 1 + groups).

    The columns of the nodes in ``kept`` are appended there.
    """
    after = nodes[nodes.index(base) + 1 :]
    ranges, moves = radius[:, :1].fit(RADIUS_BITS), radius[:, 1:].fit(RADIUS_BITS)
    last = {name: node.name for node in after for name in node.inputs}
    sums = dict[str, Spread]()
    live, units = np.flatnonzero(np.any(radius.n, axis=1)), radius.n.shape[0]
    for start in range(0, live.size, CHUNK):
        here = live[start : start + CHUNK]
        eye = np.zeros((units, here.size))
        eye[here, np.arange(here.size)] = 1.0
        rows = np.unique(here * base.shape[0] // units)
        held = {base.name: _Columns(rows, Fix(eye.reshape(*base.shape, -1)[rows], 0))}
        for node in after:
            columns = _step(node, held, layers, hints)
            if columns is not None:
                held[node.name] = columns
                if node.name in kept:
                    a = columns.a
                    kept[node.name].append((start, columns.rows, a.n.astype(np.float32), a.e))
                new = _gathered(columns, node.shape[0], ranges[here], moves[here])
                sums[node.name] = sums[node.name].plus(new) if node.name in sums else new
            for name in node.inputs:
                if last[name] == node.name:
                    held.pop(name, None)
    return sums


def _step(
    node: Node, held: dict[str, _Columns], layers: dict[str, Layer], hints: Hints
) -> _Columns | None:
    """The node's columns, or None where it does not depend on the base."""
    sources = [held[name] for name in node.inputs if name in held]
    curved = node.op in CURVED
    forgotten = node.name in hints.boxes or (curved and node.inputs[0] not in held)
    if not sources or forgotten or node.op == "softmax":
        return None
    rows, x = sources[0].rows, sources[0].a
    if curved:
        m = hints.slope(node)
        a, e = Fix(x.n * m.n[rows], x.e + m.e), x.e + m.e
    elif node.op == "add":
        rows = np.unique(np.concatenate([s.rows for s in sources]))
        wide = [_widened(s.rows, s.a, rows) for s in sources]
        a, e = total(*wide, up=False), max(s.e for s in wide)
    else:
        layer, take, rows = layers[node.name].narrowed(rows)
        if not rows.size:
            return None
        a, e = layer.core(x[take]), x.e + layer.e
    a = a.fit(CORE_BITS, up=False)
    return _Columns(rows, a, a.e == e)


def _widened(rows: Rows, x: Fix, more: Rows) -> Fix:
    n = np.zeros((more.size, *x.n.shape[1:]))
    n[np.searchsorted(more, rows)] = x.n
    return Fix(n, x.e)


def _gathered(columns: _Columns, channels: int, ranges: Fix, moves: Fix) -> Spread:
    a, rows = columns.a, columns.rows
    flat = np.abs(a.n).reshape(-1, a.n.shape[3])
    sums = [Fix((flat @ v.n).reshape(*a.n.shape[:3], -1), a.e + v.e) for v in (ranges, moves)]
    unit = 0.0 if columns.exact else 2.0
    slack = [Fix(unit * np.sum(v.n, axis=0), a.e + v.e) for v in (ranges, moves)]
    return Spread(_widened(rows, beside(*sums), np.arange(channels)), beside(*slack))


def coarse(radius: Fix) -> Fix:
    """Columns of single pixels -> one of all pixels, the largest; the first and the last one stay.

    They are the range, and how far a value is from the exact one.
    """
    first, last = radius.n[..., :1], radius.n[..., -1:]
    largest = np.max(radius.n[..., 1:-1], axis=3, keepdims=True)
    return Fix(np.concatenate([first, largest, last], axis=3), radius.e)


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
        a = total(*parts, up=False).fit(DUAL_BITS, up=False)
        # each part is within a unit of its grid, and is rounded to that of the sum, and the sum too
        grid = min(a.e, *(part.e for part in parts))
        found[node.name] = Dual(a, Fix(np.array([2.0 * len(parts) + 1]), grid))
    return found
