"""The programs that execute a model here: ONNX Runtime, PyTorch where installed, our own."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime

import lastbit
from lastbit.errors import ModelError
from lastbit.float32 import execute
from lastbit.graph import (
    Float32Array,
    ImageArray,
    Model,
    Network,
    as_batch,
    pixels,
    read_onnx,
)
from lastbit_check.asked import asked
from lastbit_check.onnxfile import read

Run = Callable[[ImageArray], Float32Array]
"""Images (N, H, W) or (N, C, H, W), as the question has them, to probabilities (N, classes)."""

THREADS = (1, 2, 3, 4, 8)
"""Numbers of threads that a witness is measured at: sums are split among them, so orders differ."""

_BATCH = 256


class Runtime(Protocol):
    """A program that executes models.

    `name` holds its version. `load` reads a model once for many runs; `probabilities` is for one.
    """

    @property
    def name(self) -> str: ...

    def load(self, model: Model) -> Run: ...

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array: ...


def runtimes() -> list[Runtime]:
    """Every runtime that is installed."""
    found: list[Runtime] = [OnnxRuntime()]
    if importlib.util.find_spec("torch") is not None:
        found.append(PyTorch())
    return [*found, Reference()]


def other_programs() -> list[Runtime]:
    """Other allowed executions: the graph as it is written, other orders of the sums."""
    orders = ("pairwise", "worst_first", "reversed")
    return [OnnxRuntime(optimise=False), *(Reference(order) for order in orders)]


def thread_settings(runtime: Runtime) -> list[Runtime]:
    """The same program as it is, and at every number of `THREADS` where it has such a setting."""
    match runtime:
        case OnnxRuntime():
            optimise = runtime.optimise
            return [runtime, *(OnnxRuntime(optimise=optimise, threads=n) for n in THREADS)]
        case PyTorch():
            return [runtime, *(PyTorch(threads=n) for n in THREADS)]
        case _:
            return [runtime]


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4
        if not self.optimise:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        network = read_onnx(model)
        try:
            session = onnxruntime.InferenceSession(
                _ending_with_logits(model, network) or str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # its exceptions have no common base of their own
            raise ModelError(
                f"ONNX Runtime refuses the model: {error}", where=str(model)
            ) from error
        source = session.get_inputs()[0]
        batch, *sizes = source.shape
        step = 1 if batch == 1 else _BATCH

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


class PyTorch:
    """PyTorch on the CPU, fed with the normal form of the model.

    Args:
        threads: that one operator may use; by default as many as the process has set.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    @property
    def name(self) -> str:
        import torch

        return f"torch {torch.__version__}"

    def load(self, model: Model) -> Run:
        import torch

        from lastbit.witness.torch_network import TorchNetwork

        graph = read_onnx(model)
        network = TorchNetwork(graph)

        def run(images: ImageArray) -> Float32Array:
            batch = as_batch(images, graph.input_shape, graph.question)
            given = torch.from_numpy(batch).float()
            with _torch_threads(self.threads), torch.inference_mode():
                parts = [network.probabilities(part) for part in given.split(_BATCH)]
            return torch.cat(parts).numpy()

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)


def softmax(logits: Float32Array) -> Float32Array:
    """Probabilities (N, classes), operation by operation in binary32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _ending_with_logits(model: Model, network: Network) -> bytes | None:
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


@contextmanager
def _torch_threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Reference:
    """The reference executor in NumPy.

    Args:
        order: of the terms of a sum, by default that of the weights.
    """

    def __init__(self, order: str = "forward") -> None:
        self.order = order

    @property
    def name(self) -> str:
        order = "" if self.order == "forward" else f" {self.order}"
        return f"lastbit-reference {lastbit.__version__}{order}"

    def load(self, model: Model) -> Run:
        graph = read_onnx(model)

        def run(images: ImageArray) -> Float32Array:
            given = as_batch(images, graph.input_shape, graph.question)
            return np.stack([execute(graph, x, order=self.order) for x in given])

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)
