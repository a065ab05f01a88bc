"""Dual vectors of small networks: the adjoint of the linear core, on a coarse dyadic grid.

For the checker in proofs/checker, which is given them; `lastbit_check` derives its own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lastbit.graph.network import Network
from lastbit.operators import Add, Input, Node, Softmax
from lastbit.operators.base import Float64Array

DUAL_BITS = 22
"""Dual vectors are integers of at most this many bits on a grid of their own per node."""


def adjoints(network: Network, slopes: dict[str, Float64Array]) -> dict[str, Float64Array]:
    """d logit_c / d node through the linear core, per node (C, H, W, classes), logits excluded.

    A gate is its constant factor times its first input: nothing flows to the factor's branch.

    Args:
        network: a small one: the matrices of its layers are made in full.
        slopes: of silu and sigmoid nodes, and the factors of gates, per channel.
    """
    classes = network.classes
    shapes = {node.name: node.shape for node in network}
    duals = {network.logits: np.eye(classes).reshape(classes, 1, 1, classes)}
    for node in reversed(network.nodes):
        if node.name not in duals or isinstance(node, Input | Softmax):
            continue
        a = duals[node.name]
        if node.name in slopes:
            passed = {node.x: a * slopes[node.name][:, None, None, None]}
        elif isinstance(node, Add):
            duals[node.y] = duals.get(node.y, 0.0) + a
            passed = {node.x: a}
        else:
            shape = (*shapes[node.x], classes)
            passed = {
                node.x: (matrix(node, shapes[node.x]).T @ a.reshape(-1, classes)).reshape(shape)
            }
        for name, value in passed.items():
            duals[name] = duals.get(name, 0.0) + value
    return {
        name: a for name, a in duals.items() if name not in (network.logits, network.nodes[0].name)
    }


def matrix(node: Node, source: tuple[int, int, int]) -> Float64Array:
    """The linear part of an affine node as a matrix (units, units read)."""
    units = np.eye(math.prod(source)).reshape(-1, *source)
    nothing = node.float64(np.zeros(source))
    return np.stack([(node.float64(unit) - nothing).ravel() for unit in units], axis=1)


def on_grid(a: Float64Array) -> tuple[NDArray[np.int32], int]:
    """(C, H, W, classes) -> integers (classes, C, H, W) and the exponent e: a is about n 2^-e."""
    largest = float(np.max(np.abs(a), initial=0.0))
    e = DUAL_BITS - math.frexp(largest)[1] if largest > 0 else 0
    e = max(-200, min(200, e))
    return np.rint(np.ldexp(a, e)).astype(np.int32).transpose(3, 0, 1, 2), e
