"""What every runtime that is installed makes of the graph of a model."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping

import onnxruntime

from lastbit.audit.functions import compiler_problem
from lastbit.audit.structure.matched import (
    OnnxStructures,
    Structure,
    new_constants,
    structure_of,
)
from lastbit.audit.structure.tracing import Tracing
from lastbit.graph import Network
from lastbit.runtimes.onnx_runtime import LEVELS, Level


def structures(
    found: OnnxStructures, network: Network, *, compiled: bool
) -> tuple[list[Structure], Mapping[str, str]]:
    """Every runtime that rewrites graphs, and why one was left out, by its name.

    Args:
        found: the model.
        network: the same, operator by operator.
        compiled: also what inductor makes of it, which takes minutes.
    """
    listed = [onnx_structure(found, level) for level in LEVELS]
    missing: dict[str, str] = {}
    if importlib.util.find_spec("jax") is None:
        missing["jax, its program"] = "not installed (extra `jax`)"
    else:
        try:
            listed += [xla_structure(some, network) for some in (found, found.of_one())]
        except (AttributeError, ImportError) as error:
            missing["jax, its program"] = f"this JAX does not give it away: {error}"
    if importlib.util.find_spec("torch") is None:
        missing["inductor, its code"] = "PyTorch is not installed (extra `train`)"
        return listed, missing
    reason = compiler_problem() if compiled else "left out, as compiling takes minutes"
    if reason:
        missing["inductor, its code"] = reason
    else:
        from lastbit.audit.structure.inductor import inductor_structure

        listed.append(inductor_structure(found, network))
    return listed, missing


def xla_structure(found: OnnxStructures, network: Network) -> Structure:
    """XLA's optimised program for so many images, matched."""
    from lastbit.audit.structure.hlo_graph import traced_hlo
    from lastbit.audit.structure.hlo_text import parsed
    from lastbit.runtimes.jax_network import jax_text

    tracing = Tracing(found.expected)
    trace = traced_hlo(parsed(jax_text(network, found.images)), tracing)
    operations = sum(trace.kernels.values())
    return structure_of(
        f"jax {importlib.import_module('jax').__version__}",
        f"jit, images: {found.images}",
        operations,
        tracing,
        {
            "sum": trace.contracted,
            "scale": new_constants(found, tracing),
            "hide": sum(count > 1 for count in trace.kernels.values()),
        },
        unequal=trace.unequal(),
    )


def onnx_structure(found: OnnxStructures, level: Level) -> Structure:
    """ONNX Runtime's optimised model at some level, matched."""
    proto, trace = found.traced(level)
    nodes = proto.graph.node
    hidden = sum(
        node.op_type in ("QuickGelu", "FastGelu", "Gelu")
        or any(a.name == "activation" for a in node.attribute)
        for node in nodes
    )
    joined = sum(node.op_type in ("Conv", "FusedConv") and len(node.input) > 3 for node in nodes)
    return structure_of(
        f"onnxruntime {onnxruntime.__version__}",
        {"off": "off", "all": "all (its default)"}.get(level, level),
        len(nodes),
        trace.tracing,
        {"sum": joined, "scale": new_constants(found, trace.tracing), "hide": hidden},
    )
