"""The programs that execute a model here: ONNX Runtime, PyTorch where installed, our own."""

import importlib.util

from lastbit.runtimes.onnx_runtime import OnnxRuntime
from lastbit.runtimes.pytorch import PyTorch
from lastbit.runtimes.reference import Reference
from lastbit.runtimes.runtime import Runtime

THREADS = (1, 2, 3, 4, 8)
"""Numbers of threads that a witness is measured at: sums are split among them, so orders differ."""


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
