"""The ways in which the installed runtimes are told to execute a network, values and all."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import lastbit
from lastbit.audit.flushed import flushed_run
from lastbit.audit.functions import compiler_problem
from lastbit.audit.nodes import Values
from lastbit.audit.onnx_values import Run, onnx_run
from lastbit.float32 import execute
from lastbit.graph import ByteArray, Network


@dataclass(frozen=True)
class Execution:
    """A runtime with a setting.

    Attributes:
        runtime: name and version.
        setting: what differs from its default.
        start: loads the model; what it returns runs a batch of images (N, C, H, W).
        batch: images at a time.
        covered: whether the statement speaks of such an execution.
        slow: whether a few images have to do.
    """

    runtime: str
    setting: str
    start: Callable[[], Run]
    batch: int = 64
    covered: bool = True
    slow: bool = False

    @property
    def name(self) -> str:
        """Runtime and setting in one text."""
        return f"{self.runtime}, {self.setting}"


def run_in_batches(execution: Execution, images: ByteArray) -> Iterator[tuple[ByteArray, Values]]:
    """Parts of at most 64 images with the values of the visible nodes.

    Every batch has the execution's size: the last one is filled up with its last image.
    """
    run = execution.start()
    for first in range(0, len(images), 64):
        part = images[first : first + 64]
        found: list[Values] = []
        for at in range(0, len(part), execution.batch):
            batch = part[at : at + execution.batch]
            full = np.concatenate([batch, np.repeat(batch[-1:], execution.batch - len(batch), 0)])
            found.append({name: v[: len(batch)] for name, v in run(full).items()})
        yield part, {name: np.concatenate([v[name] for v in found]) for name in found[0]}


def executions(
    model: Path, network: Network, *, compiled: bool
) -> tuple[list[Execution], Mapping[str, str]]:
    """Every way that is tried here, and why a runtime is not, by its name.

    Args:
        model: the ONNX file.
        network: the same in normal form.
        compiled: also what torch.compile makes of the network, which takes a minute.
    """
    listed = [*_reference(network), *_onnx_runtime(model, network)]
    missing: dict[str, str] = {}
    if importlib.util.find_spec("torch") is None:
        missing["torch"] = "not installed (extra `train`)"
    else:
        listed += _pytorch(model, network)
        reason = compiler_problem() if compiled else "left out, as compiling takes a minute"
        if reason:
            missing["torch compiled"] = reason
        else:
            listed.append(_torch(network, "compiled", compiled=True))
    if importlib.util.find_spec("jax") is None:
        missing["jax"] = "not installed (extra `jax`)"
    else:
        listed.append(_jax(network))
    return listed, missing


def _reference(network: Network) -> list[Execution]:
    name = f"lastbit-reference {lastbit.__version__}"
    ways: dict[str, dict[str, Any]] = {
        "forward": {},
        "pairwise": {"order": "pairwise", "batch_norm_form": "scaled"},
        "largest first": {"order": "worst_first", "fold_batch_norm": True},
        "random tree, flush-to-zero": {"order": "random:1", "flush_to_zero": True},
    }
    return [
        Execution(name, setting, partial(_reference_run, network, way), batch=1, slow=True)
        for setting, way in ways.items()
    ]


def _reference_run(network: Network, way: Mapping[str, Any]) -> Run:
    def run(images: ByteArray) -> Values:
        found = [execute(network, image, keep=True, **way)[1] for image in images]
        return {node.name: np.stack([v[node.name] for v in found]) for node in network.nodes[1:]}

    return run


def _onnx_runtime(model: Path, network: Network) -> list[Execution]:
    name = f"onnxruntime {onnxruntime.__version__}"
    start = partial(onnx_run, model, network)
    fused = partial(start, level="all", fused=True)
    found = [
        Execution(name, "unoptimised", partial(start, level="off")),
        Execution(name, "unoptimised, 2 threads", partial(start, level="off", threads=2)),
        Execution(name, "unoptimised, batch 1", partial(start, level="off"), batch=1),
        Execution(name, "optimised, every node read", partial(start, level="all")),
        Execution(
            name, "optimised (extended), fused", partial(start, level="extended", fused=True)
        ),
        Execution(name, "optimised, fused", fused),
        Execution(name, "optimised, fused, 2 threads", partial(fused, threads=2)),
        Execution(name, "optimised, fused, batch 1", fused, batch=1),
        Execution(name, "unoptimised, flush-to-zero", partial(flushed_run, "onnxruntime", model)),
        Execution(
            name,
            "optimised, flush-to-zero",
            partial(flushed_run, "onnxruntime-all", model),
        ),
    ]
    if _fixed_batch(model):
        found = [e for e in found if e.batch == 1]
    return found


def _fixed_batch(model: Path) -> bool:
    """Whether the file takes one image at a time only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(model), options)
    return session.get_inputs()[0].shape[0] == 1


def _pytorch(model: Path, network: Network) -> list[Execution]:
    return [
        _torch(network, "1 thread"),
        _torch(network, "2 threads", threads=2),
        _torch(network, "batch 1", batch=1),
        _torch(network, "channels-last", channels_last=True),
        _torch(network, "bfloat16 autocast", autocast=True),
        Execution(_torch_name(), "flush-to-zero", partial(flushed_run, "torch", model)),
    ]


def _torch_name() -> str:
    import torch

    return f"torch {torch.__version__}"


def _torch(
    network: Network,
    setting: str,
    *,
    threads: int = 1,
    batch: int = 64,
    channels_last: bool = False,
    autocast: bool = False,
    compiled: bool = False,
) -> Execution:
    start = partial(
        torch_run,
        network,
        threads=threads,
        channels_last=channels_last,
        autocast=autocast,
        compiled=compiled,
    )
    return Execution(_torch_name(), setting, start, batch, covered=not autocast)


def torch_run(
    network: Network,
    *,
    threads: int = 1,
    channels_last: bool = False,
    autocast: bool = False,
    compiled: bool = False,
) -> Run:
    """PyTorch on the CPU, with every node's value as it was computed.

    Args:
        network: in normal form.
        threads: within an operator.
        channels_last: the memory format of convolutions.
        autocast: convolutions and matrix products in bfloat16, which the statement does not cover.
        compiled: by torch.compile, every node read.
    """
    import torch

    from lastbit.witness.torch_network import TorchNetwork

    layout = torch.channels_last if channels_last else torch.contiguous_format
    values = TorchNetwork(network, memory_format=layout).values
    if compiled:
        values = torch.compile(values)

    def run(images: ByteArray) -> Values:
        pixels = torch.from_numpy(images).float()
        with (
            _threads(threads),
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            found = values(pixels)
        return {node.name: found[node.name].float().numpy() for node in network.nodes[1:]}

    return run


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _jax(network: Network) -> Execution:
    version = importlib.import_module("jax").__version__

    def start() -> Run:
        from lastbit.audit.jax_network import jax_run

        return jax_run(network)

    return Execution(f"jax {version}", "jit", start)
