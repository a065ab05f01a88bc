"""Elementary functions as the installed runtimes compute them, on float32 vectors.

A runtime has one program for the body of a vector, and may have others for its tail and for
strided memory, so that each is called in up to three ways:

    contiguous  one long vector
    strided     every second element of a longer one (where the runtime takes such memory)
    short       vectors of 1 to 17 and of 31 elements: tails, and nothing but tails
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from scipy import special

import lastbit
from lastbit.audit.reference import FUNCTIONS, Float64Array, FunctionName
from lastbit.float32.functions import Function, correctly_rounded_exp, correctly_rounded_sigmoid
from lastbit.graph import Float32Array
from lastbit.operators.gelu_tanh import gelu_tanh
from lastbit.operators.soft import mish

Memory = Literal["contiguous", "strided", "short"]
LENGTHS = (*range(1, 18), 31)


@dataclass(frozen=True)
class Implementation:
    """One function of one runtime, called in one way: vectors (n,) to (n,)."""

    runtime: str
    function: FunctionName
    memory: Memory
    call: Function


def implementations(*, compiled: bool) -> tuple[list[Implementation], dict[str, str]]:
    """Everything that is installed, and why something is not there, by runtime.

    Args:
        compiled: also what torch.compile makes, which takes a C++ compiler and half a minute.
    """
    found: dict[str, Mapping[FunctionName, tuple[Function, Function | None]]] = {
        f"lastbit-reference {lastbit.__version__}": _numpy(),
        f"onnxruntime {onnxruntime.__version__} unoptimised": _onnx_runtime(optimise=False),
        f"onnxruntime {onnxruntime.__version__}": _onnx_runtime(optimise=True),
    }
    missing: dict[str, str] = {}
    if importlib.util.find_spec("torch") is None:
        missing["torch"] = "not installed (extra `train`)"
    else:
        import torch

        found[f"torch {torch.__version__}"] = _pytorch()
        name = f"torch {torch.__version__} compiled"
        reason = compiler_problem() if compiled else "left out, as compiling takes a minute"
        if reason:
            missing[name] = reason
        else:
            found[name] = _compiled()
    if importlib.util.find_spec("jax") is None:
        missing["jax"] = "not installed (extra `jax`)"
    else:
        found[f"jax {importlib.import_module('jax').__version__}"] = _jax()
    listed: list[Implementation] = []
    for runtime, table in found.items():
        for function, (whole, strided) in table.items():
            listed.append(Implementation(runtime, function, "contiguous", whole))
            if strided is not None:
                listed.append(Implementation(runtime, function, "strided", strided))
            listed.append(Implementation(runtime, function, "short", _in_pieces(whole)))
    return listed, missing


def _in_pieces(whole: Function) -> Function:
    """The same function, called on vectors of the lengths in `LENGTHS`, one after the other."""

    def call(z: Float32Array) -> Float32Array:
        out, at, k = np.empty_like(z), 0, 0
        while at < len(z):
            stop = min(at + LENGTHS[k % len(LENGTHS)], len(z))
            out[at:stop] = whole(z[at:stop].copy())
            at, k = stop, k + 1
        return out

    return call


def _spread(z: Float32Array) -> Float32Array:
    """A vector of twice the length with `z` in every second place."""
    wide = np.zeros(2 * len(z), np.float32)
    wide[::2] = z
    return wide


def _numpy() -> dict[FunctionName, tuple[Function, Function | None]]:
    """What the reference executor does where it is told nothing else."""

    def silu(z: Float32Array) -> Float32Array:
        return z * correctly_rounded_sigmoid(z)

    def strided(function: Function) -> Function:
        return lambda z: function(_spread(z)[::2])

    def hard_sigmoid(z: Float32Array) -> Float32Array:
        return np.clip(z * (np.float32(1) / np.float32(6)) + np.float32(0.5), 0, 1)

    def rounded(function: Callable[[Float64Array], Float64Array]) -> Function:
        return lambda z: function(z.astype(np.float64)).astype(np.float32)

    table: dict[FunctionName, Function] = {
        "sigmoid": correctly_rounded_sigmoid,
        "silu": silu,
        "hardsigmoid": hard_sigmoid,
        "hardswish": lambda z: z * hard_sigmoid(z),
        "tanh": rounded(np.tanh),
        "erf": rounded(special.erf),
        "gelu": rounded(lambda z: z * special.ndtr(z)),
        "gelutanh": rounded(gelu_tanh),
        "elu": rounded(lambda z: np.where(z >= 0, z, np.expm1(np.minimum(z, 0)))),
        "softplus": rounded(lambda z: np.logaddexp(0, z)),
        "softsign": lambda z: z / (np.float32(1) + np.abs(z)),
        "mish": rounded(mish),
        "exp": correctly_rounded_exp,
    }
    return {name: (function, strided(function)) for name, function in table.items()}


def _onnx_runtime(*, optimise: bool) -> dict[FunctionName, tuple[Function, Function | None]]:
    return {name: (_onnx_function(name, optimise=optimise), None) for name in FUNCTIONS}


def _onnx_function(name: FunctionName, *, optimise: bool) -> Function:
    """A model of one function. SiLU is x * Sigmoid(x), as exported: the optimiser fuses that."""
    sigmoid = helper.make_node("Sigmoid", ["x"], ["s"])
    nodes = {
        "sigmoid": [helper.make_node("Sigmoid", ["x"], ["y"])],
        "silu": [sigmoid, helper.make_node("Mul", ["x", "s"], ["y"])],
        "hardsigmoid": [helper.make_node("HardSigmoid", ["x"], ["y"], alpha=1 / 6, beta=0.5)],
        "hardswish": [helper.make_node("HardSwish", ["x"], ["y"])],
        "tanh": [helper.make_node("Tanh", ["x"], ["y"])],
        "erf": [helper.make_node("Erf", ["x"], ["y"])],
        "gelu": [helper.make_node("Gelu", ["x"], ["y"])],
        "gelutanh": [helper.make_node("Gelu", ["x"], ["y"], approximate="tanh")],
        **{
            op.lower(): [helper.make_node(op, ["x"], ["y"])]
            for op in ("Elu", "Softplus", "Softsign", "Mish")
        },
        "exp": [helper.make_node("Exp", ["x"], ["y"])],
    }[name]
    x, y = (helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n"]) for end in "xy")
    graph = helper.make_graph(nodes, name, [x], [y])
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, ir_version=9, opset_imports=[opset])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda z: np.asarray(session.run(None, {"x": z})[0])


def torch_functions() -> dict[FunctionName, Callable[[Any], Any]]:
    """The functions of PyTorch, eager."""
    import torch

    return {
        "sigmoid": torch.sigmoid,
        "silu": torch.nn.functional.silu,
        "hardsigmoid": torch.nn.functional.hardsigmoid,
        "hardswish": torch.nn.functional.hardswish,
        "tanh": torch.tanh,
        "erf": torch.erf,
        "gelu": torch.nn.functional.gelu,
        "gelutanh": functools.partial(torch.nn.functional.gelu, approximate="tanh"),
        "elu": torch.nn.functional.elu,
        "softplus": torch.nn.functional.softplus,
        "softsign": torch.nn.functional.softsign,
        "mish": torch.nn.functional.mish,
        "exp": torch.exp,
    }


def _pytorch() -> dict[FunctionName, tuple[Function, Function | None]]:
    import torch

    def whole(function: Callable[[Any], Any]) -> Function:
        return lambda z: function(torch.from_numpy(z)).numpy()

    def strided(function: Callable[[Any], Any]) -> Function:
        return lambda z: function(torch.from_numpy(_spread(z))[::2]).numpy()

    return {name: (whole(f), strided(f)) for name, f in torch_functions().items()}


@functools.cache
def compiler_problem() -> str:
    """Why torch.compile does not work here, in one line; empty if it does."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.compile(lambda x: x + 1, dynamic=True)(torch.zeros(3))
    except Exception as error:  # whatever Inductor and the compiler under it raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"torch.compile does not work here (it needs a C++ compiler): {lines[0]}"
    return ""


