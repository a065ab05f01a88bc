"""The same audit on a GPU: eager and compiled PyTorch, ONNX Runtime's CUDA provider.

PyTorch's convolutions use TF32 there unless they are told not to, and ONNX Runtime's provider does,
too: products of 11 bits, which the statement does not cover and the audit has to catch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import onnxruntime

from lastbit.audit.execution import Execution, Subject
from lastbit.audit.functions import Implementation, compiler_problem, torch_functions
from lastbit.audit.onnx_values import onnx_run
from lastbit.float32.functions import Function
from lastbit.graph import Float32Array

PROVIDER = "CUDAExecutionProvider"


def no_gpu() -> str:
    """Why PyTorch has no GPU here, in a line; empty if it has one."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (extra `train`)"
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no GPU on this machine"
    return ""


def cuda_executions(
    subject: Subject, *, compiled: bool
) -> tuple[list[Execution], Mapping[str, str]]:
    """Every way that is tried on a GPU, and why one is not, by its name."""
    listed, missing = _onnx_runtime(subject)
    reason = no_gpu()
    if reason:
        return listed, {**missing, "torch on a GPU": reason}
    import torch

    from lastbit.runtimes.torch_network import torch_run

    name = f"torch {torch.__version__} on {torch.cuda.get_device_name()}"
    start = partial(torch_run, subject.network, device="cuda")
    listed += [
        Execution(name, "as it comes (TF32 in convolutions)", start, covered=False, certain=False),
        Execution(name, "TF32 off", partial(start, under=without_tf32)),
        Execution(name, "TF32 off, batch 1", partial(start, under=without_tf32), batch=1),
        Execution(name, "TF32 off, channels-last",
                  partial(start, under=without_tf32, channels_last=True)),
    ]  # fmt: skip
    if not compiled:
        missing = {**missing, "torch compiled": "left out, as compiling takes minutes"}
    else:
        listed.append(Execution(name, "TF32 off, compiled",
                                partial(start, under=without_tf32, compiled=True)))  # fmt: skip
    return listed, missing


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions and matrix products of float32 in float32."""
    import torch

    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def _onnx_runtime(subject: Subject) -> tuple[list[Execution], Mapping[str, str]]:
    if PROVIDER not in onnxruntime.get_available_providers():
        return [], {"onnxruntime on a GPU": f"this build has no {PROVIDER}"}
    name = f"onnxruntime {onnxruntime.__version__} on a GPU"
    start = partial(onnx_run, subject.model, subject.network, level="all")
    exact = ((PROVIDER, {"use_tf32": "0"}),)
    return [
        Execution(name, "as it comes (TF32)", partial(start, providers=(PROVIDER,)),
                  covered=False, certain=False),
        Execution(name, "use_tf32 = 0", partial(start, providers=exact)),
    ], {}  # fmt: skip


def cuda_functions(*, compiled: bool) -> tuple[list[Implementation], dict[str, str]]:
    """The elementary functions of PyTorch on a GPU, and why something is not there."""
    reason = no_gpu()
    if reason:
        return [], {"torch on a GPU": reason}
    import torch

    table = torch_functions()
    name = f"torch {torch.__version__} on {torch.cuda.get_device_name()}"
    found = [Implementation(name, f, "contiguous", _called(call)) for f, call in table.items()]
    missing = dict[str, str]()
    problem = compiler_problem() if compiled else "left out, as compiling takes minutes"
    if problem:
        missing[f"{name}, compiled"] = problem
    else:
        found += [
            Implementation(f"{name}, compiled", f, "contiguous", _called(torch.compile(call)))
            for f, call in table.items()
        ]
    return found, missing


def _called(function: Callable[[Any], Any]) -> Function:
    def call(z: Float32Array) -> Float32Array:
        import torch

        return function(torch.from_numpy(z).cuda()).cpu().numpy()

    return call
