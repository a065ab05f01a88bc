"""Where deviations become columns of their own: a hint, of which nothing but the bound depends."""

from __future__ import annotations

import math

import numpy as np

from lastbit_check.around.linear import Prepared, Weights
from lastbit_check.network import Shape

MOST_UNITS = 3200
"""A base costs columns as many as its units, and through all that follows."""


def bases_of(prepared: Prepared) -> tuple[str, ...]:
    """Sums with pointwise weights on which all that follows depends alone, and what others read.

    At the first a deviation has come through all channels, and next it goes through few units. What
    a sum reads that takes several places and channels together is a base where the sum has no such
    weights: there what is known of each unit would be added up without regard to signs.
    """
    network = prepared.network
    last = {name: k for k, node in enumerate(network.computed) for name in node.inputs}
    shapes = {node.name: node.shape for node in network.nodes}
    found, open_until = dict[str, None](), 0
    for k, node in enumerate(network.computed):
        alone = open_until <= k
        open_until = max(open_until, last.get(node.name, k))
        sums = prepared.sums.get(node.name)
        if sums is None:
            continue
        if any(part.dense is not None for part in sums.parts):
            if alone and node.shape[0] > 1 and node.name != network.logits:
                found[node.name] = None
        else:
            found.update(
                (part.source, None) for part in sums.parts if _mixes(part, shapes[part.source])
            )
    return tuple(
        name
        for name in found
        if name in prepared.settings and math.prod(shapes[name]) <= MOST_UNITS
    )


def _mixes(part: Weights, source: Shape) -> bool:
    """Whether a unit reads several channels."""
    starts = part.w.indptr[:-1][np.diff(part.w.indptr) > 0]
    channel = part.w.indices // math.prod(source[1:])
    least, most = np.minimum.reduceat(channel, starts), np.maximum.reduceat(channel, starts)
    return bool(np.any(least < most))
