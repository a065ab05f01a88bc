"""A network in normal form as one JAX program on the CPU, every node's value among its results."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from lastbit.audit.nodes import Values
from lastbit.audit.onnx_values import Run
from lastbit.graph import (
    Add,
    Affine,
    ByteArray,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Node,
    Sigmoid,
    Silu,
    Softmax,
)


def jax_run(network: Network) -> Run:
    """Compile the network with jax.jit; SiLU is jax.nn.silu, sums are XLA's own.

    Of two steps by constants, one after the other, XLA makes one multiply-add, which does not round
    the first: that one is hidden.
    """
    jax: Any = importlib.import_module("jax")
    hidden = {network.nodes[0].name, *(node.x for node in network if isinstance(node, Affine))}

    def values(images: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for node in network:
            found[node.name] = _value(jax, node, found, images)
        return {name: value for name, value in found.items() if name not in hidden}

    program = jax.jit(values)

    def run(images: ByteArray) -> Values:
        found = program(images.astype(np.float32))
        return {name: np.asarray(value) for name, value in found.items()}

    return run


def _value(jax: Any, node: Node, found: dict[str, Any], images: Any) -> Any:
    match node:
        case Input():
            return images
        case Affine():
            x, constant = found[node.x], node.constant[:, None, None]
            apply = {
                "div": jax.numpy.divide,
                "mul": jax.numpy.multiply,
                "add": jax.numpy.add,
                "sub": jax.numpy.subtract,
            }
            return apply[node.kind](x, constant)
        case Linear():
            return _linear(jax, node, found[node.x])
        case Sigmoid():
            return jax.nn.sigmoid(found[node.x])
        case Silu():
            return jax.nn.silu(found[node.x])
        case Gate():
            return found[node.x] * found[node.s]
        case Add():
            return found[node.x] + found[node.y]
        case Mean():
            return found[node.x].mean((2, 3), keepdims=True)
        case Softmax():
            return jax.nn.softmax(found[node.x], axis=1)


def _linear(jax: Any, node: Linear, x: Any) -> Any:
    top, left, bottom, right = node.pads
    y = jax.lax.conv_general_dilated(
        x,
        node.weight,
        node.strides,
        ((top, bottom), (left, right)),
        feature_group_count=node.group,
        precision=jax.lax.Precision.HIGHEST,
    )
    y = y + node.bias[:, None, None]
    if node.bn is None:
        return y
    gamma, beta, mean, variance = (
        v[:, None, None] for v in (node.bn.gamma, node.bn.beta, node.bn.mean, node.bn.variance)
    )
    deviation = jax.numpy.sqrt(variance + np.float32(node.bn.epsilon))
    return (y - mean) / deviation * gamma + beta
