"""Operator norms to be claimed: float64 singular values, a little enlarged."""

from __future__ import annotations

import numpy as np

from lastbit.bound.linear import LinearMap
from lastbit.graph.network import Linear, Network

MARGIN = 1 + 2.0**-10
"""The checker's integer factorisation needs room; the claim is enlarged by this factor."""


def claimed_norms(network: Network) -> dict[str, float]:
    """Upper estimates of |A|_2 for the 1x1 convolutions and dense layers, by node name."""
    shapes = {node.name: node.shape for node in network}
    claims: dict[str, float] = {}
    for node in network:
        if isinstance(node, Linear) and node.group == 1 and node.weight.shape[2:] == (1, 1):
            weight = LinearMap(node, shapes[node.x]).weight[:, :, 0, 0]
            largest = float(np.linalg.norm(weight, 2))
            if largest > 0:
                claims[node.name] = largest * MARGIN
    return claims