def _compiled() -> dict[FunctionName, tuple[Function, Function | None]]:
    import torch

    def whole(function: Callable[[Any], Any]) -> Function:
        kernel = torch.compile(lambda x: function(x), dynamic=True)
        return lambda z: kernel(torch.from_numpy(z)).numpy()

    def strided(function: Callable[[Any], Any]) -> Function:
        kernel = torch.compile(lambda x: function(x[::2]), dynamic=True)
        return lambda z: kernel(torch.from_numpy(_spread(z))).numpy()

    return {name: (whole(f), strided(f)) for name, f in torch_functions().items()}


def _jax() -> dict[FunctionName, tuple[Function, Function | None]]:
    jax: Any = importlib.import_module("jax")
    table: dict[FunctionName, Callable[[Any], Any]] = {
        "sigmoid": jax.nn.sigmoid,
        "silu": jax.nn.silu,
        "hardsigmoid": jax.nn.hard_sigmoid,
        "hardswish": jax.nn.hard_swish,
        "tanh": jax.numpy.tanh,
        "erf": jax.scipy.special.erf,
        "gelu": lambda z: jax.nn.gelu(z, approximate=False),
        "gelutanh": lambda z: jax.nn.gelu(z, approximate=True),
        "elu": jax.nn.elu,
        "softplus": jax.nn.softplus,
        "softsign": jax.nn.soft_sign,
        "mish": jax.nn.mish,
        "exp": jax.numpy.exp,
    }

    def whole(function: Callable[[Any], Any]) -> Function:
        kernel = jax.jit(function)
        return lambda z: np.asarray(kernel(z))

    return {name: (whole(function), None) for name, function in table.items()}
