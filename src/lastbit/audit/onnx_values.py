"""ONNX Runtime with the values between its operators made visible.

A value that is asked for as an output cannot be fused away: to read them all changes what is run.
So the optimised graph is also written to a file by ONNX Runtime itself, and the values that are
left in it are read from that file, run as it is: the kernels of the default. Which of them is which
node is found by `lastbit.audit.structure`, whatever their names and however they lie in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from lastbit.audit.structure.kernels import without_blocks
from lastbit.audit.structure.layouts import places
from lastbit.audit.structure.onnx_graph import OnnxTrace
from lastbit.graph import ByteArray, Network
from lastbit.runtimes.onnx_runtime import CPU, Level, Providers, session_of
from lastbit.runtimes.runtime import Values, ValuesRun
from lastbit_check.network import product

MANY = 10**9


def onnx_run(
    model: Path,
    network: Network,
    *,
    level: Level,
    threads: int = 1,
    flush_to_zero: bool = False,
    providers: Providers = CPU,
) -> ValuesRun:
    """Start a session in which every node is an output, which prevents some fusions.

    Args:
        model: the ONNX file.
        network: the same in normal form.
        level: of graph optimisation.
        threads: within an operator.
        flush_to_zero: `session.set_denormal_as_zero`. ONNX Runtime sets that for the main thread in
            the first session of a process only: give it a process of its own.
        providers: of kernels.
    """
    proto = onnx.load(model)
    made = {output for node in proto.graph.node for output in node.output}
    names = [node.name for node in network if node.name in made]
    _shown(proto, names)
    session = session_of(proto.SerializeToString(), level, threads, flush_to_zero=flush_to_zero,
                         providers=providers)  # fmt: skip
    source = session.get_inputs()[0].name
    shapes = {node.name: node.shape for node in network}

    def run(images: ByteArray) -> Values:
        found = session.run(names, {source: images})
        return {
            name: np.asarray(value).reshape(len(images), *shapes[name])
            for name, value in zip(names, found, strict=True)
        }

    return run


@dataclass(frozen=True)
class Shown:
    """A node, and the tensor of an optimised model that it is.

    Attributes:
        node: its name.
        tensor: the tensor's.
        shape: of the node, (C, H, W).
        places: where in the tensor, (N, ...), each unit of the node stands (units,).
        block: so many channels lie side by side; 0 where they do not.
        scale: what the tensor has to be multiplied by, because factors were moved from it; (C,) or
            empty.
    """

    node: str
    tensor: str
    shape: tuple[int, int, int]
    places: NDArray[np.intp]
    block: int
    scale: tuple[float, ...]

    def value(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """The node's value (N, C, H, W), without channels that only fill a block."""
        x = without_blocks(x, self.block) if self.block else x
        x = x.reshape(len(x), -1)[:, self.places].reshape(-1, *self.shape)
        return x * np.array(self.scale)[None, :, None, None] if self.scale else x


@dataclass(frozen=True)
class Fused:
    """A model that ONNX Runtime has optimised, and its tensors that are nodes."""

    model: bytes
    shown: tuple[Shown, ...]


def fused_model(optimised: onnx.ModelProto, trace: OnnxTrace) -> Fused:
    """Make all tensors that are nodes outputs of an optimised model.

    A tensor that has not all of a node's units is left out. Of several that are one node, but for
    factors that are still to come, the last of these; and the output, whatever was made of it.
    """
    expected = trace.tracing.expected
    shown, least = dict[str, Shown](), dict[str, int]()
    for name in (output for node in optimised.graph.node for output in node.output):
        found = trace.tensors.get(name)
        node = expected.network.by_name.get(found.node) if found is not None else None
        if found is None or node is None or found.missing >= least.get(node.name, MANY):
            continue
        standing = places(found.value, expected.of(node.name, found.missing).value)
        if standing is None:
            continue
        missing = expected.options.get(node.name, [()])[found.missing]
        scale = product(missing, node.shape[0]).astype(np.float64).tolist() if missing else ()
        block = trace.block if name in trace.blocked else 0
        shown[node.name] = Shown(node.name, name, node.shape, standing, block, tuple(scale))
        least[node.name] = found.missing
    last = expected.network.nodes[-1]
    made = Shown(
        last.name, optimised.graph.output[0].name, last.shape, np.arange(last.shape[0]), 0, ()
    )
    shown.setdefault(last.name, made)
    proto = onnx.ModelProto()
    proto.CopyFrom(optimised)
    _shown(proto, [one.tensor for one in shown.values()])
    return Fused(proto.SerializeToString(), tuple(shown.values()))


def fused_run(fused: Fused, *, threads: int = 1, flush_to_zero: bool = False) -> ValuesRun:
    """Run a model that ONNX Runtime has optimised, as it is.

    Args:
        fused: such a model.
        threads: within an operator.
        flush_to_zero: as in `onnx_run`.
    """
    session = session_of(fused.model, "off", threads, flush_to_zero=flush_to_zero)
    source = session.get_inputs()[0].name

    def run(images: ByteArray) -> Values:
        results = session.run([one.tensor for one in fused.shown], {source: images})
        return {
            one.node: one.value(np.asarray(result))
            for one, result in zip(fused.shown, results, strict=True)
        }

    return run


def _shown(proto: onnx.ModelProto, names: list[str]) -> None:
    """Make tensors outputs of a model."""
    outputs = {output.name for output in proto.graph.output}
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in outputs
    )
