"""Nodes that are no sums, near a reference: the slopes that they have, and what these leave out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.binary64 import F64, V, upper
from lastbit_check.around.curves import GROWN, NEAR, by_ranges
from lastbit_check.around.linear import Prepared, Weights
from lastbit_check.network import Node
from lastbit_check.operators.curves import curve_of
from lastbit_check.verdict import Rejected

Index = NDArray[np.intp]
LeftOut = tuple[tuple[Weights, ...], F64, F64, F64, F64]
"""Slopes on the inputs, the reference, the middle and half the width of what those leave out, and
what float64 loses of the reference."""


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


def left_out(node: Node, prepared: Prepared, sources: list, index: list[Index]) -> LeftOut:
    """Of a curve, a gate or a maximum. Raises Rejected (around.kind) for another kind."""
    if node.op == "gate":
        return _gate(node, sources, index)
    if node.op == "max":
        return _maximum(node, prepared, sources[0], index[0])
    curve = curve_of(prepared.kind(node), node)
    if curve is None and node.op not in NEAR:
        raise Rejected("around.kind", f"{node.op} has no rule at an image")
    z, r = sources[0].value[index[0]], sources[0].radius[index[0]]
    near = NEAR[node.op](z, r) if node.op in NEAR else by_ranges(curve, node.shape, z, r)
    parts = (_slope(node.inputs[0], near.slope, index[0], sources[0].value.size),)
    return parts, near.value, (near.low + near.high) / 2, upper((near.high - near.low) / 2), near.off


def _gate(node: Node, sources: list, index: list[Index]) -> LeftOut:
    """x s: D_x s + x D_s, and D_x D_s."""
    (x, s), (i, j) = sources, index
    of_x, of_s = x.value[i], s.value[j]
    value, none = of_x * of_s, np.zeros(len(i))
    parts = (
        _slope(node.inputs[0], of_s, i, x.value.size),
        _slope(node.inputs[1], of_x, j, s.value.size),
    )
    return parts, value, none, upper(x.radius[i] * s.radius[j]), 2 * V * np.abs(value)


def _maximum(node: Node, prepared: Prepared, source: object, index: Index) -> LeftOut:
    """The largest of a window's: D of the reference's largest, and what another one has more.

    If a is where the reference is largest, the maximum of an execution is at least its value at a,
    and more by no more than max (v_t - v_a + |D_t| + |D_a|) over the others t, or by 0.
    """
    taps = prepared.settings[node.name].taps
    assert taps is not None
    units = index[taps]
    best = np.argmax(source.value[units], axis=0)
    first = units[best, np.arange(units.shape[1])]
    behind = source.value[first] - source.value[units]
    reach = (source.radius[units] + source.radius[first]) * GROWN
    more = np.where(units == first, 0.0, np.maximum(reach - behind, 0.0))
    half = np.max(more, axis=0) / 2
    parts = (_slope(node.inputs[0], np.ones(len(first)), first, source.value.size),)
    return parts, source.value[first], half, upper(half), np.zeros(len(first))


def _slope(source: str, slope: F64, index: Index, units: int) -> Weights:
    """Slopes on the units that are read."""
    rows = np.arange(len(index) + 1)
    w = csr_array((slope, index, rows), (len(index), units))
    own = len(index) == units and np.array_equal(index, rows[:-1])
    return Weights(source, w, 0.0, diagonal=slope if own else None)
