"""Dual vectors: the exact adjoint of the linear core, rounded to a coarse dyadic grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lastbit.graph.network import (
    Add,
    Affine,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Sigmoid,
    Silu,
    Softmax,
)
from lastbit.hints.linear import Float64Array, LinearMap

DUAL_BITS = 22
"""Dual vectors are integers of at most this many bits on a grid of their own per node."""


def adjoints(network: Network, slopes: dict[str, Float64Array]) -> dict[str, Float64Array]:
    """d logit_c / d node through the linear core, per node (C, H, W, classes), logits excluded.

    A gate is its constant factor times its first input: nothing flows to the factor's branch.

    Args:
        network: any.
        slopes: of silu and sigmoid nodes, and the factors of gates, per channel.
    """
    classes = network.nodes[-1].shape[0]
    shapes = {node.name: node.shape for node in network}
    duals: dict[str, Float64Array] = {}
    for node in reversed(network.nodes):
        if isinstance(node, Softmax):
            duals[node.x] = np.eye(classes).reshape(classes, 1, 1, classes)
            continue
        a = duals.get(node.name)
        if a is None or isinstance(node, Input):
            continue
        match node:
            case Affine() | Linear() | Mean():
                passed = {node.x: LinearMap(node, shapes[node.x]).transposed(a)}
            case Silu() | Sigmoid() | Gate():
                passed = {node.x: a * slopes[node.name][:, None, None, None]}
            case Add():
                passed = {node.x: a}
                duals[node.y] = duals.get(node.y, 0.0) + a
        for name, value in passed.items():
            duals[name] = duals.get(name, 0.0) + value
    logits = network.nodes[-1].inputs[0]
    return {name: a for name, a in duals.items() if name not in (logits, network.nodes[0].name)}


def on_grid(a: Float64Array) -> tuple[NDArray[np.int32], int]:
    """(C, H, W, classes) -> integers (classes, C, H, W) and the exponent e: a is about n 2^-e."""
    largest = float(np.max(np.abs(a), initial=0.0))
    e = DUAL_BITS - math.frexp(largest)[1] if largest > 0 else 0
    e = max(-200, min(200, e))
    return np.rint(np.ldexp(a, e)).astype(np.int32).transpose(3, 0, 1, 2), e
