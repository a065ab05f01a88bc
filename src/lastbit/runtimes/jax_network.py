"""A network in normal form as one JAX program on the CPU.

Import this module only where JAX may be required; it is loaded when something runs.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from lastbit.graph import Add, Affine, ByteArray, Gate, Input, Network, Silu
from lastbit.runtimes.runtime import Values, ValuesRun
from lastbit_check.network import View


def jax_run(network: Network, *, precision: str | None = None, seen: bool = True) -> ValuesRun:
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

    def seen(x: Any, view: View) -> Any:
        flat = x.reshape(len(x), -1)
        if view.order is not None:
            flat = jax.numpy.pad(flat, ((0, 0), (0, 1)))[:, view.order]
        return flat.reshape(-1, *view.shape)

    for node in network:
        sources = [images] if isinstance(node, Input) else node.operands(found, seen)
        found[node.name] = node.jax(jax, precision, *sources)
    return found
