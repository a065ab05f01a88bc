"""How the nodes after the base depend on it, column by column.

The base's box is the set of all its values. The linear cores carry one unit vector of the base
after the other through the network, on integer grids; |A| radius is summed as they pass, so that
the matrix A of a node is never held whole. Re-gridding changes an entry of A by at most two
units: ``slack`` bounds what that is worth, and goes into the node's own error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lastbit_check.exact import Fix, Ints, beside, total
from lastbit_check.hints import Hints
from lastbit_check.layers import Layer
from lastbit_check.network import Node

CHUNK = 128
CORE_BITS = 25
RADIUS_BITS = 20


@dataclass(frozen=True)
class Spread:
    """|A| radius and what re-gridding may add, both (C, H, W, 1 + groups), upper bounds."""

    spread: Fix
    slack: Fix


@dataclass
class _Sums:
    """Running upper sums on a grid that coarsens as they grow; floor counts the slack."""

    ranges: Fix
    moves: Fix
    slack_range: Fix
    slack_moves: Fix


def spreads(
    nodes: list[Node], layers: dict[str, Layer], hints: Hints, radius: Fix
) -> dict[str, Spread]:
    """For every node after the base; ``radius`` (units of the base, 1 + groups)."""
    first = next(k for k, node in enumerate(nodes) if node.name == hints.base)
    after, base = nodes[first + 1 :], nodes[first]
    ranges, moves = radius[:, :1].fit(RADIUS_BITS), radius[:, 1:].fit(RADIUS_BITS)
    last = {name: node.name for node in after for name in node.inputs}
    sums: dict[str, _Sums] = {}
    units = radius.n.shape[0]
    for start in range(0, units, CHUNK):
        here = slice(start, min(start + CHUNK, units))
        if not radius.n[here].any():
            continue
        eye = np.zeros((units, here.stop - here.start))
        eye[np.arange(here.start, here.stop), np.arange(eye.shape[1])] = 1.0
        held: dict[str, Fix] = {base.name: Fix(eye.reshape(*base.shape, -1), 0)}
        for node in after:
            a = _step(node, layers, hints, held)
            if a is not None:
                held[node.name] = a
                _gather(sums, node, a, ranges[here], moves[here])
            for name in node.inputs:
                if last[name] == node.name:
                    held.pop(name, None)
    return {name: Spread(beside(s.ranges, s.moves), beside(s.slack_range, s.slack_moves))
            for name, s in sums.items()}  # fmt: skip


def _step(node: Node, layers: dict[str, Layer], hints: Hints, held: dict[str, Fix]) -> Fix | None:
    sources = [held[name] for name in node.inputs if name in held]
    if not sources or hints.boxed(node) or node.op == "softmax":
        return None
    if node.op in ("silu", "sigmoid", "gate"):
        if node.inputs[0] not in held:
            return None
        m, x = hints.slope(node), held[node.inputs[0]]
        return Fix(x.n * m.n, x.e + m.e).fit(CORE_BITS, up=False)
    if node.op == "add":
        return total(*sources, up=False).fit(CORE_BITS, up=False)
    return layers[node.name].core(sources[0]).fit(CORE_BITS, up=False)


def _gather(sums: dict[str, _Sums], node: Node, a: Fix, ranges: Fix, moves: Fix) -> None:
    rows = np.flatnonzero(np.any(a.n, axis=(1, 2, 3)))
    flat = np.abs(a.n[rows]).reshape(-1, a.n.shape[3])
    found: list[Fix] = []
    for v in (ranges, moves):
        sums_of = np.zeros((*node.shape, v.n.shape[1]))
        sums_of[rows] = (flat @ v.n).reshape(rows.size, *node.shape[1:], -1)
        found.append(Fix(sums_of, a.e + v.e))
    for v in (ranges, moves):
        found.append(Fix(2.0 * np.sum(v.n, axis=0), a.e + v.e))
    if node.name in sums:
        s = sums[node.name]
        found = [total(x, y, bits=46) for x, y in
                 zip((s.ranges, s.moves, s.slack_range, s.slack_moves), found, strict=True)]  # fmt: skip
    sums[node.name] = _Sums(*found)


def coarse(radius: Fix, groups: Ints) -> Fix:
    """Columns of single pixels -> columns of groups of pixels, each the largest of its pixels.

    ``groups`` (pixels,) holds the group of each pixel; the first column, the range, stays.
    """
    count = int(groups.max()) + 1
    out = np.zeros((*radius.n.shape[:3], 1 + count))
    out[..., 0] = radius.n[..., 0]
    for g in range(count):
        members = 1 + np.flatnonzero(groups == g)
        out[..., 1 + g] = np.max(radius.n[..., members], axis=3)
    return Fix(out, radius.e)
