"""ONNX Runtime: its sessions, and the program that people run."""

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime

from lastbit.errors import ModelError
from lastbit.graph import (
    Float32Array,
    ImageArray,
    Model,
    Network,
    as_batch,
    pixels,
    read_onnx,
)
from lastbit.runtimes.runtime import BATCH, Run
from lastbit_check.asked import asked
from lastbit_check.onnxfile import read

Level = Literal["off", "basic", "extended", "layout", "all"]
LEVELS: tuple[Level, ...] = ("off", "basic", "extended", "layout", "all")
Providers = tuple[str | tuple[str, dict[str, str]], ...]
CPU: Providers = ("CPUExecutionProvider",)

_NAMES = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
          "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}  # fmt: skip


def session_of(
    model: str | bytes,
    level: Level,
    threads: int = 1,
    *,
    flush_to_zero: bool = False,
    written: Path | None = None,
    providers: Providers = CPU,
) -> onnxruntime.InferenceSession:
    """A session; the optimised model is ``written`` if that is asked for."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _NAMES[level])
    if flush_to_zero:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if written is not None:
        options.optimized_model_filepath = str(written)
    return onnxruntime.InferenceSession(model, options, providers=[*providers])


def optimised(model: bytes | str, level: Level) -> onnx.ModelProto:
    """The model that ONNX Runtime makes of another one at some level of optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        session_of(model, level, written=path)
        return onnx.load(path)


class OnnxRuntime:
    """ONNX Runtime on the CPU.

    Args:
        optimise: let it rewrite the graph (its own default): batch norms are folded, and so on.
        threads: that one operator may use.
    """

    def __init__(self, *, optimise: bool = True, threads: int = 1) -> None:
        self.optimise = optimise
        self.threads = threads

    @property
    def name(self) -> str:
        plain = "" if self.optimise else " unoptimised"
        return f"onnxruntime {onnxruntime.__version__}{plain}"

    def load(self, model: Model) -> Run:
        """Start a session, of the file as it is; its logits become probabilities outside of it.

        Raises:
            ModelError: ONNX Runtime does not take the model, or the model cannot be read.
        """
        network = read_onnx(model)
        served = ending_with_logits(model, network) or str(model)
        try:
            session = session_of(served, "all" if self.optimise else "off", self.threads)
        except Exception as error:  # its exceptions have no common base of their own
            raise ModelError(
                f"ONNX Runtime refuses the model: {error}", where=str(model)
            ) from error
        source = session.get_inputs()[0]
        batch, *sizes = source.shape
        step = 1 if batch == 1 else BATCH

        def run(images: ImageArray) -> Float32Array:
            given = as_batch(images, network.input_shape, network.question)
            if source.type == "tensor(float)":
                given = pixels(given, network.question)
            given = given.reshape(-1, *sizes)
            parts = [
                np.asarray(session.run(None, {source.name: given[i : i + step]})[0])
                for i in range(0, len(given), step)
            ]
            found = np.concatenate(parts).reshape(len(given), -1)
            return softmax(found) if network.logits_out else found

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)


def softmax(logits: Float32Array) -> Float32Array:
    """Probabilities (N, classes), operation by operation in binary32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def ending_with_logits(model: Model, network: Network) -> bytes | None:
    """The file with its logits as output, where something else comes after them; else None."""
    if not network.logits_out:
        return None
    proto = onnx.load(str(model))
    (output,) = proto.graph.output
    logits = asked(read(Path(model).read_bytes()), network.question).operators[-1].inputs[0]
    if output.name == logits:
        return None
    proto.graph.output.remove(output)
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(logits))
    return proto.SerializeToString()
