"""Which units a unit reads: the products of a sum, and the windows of a maximum.

Map: normal-form
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from lastbit_check.network import Node, Part, Shape, Units
from lastbit_check.operators.kernels import places_of


def products(part: Part, shape: Shape, source: Shape) -> csr_array:
    """The products of a part: for a unit and one that it reads, the weight's number.

    That is its place in the flattened weights, 0 included; weights that are 0 make no products.
    """
    return places_of(part, shape, source).numbers(part.weight != 0)


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
