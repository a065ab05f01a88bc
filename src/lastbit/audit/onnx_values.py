"""ONNX Runtime with the values between its operators made visible.

A value that is asked for as an output cannot be fused away: to read them all changes what is run.
So the optimised graph is also written to a file by ONNX Runtime itself, and the values that are
left in it under their old names are read from that file, run as it is: the kernels of the default.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime

from lastbit.audit.nodes import Values
from lastbit.graph import ByteArray, Network

Level = Literal["off", "basic", "extended", "layout", "all"]
LEVELS: tuple[Level, ...] = ("off", "basic", "extended", "layout", "all")
Run = Callable[[ByteArray], Values]
"""Images (N, C, H, W), bytes, to the values of the visible nodes."""

_NAMES = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
          "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}  # fmt: skip


def onnx_run(
    model: Path,
    network: Network,
    *,
    level: Level,
    fused: bool = False,
    threads: int = 1,
    flush_to_zero: bool = False,
) -> Run:
    """Start a session.

    Args:
        model: the ONNX file.
        network: the same in normal form.
        level: of graph optimisation.
        fused: optimise as if only the output was read, and show what is left; otherwise every node
            is an output, which prevents some fusions.
        threads: within an operator.
        flush_to_zero: `session.set_denormal_as_zero`. ONNX Runtime sets that for the main thread in
            the first session of a process only: give it a process of its own.
    """
    if fused:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimised.onnx"
            session_of(str(model), level, threads, flush_to_zero=flush_to_zero, written=path)
            proto = onnx.load(path)
        level = "off"
    else:
        proto = onnx.load(model)
    made = {output for node in proto.graph.node for output in node.output}
    names = [node.name for node in network if node.name in made]
    outputs = {output.name for output in proto.graph.output}
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in outputs
    )
    session = session_of(proto.SerializeToString(), level, threads, flush_to_zero=flush_to_zero)
    source = session.get_inputs()[0].name
    shapes = {node.name: node.shape for node in network}

    def run(images: ByteArray) -> Values:
        found = session.run(names, {source: images})
        return {
            name: np.asarray(value).reshape(len(images), *shapes[name])
            for name, value in zip(names, found, strict=True)
        }

    return run


def session_of(
    model: str | bytes,
    level: Level,
    threads: int = 1,
    *,
    flush_to_zero: bool = False,
    written: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session on the CPU; the optimised model is ``written`` if that is asked for."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _NAMES[level])
    if flush_to_zero:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if written is not None:
        options.optimized_model_filepath = str(written)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
