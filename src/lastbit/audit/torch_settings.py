"""PyTorch on the CPU, in the settings that people use, and in those that break an assumption.

Import this module only where PyTorch may be required.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lastbit.audit.flushed import flushed_run
from lastbit.audit.nodes import Values
from lastbit.audit.onnx_values import Run
from lastbit.graph import ByteArray, Network
from lastbit.witness.torch_network import TorchNetwork

if TYPE_CHECKING:
    from lastbit.audit.executions import Execution, Subject

Setting = Callable[[], AbstractContextManager[object]]


def torch_name() -> str:
    """PyTorch with its version."""
    return f"torch {torch.__version__}"


def torch_executions(subject: Subject) -> list[Execution]:
    """All settings, on the CPU, without the compiler."""
    from lastbit.audit.executions import Execution

    name, start = torch_name(), partial(torch_run, subject.network)
    nnpack = torch.backends.nnpack.is_available()
    bfloat16 = partial(torch.autocast, "cpu", torch.bfloat16)
    found = [
        Execution(name, "1 thread", start),
        Execution(name, "2 threads", partial(start, threads=2)),
        Execution(name, "batch 1", start, batch=1),
        Execution(name, "channels-last", partial(start, channels_last=True)),
        Execution(name, "oneDNN off, NNPACK off", partial(start, under=_without_nnpack)),
        Execution(name, "oneDNN off: NNPACK's Winograd" if nnpack else "oneDNN off",
                  partial(start, under=_without_onednn), covered=not nnpack, certain=False),
        Execution(name, "bfloat16 autocast", partial(start, under=bfloat16), covered=False),
        Execution(name, "flush-to-zero", partial(flushed_run, "torch", subject.model)),
    ]  # fmt: skip
    if hasattr(torch.backends.mkldnn, "conv"):
        found.append(Execution(name, "oneDNN convolutions in bfloat16 by fp32_precision",
                               partial(start, under=_bfloat16_inside), covered=False,
                               certain=False))  # fmt: skip
    return found


@contextmanager
def _without_onednn() -> Iterator[None]:
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")  # of TF32, which is not asked for
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield


@contextmanager
def _without_nnpack() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(_without_onednn())
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        yield


@contextmanager
def _bfloat16_inside() -> Iterator[None]:
    """Numbers in float32, products of theirs in bfloat16: what some set for speed."""
    backend: Any = torch.backends.mkldnn
    settings = backend.conv
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def torch_run(
    network: Network,
    *,
    threads: int = 1,
    channels_last: bool = False,
    compiled: bool = False,
    under: Setting = nullcontext,
    device: str = "cpu",
) -> Run:
    """PyTorch, with every node's value as it was computed.

    Args:
        network: in normal form.
        threads: within an operator.
        channels_last: the memory format of convolutions.
        compiled: by torch.compile, every node read.
        under: a setting that holds while it runs.
        device: "cpu" or "cuda".
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    values = TorchNetwork(network, device=device, memory_format=layout).values
    if compiled:
        values = torch.compile(values)

    def run(images: ByteArray) -> Values:
        pixels = torch.from_numpy(images).float().to(device)
        with torch_threads(threads), torch.inference_mode(), under():
            found = values(pixels)
        return {node.name: found[node.name].float().cpu().numpy() for node in network.nodes[1:]}

    return run


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads within an operator."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
