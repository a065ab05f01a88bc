"""A network in normal form as one JAX program on the CPU.

Import this module only where JAX may be required; it is loaded when something runs.
"""

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


def jax_run(network: Network, *, precision: str | None = None, seen: bool = True) -> Run:
    """Compile the network with jax.jit; SiLU is jax.nn.silu, sums are XLA's own.

    Args:
        network: in normal form.
        precision: of convolutions; as it comes, or "highest".
        seen: all nodes are results, not the output alone. XLA may add a product to something
            without rounding it, though it is rounded as a result: such a node is not shown.
    """
    jax: Any = importlib.import_module("jax")
    summed = {name for node in network if isinstance(node, Add | Affine) for name in node.inputs}
    products = {node.name for node in network if isinstance(node, Gate | Silu)}
    hidden = {network.nodes[0].name, *(summed & products)}

    def values(images: Any) -> dict[str, Any]:
        found = computed(jax, network, images, precision)
        shown = {name: value for name, value in found.items() if name not in hidden}
        return shown if seen else {network.output: found[network.output]}

    program = jax.jit(values)

    def run(images: ByteArray) -> Values:
        found = program(images.astype(np.float32))
        return {name: np.asarray(value) for name, value in found.items()}

    return run


def jax_text(network: Network, batch: int) -> str:
    """XLA's optimised program for so many images, as text: what jax.jit runs by default.

    Raises:
        AttributeError, ImportError: this JAX does not give it away.
    """
    jax: Any = importlib.import_module("jax")
    hlo: Any = importlib.import_module("jaxlib._hlo")

    def program(images: Any) -> Any:
        return computed(jax, network, images, None)[network.output]

    images = np.zeros((batch, *network.input_shape), np.float32)
    compiled = jax.jit(program).lower(images).compile()
    (module,) = compiled.runtime_executable().hlo_modules()
    return module.to_string(hlo.HloPrintOptions.short_parsable())


def computed(jax: Any, network: Network, images: Any, precision: str | None) -> dict[str, Any]:
    """Every node's value, by name."""
    found: dict[str, Any] = {}
    for node in network:
        found[node.name] = _value(jax, node, found, images, precision)
    return found


def _value(jax: Any, node: Node, found: dict[str, Any], images: Any, precision: str | None) -> Any:
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
            return _linear(jax, node, found[node.x], precision)
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


def _linear(jax: Any, node: Linear, x: Any, precision: str | None) -> Any:
    top, left, bottom, right = node.pads
    y = jax.lax.conv_general_dilated(
        x,
        node.weight,
        node.strides,
        ((top, bottom), (left, right)),
        feature_group_count=node.group,
        precision=precision,
    )
    if node.bias.any():
        y = y + node.bias[:, None, None]
    if node.bn is None:
        return y
    gamma, beta, mean, variance = (
        v[:, None, None] for v in (node.bn.gamma, node.bn.beta, node.bn.mean, node.bn.variance)
    )
    deviation = jax.numpy.sqrt(variance + np.float32(node.bn.epsilon))
    return (y - mean) / deviation * gamma + beta
