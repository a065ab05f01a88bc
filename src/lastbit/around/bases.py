"""Where deviations become columns of their own: a hint, of which nothing but the bound depends."""

from __future__ import annotations

import math

from lastbit_check.around.linear import Prepared

MOST_UNITS = 3200
"""A base costs columns as many as its units, and through all that follows."""


def bases_of(prepared: Prepared) -> tuple[str, ...]:
    """Sums with pointwise weights, small enough, on which all that follows depends alone.

    There a deviation has come through all channels, and next it goes through few units.
    """
    network = prepared.network
    last = {name: k for k, node in enumerate(network.computed) for name in node.inputs}
    found, open_until = list[str](), 0
    for k, node in enumerate(network.computed):
        alone = open_until <= k
        open_until = max(open_until, last.get(node.name, k))
        sums = prepared.sums.get(node.name)
        mixed = sums is not None and any(part.dense is not None for part in sums.parts)
        small = node.shape[0] > 1 and math.prod(node.shape) <= MOST_UNITS
        if alone and mixed and small and node.name != network.logits:
            found.append(node.name)
    return (*found,)
