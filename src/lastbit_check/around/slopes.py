"""Nodes that are no sums, near a reference: the slopes that they have, and what these leave out.

Map: near-image
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.around.binary64 import F64, V, upper
from lastbit_check.around.curves import GROWN, NEAR, OWN_ERROR, Point, by_ranges
from lastbit_check.around.linear import Prepared, Weights
from lastbit_check.around.near import Near
from lastbit_check.network import Node
from lastbit_check.operators.curves import curve_of
from lastbit_check.verdict import Rejected

Index = NDArray[np.intp]


class Other(NamedTuple):
    """What a node that is no sum does at an image (units,).

    ``parts`` are its slopes on the inputs, ``value`` the reference, ``apart`` what neighbours'
    differ from it by (units, neighbours). What the slopes leave out is from ``low`` to ``high``;
    ``off`` is what the reference and those of the neighbours are off by. ``own``: what is left out
    is no more of its bound than D of the same unit of what is read is of its radius.
    """

    parts: tuple[Weights, ...]
    value: F64
    apart: F64
    low: F64
    high: F64
    off: F64
    own: bool = False


def reads(node: Node, prepared: Prepared) -> list[Index]:
    """The unit of each input that each unit of a node reads, of those that are no windows."""
    units, found = math.prod(node.shape), list[Index]()
    shapes = {n.name: n.shape for n in prepared.network.nodes}
    views = node.views or (None,) * len(node.inputs)
    for name, view in zip(node.inputs, views, strict=True):
        index = np.arange(math.prod(shapes[name]))
        index = index if view is None or view.order is None else view.order
        found.append(index.repeat(units // len(index)) if node.window is None else index)
    return found


def other(node: Node, prepared: Prepared, near: Mapping[str, Near]) -> Other:
    """Of a curve, a gate or a maximum. Raises Rejected (around.kind) for another kind."""
    index, sources = reads(node, prepared), [near[name] for name in node.inputs]
    if node.op == "gate":
        return _gate(node, sources, index)
    if node.op == "max":
        return _maximum(node, prepared, sources[0], index[0])
    curve = curve_of(prepared.kind(node), node)
    if curve is None and node.op not in NEAR:
        raise Rejected("around.kind", f"{node.op} has no rule at an image")
    (source,), (i,) = sources, index
    at = Point(source.value[i], source.radius[i], source.apart[i], source.away[i])
    if node.op in NEAR:
        found = NEAR[node.op](at)
    else:
        assert curve is not None
        found = by_ranges(curve, node.shape, at)
    part = _slope(node.inputs[0], found.slope, i, source.value.size)
    own = part.diagonal is not None
    return Other((part,), found.value, found.apart, found.low, found.high, found.off, own)


def _gate(node: Node, sources: list[Near], index: list[Index]) -> Other:
    """x s: its slopes are s and x; D_x D_s is left out, and what the neighbours' slopes differ."""
    (x, s), (i, j) = sources, index
    of_x, of_s, r_x, r_s = x.value[i], s.value[j], x.radius[i], s.radius[j]
    away_x, away_s = x.away[i], s.away[j]
    parts = (
        _slope(node.inputs[0], of_s, i, x.value.size),
        _slope(node.inputs[1], of_x, j, s.value.size),
    )
    high = upper(r_x * r_s + away_x * r_s + away_s * r_x)
    d, e = x.apart[i], s.apart[j]
    apart = d * (of_s[:, None] + e) + of_x[:, None] * e
    sizes = away_x * (np.abs(of_s) + away_s) + np.abs(of_x) * away_s
    off = 4 * V * np.abs(of_x * of_s) + OWN_ERROR * sizes
    return Other(parts, of_x * of_s, apart, -high, high, off)


def _maximum(node: Node, prepared: Prepared, source: Near, index: Index) -> Other:
    """The largest in a window: D of the reference's largest, a, and what another one has more.

    Only such a t may be the largest at a neighbour that is behind a by no more than all that both
    may move. Then D of the maximum is at most D_t, and at least D_a less what t is ahead.
    """
    taps = prepared.settings[node.name].taps
    assert taps is not None
    units = index[taps]
    best = np.argmax(source.value[units], axis=0)
    first = units[best, np.arange(units.shape[1])]
    behind = source.value[first] - source.value[units]
    reach = (source.radius[units] + source.radius[first]) * GROWN
    moved = (source.away[units] + source.away[first]) * GROWN
    more = np.clip(reach + moved - behind * (1 - 2.0**-50), 0.0, reach)
    high = upper(np.max(np.where(units == first, 0.0, more), axis=0))
    low = -high if source.apart.size else 0 * high
    apart = np.full(source.apart.shape[1:], -np.inf)[None].repeat(len(first), axis=0)
    for tap in units:
        np.maximum(
            apart, source.apart[tap] + (source.value[tap] - source.value[first])[:, None], out=apart
        )
    sizes = np.max(source.away[units], axis=0) + np.max(moved, axis=0)
    off = OWN_ERROR * sizes + 2.0**-50 * np.abs(source.value[first])
    parts = (_slope(node.inputs[0], np.ones(len(first)), first, source.value.size),)
    return Other(parts, source.value[first], apart, low, high, off)


def _slope(source: str, slope: F64, index: Index, units: int) -> Weights:
    """Slopes on the units that are read."""
    rows = np.arange(len(index) + 1)
    w = csr_array((slope, index, rows), (len(index), units))
    own = len(index) == units and np.array_equal(index, rows[:-1])
    return Weights(source, w, 0.0, diagonal=slope if own else None)
