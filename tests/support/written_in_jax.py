"""A network of an ONNX file as one writes it in JAX, operator by operator: slices, not gathers."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper


def program_of(model: ModelProto, *, softmax: bool = True) -> Any:
    """The function of the image, (N, ...) as float32."""
    jax: Any = importlib.import_module("jax")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def program(image: Any) -> Any:
        values: dict[str, Any] = {**constants, model.graph.input[0].name: image}
        for node in model.graph.node:
            if node.op_type == "Softmax" and not softmax:
                values[node.output[0]] = values[node.input[0]]
                continue
            xs = [values[name] for name in node.input]
            options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            made = _made(jax, node.op_type, xs, options, len(node.output))
            values.update(zip(node.output, made, strict=True))
        return values[model.graph.output[0].name]

    return program


def text_of(model: ModelProto, shape: tuple[int, ...]) -> str:
    """XLA's optimised program for images of this shape, (N, ...)."""
    jax: Any = importlib.import_module("jax")
    hlo: Any = importlib.import_module("jaxlib._hlo")
    compiled = jax.jit(program_of(model)).lower(np.zeros(shape, np.float32)).compile()
    (module,) = compiled.runtime_executable().hlo_modules()
    return module.to_string(hlo.HloPrintOptions.short_parsable())


def _made(jax: Any, kind: str, xs: list[Any], options: dict[str, Any], count: int) -> list[Any]:
    jnp, lax, x = jax.numpy, jax.lax, xs[0]
    axis = options.get("axis", 0)
    match kind:
        case "Split":
            return jnp.split(x, np.cumsum(xs[1])[: count - 1].tolist(), axis)
        case "Conv":
            return [_convolution(jnp, lax, xs, options)]
        case "MaxPool" | "AveragePool":
            kernel, strides = (
                (1, 1, *options.get(key, (1, 1))) for key in ("kernel_shape", "strides")
            )
            if kind == "MaxPool":
                return [lax.reduce_window(x, -jnp.inf, lax.max, kernel, strides, "VALID")]
            total = lax.reduce_window(x, 0.0, lax.add, kernel, strides, "VALID")
            return [total / float(np.prod(kernel))]
        case "BatchNormalization":
            gamma, beta, mean, var = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in xs[1:])
            return [(x - mean) / jnp.sqrt(var + 1e-5) * gamma + beta]
        case _:
            pass
    keep = bool(options.get("keepdims", 1))
    simple: dict[str, Any] = {
        "Cast": lambda: x,
        "Add": lambda: x + xs[1],
        "Sub": lambda: x - xs[1],
        "Mul": lambda: x * xs[1],
        "Div": lambda: x / xs[1],
        "Neg": lambda: -x,
        "Relu": lambda: jax.nn.relu(x),
        "Sigmoid": lambda: jax.nn.sigmoid(x),
        "MatMul": lambda: x @ xs[1],
        "Gemm": lambda: x @ xs[1] + xs[2],
        "Softmax": lambda: jax.nn.softmax(x, -1),
        "Flatten": lambda: x.reshape(len(x), -1),
        "Reshape": lambda: x.reshape([n or x.shape[k] for k, n in enumerate(xs[1].tolist())]),
        "Transpose": lambda: x.transpose(options["perm"]),
        "Concat": lambda: jnp.concatenate(xs, axis),
        "Pad": lambda: jnp.pad(x, xs[1].reshape(2, -1).T, constant_values=xs[2]),
        "Expand": lambda: jnp.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(xs[1]))),
        "Gather": lambda: jnp.take(x, xs[1], axis),
        "Slice": lambda: _slice(x, *xs[1:]),
        "ReduceMean": lambda: x.mean(tuple(options["axes"]), keepdims=keep),
        "ReduceSum": lambda: x.sum(tuple(int(k) for k in xs[1]), keepdims=keep),
    }
    return [simple[kind]()]


def _convolution(jnp: Any, lax: Any, xs: list[Any], options: dict[str, Any]) -> Any:
    pads = options.get("pads", [0] * 4)
    found = lax.conv_general_dilated(
        xs[0], xs[1], options.get("strides", (1, 1)), ((pads[0], pads[2]), (pads[1], pads[3])),
        rhs_dilation=options.get("dilations", (1, 1)),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )  # fmt: skip
    return found + xs[2][:, None, None] if len(xs) > 2 else found


def _slice(x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 else int(end)
        index = [slice(None)] * x.ndim
        index[axis] = slice(int(start) if step > 0 else None, stop, int(step))
        x = x[tuple(index)]
    return x
