"""The programs that execute a model here: ONNX Runtime, PyTorch where installed, our own."""

import importlib.util
from collections.abc import Callable, Mapping

from lastbit.errors import MissingExtraError, UsageError
from lastbit.runtimes.jax_program import Jax
from lastbit.runtimes.onnx_runtime import OnnxRuntime
from lastbit.runtimes.pytorch import PyTorch
from lastbit.runtimes.reference import Reference
from lastbit.runtimes.runtime import Runtime

THREADS = (1, 2, 3, 4, 8)
"""Numbers of threads that a witness is measured at: sums are split among them, so orders differ."""

NAMED: Mapping[str, Callable[[], Runtime]] = {
    "onnxruntime": OnnxRuntime,
    "torch": lambda: PyTorch(threads=1),
    "jax": Jax,
    "reference": Reference,
}
"""Programs by their names on the command line, each with one thread where that can be set."""
EXTRAS = {"torch": "train", "jax": "jax"}


def named_runtime(name: str) -> Runtime:
    """The program of this name, with one thread.

    Raises:
        MissingExtraError: it is not installed.
        UsageError: there is none of this name.
    """
    if name not in NAMED:
        raise UsageError(f"there is no runtime {name!r}", fix=f"one of {', '.join(NAMED)}")
    if name in EXTRAS and importlib.util.find_spec(name) is None:
        raise MissingExtraError(f"running models in {name}", EXTRAS[name])
    return NAMED[name]()


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
