"""Which units a unit reads: the products of a sum, and the windows of a maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from lastbit_check.network import Node, Part, Shape, Units, View


def products(part: Part, shape: Shape, source: Shape) -> csr_array:
    """The products of a part: for a unit and one that it reads, the weight's number.

    That is its place in the flattened weights, 0 included; weights that are 0 make no products.
    """
    if part.view is not None:
        return _seen(products(part._replace(view=None), shape, part.view.shape), part.view, source)
    numbers = np.flatnonzero(part.weight)
    out, inner, *tap = np.unravel_index(numbers, part.weight.shape)
    channel = inner + out * part.groups // len(part.weight) * part.weight.shape[1]
    y, x = (at[:, None] + np.arange(count) * step - pad
            for at, count, step, pad in zip(tap, shape[1:], part.strides, part.pads[:2],
                                            strict=True))  # fmt: skip
    inside = ((y >= 0) & (y < source[1]))[:, :, None] & ((x >= 0) & (x < source[2]))[:, None]
    read = (channel[:, None, None] * source[1] + y[:, :, None]) * source[2] + x[:, None]
    unit = np.arange(math.prod(shape)).reshape(shape)[out]
    every = np.broadcast_to(numbers[:, None, None], inside.shape)
    places = unit[inside], read[inside]
    return csr_array((every[inside], places), (math.prod(shape), math.prod(source)))


def _seen(made: csr_array, view: View, source: Shape) -> csr_array:
    """The products with what a view shows: those with what it has no unit for are none."""
    units = math.prod(source)
    if view.order is None:
        return made
    read, unit = view.order[made.indices], np.repeat(np.arange(made.shape[0]), np.diff(made.indptr))
    there = read >= 0
    each = np.bincount(unit[there], minlength=made.shape[0])
    ends = np.concatenate([[0], np.cumsum(each)])
    return csr_array((made.data[there], read[there], ends), (made.shape[0], units))


def taps_of(node: Node, shapes: Mapping[str, Shape]) -> Units | None:
    """The units in each window (places of a window, units); of fewer, one of them again."""
    if node.window is None:
        return None
    (view,) = node.views
    made = products(node.window, node.shape, view.shape if view else shapes[node.inputs[0]])
    counts, first = np.diff(made.indptr), made.indices[made.indptr[:-1]]
    found = np.repeat(first[None].astype(np.intp), np.max(counts), axis=0)
    unit = np.repeat(np.arange(len(counts)), counts)
    found[np.arange(made.indices.size) - made.indptr[unit], unit] = made.indices
    return found
