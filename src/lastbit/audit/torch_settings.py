"""PyTorch on the CPU, in the settings that people use, and in those that break an assumption.

Import this module only where PyTorch may be required.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from lastbit.audit.execution import Execution, Subject
from lastbit.audit.flushed import flushed_run
from lastbit.runtimes.torch_network import torch_name, torch_run


def torch_executions(subject: Subject) -> list[Execution]:
    """All settings, on the CPU, without the compiler."""
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
