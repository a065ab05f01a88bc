"""What inductor makes of a network: its graph, its code, and whether that contracts products.

Import this module only where PyTorch may be required.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.audit.structure.fx_graph import traced_fx
from lastbit.audit.structure.inductor_code import CURVED, Kernels, kernels_of
from lastbit.audit.structure.matched import (
    OnnxStructures,
    Structure,
    new_constants,
    probes,
    structure_of,
)
from lastbit.audit.structure.tracing import Tracing
from lastbit.graph import ByteArray, Network
from lastbit.runtimes.torch_network import TorchNetwork


@dataclass(frozen=True)
class Compiled:
    """The graph that code was generated from, what it was called with, and the code."""

    graph: torch.fx.Graph
    given: tuple[torch.Tensor, ...]
    code: str


def compiled_network(network: Network, images: ByteArray) -> Compiled:
    """Compile a network as torch.compile does by default, and keep what it makes."""
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.utils import run_and_get_code

    graphs, calls = list[torch.fx.Graph](), list[tuple[torch.Tensor, ...]]()
    whole = TorchNetwork(network)

    def backend(module: Any, inputs: Any) -> Any:
        patches = {"post_grad_custom_post_pass": graphs.append, "fx_graph_cache": False}
        run: Any = compile_fx(module, inputs, config_patches=patches)

        def kept(*arguments: torch.Tensor) -> Any:
            calls.append(arguments)
            return run(*arguments)

        return kept

    program = torch.compile(lambda x: whole.probabilities(x), backend=backend)
    pixels = torch.from_numpy(images).float()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        _, code = run_and_get_code(program, pixels)
    return Compiled(graphs[0], calls[0], "\n".join(code))


def contracts() -> bool:
    """Whether inductor's compiler makes a multiply-add of a product that is added to something."""
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.normal(size=4096).astype(np.float32)) for _ in "ab")
    c = -(a * b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.compile(lambda a, b, c: a * b + c)(a, b, c)
    return bool(torch.any(found != 0))


def inductor_structure(found: OnnxStructures, network: Network) -> Structure:
    """The graph, matched; the code, read."""
    images = probes(found.expected.network, found.images)
    made = compiled_network(network, images)
    tracing, kernels = Tracing(found.expected), kernels_of(made.code)
    operations = traced_fx(made.graph, made.given, images.shape, tracing)
    unequal = _twice(made.graph, kernels)
    if contracts():
        unequal.append(
            "a product may be added without being rounded in some kernels, and not in all"
        )
    counted = {
        "scale": new_constants(found, tracing),
        "hide": sum(n > 1 for n in kernels.operations.values()),
    }
    name = f"torch {torch.__version__}"
    return structure_of(
        name, "torch.compile (inductor)", operations, tracing, counted,
        broken=kernels.unknown, unequal=unequal,
    )  # fmt: skip


def _twice(graph: torch.fx.Graph, kernels: Kernels) -> list[str]:
    """Whether more exponentials are computed than the graph has, by functions that may differ."""
    wanted = sum(
        str(node.target).removeprefix("aten.").split(".")[0] in CURVED for node in graph.nodes
    )
    vector, scalar = kernels.curves
    if vector + scalar <= wanted or not (vector and scalar):
        return []
    return [f"{vector + scalar} exponentials are computed where the graph has {wanted}, some by "
            "a vector's function and some by a scalar's"]  # fmt: skip
