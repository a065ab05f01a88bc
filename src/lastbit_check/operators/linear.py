"""Convolutions, dense layers and means: sums of products over the places of a kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastbit_check.files.operators import (
    BINARY,
    FLAG,
    LISTED,
    MOST,
    UNARY,
    F,
    Form,
    axes,
    finite,
    numbers,
    text,
    whole,
)
from lastbit_check.network import Constant, Node, Part, Sum
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import divided_by
from lastbit_check.operators.reading import Reader, Rule, summed
from lastbit_check.verdict import require


def convolution(reader: Reader, o: Operator, x: Node) -> Node:
    """Conv, Gemm and MatMul. A dense layer is a convolution by a kernel of one place."""
    weight, dense = reader.floats(o.inputs[1]), o.op != "Conv"
    require(
        weight.ndim == (2 if dense else 4), "model.shape", f"with weights of {weight.ndim} axes"
    )
    if dense:
        weight = (weight if o.attribute("transB", 0) else weight.T)[:, :, None, None]
    automatic = o.attributes.get("auto_pad", "NOTSET")
    require(automatic in ("NOTSET", "VALID"), "model.operator", f"with auto_pad {automatic}")
    kernel = [*weight.shape[2:]]
    require(
        o.attributes.get("kernel_shape", kernel) == kernel,
        "model.operator",
        "with another kernel_shape",
    )
    bias = reader.floats(o.inputs[2]) if len(o.inputs) > 2 else None
    if dense and bias is not None and bias.shape == (1, len(weight)):
        bias = bias[0]
    require(
        bias is None or bias.shape == weight.shape[:1],
        "model.shape",
        "with a bias of another shape",
    )
    strides, pads = o.attribute("strides", [1, 1]), o.attribute("pads", [0, 0, 0, 0])
    part = Part(x.name, weight, tuple(strides), tuple(pads), o.attribute("group", 1))
    return _over_places(o, x, part, () if bias is None else (Constant(bias),))


def mean(reader: Reader, o: Operator, x: Node) -> Node:
    """GlobalAveragePool, and ReduceMean over both axes of the image."""
    given = reader.tensor(o.inputs[1]).ravel().tolist() if len(o.inputs) > 1 else []
    over = o.attributes.get("axes", given) if o.op == "ReduceMean" else [2, 3]
    right = isinstance(over, list) and sorted(axis % 4 for axis in over) == [2, 3]
    require(right, "model.operator", f"over axes {over}")
    channels, *kernel = x.shape
    count = divided_by(np.full(channels, float(math.prod(kernel)), np.float32))
    part = Part(x.name, np.ones((channels, 1, *kernel), np.float32), groups=channels)
    rank = 4 if o.attribute("keepdims", 1) else 2
    return _over_places(o, x, part._replace(factors=(count,)), rank=rank)


def _over_places(
    o: Operator, x: Node, part: Part, constants: tuple[Constant, ...] = (), **parts: Any
) -> Node:
    outs, ins, high, wide = part.weight.shape
    (down, across), (top, left, bottom, right) = part.strides, part.pads
    fits = part.groups > 0 and ins * part.groups == x.shape[0] and outs % part.groups == 0
    fits = fits and min(high, wide, down, across) > 0
    require(
        fits and min(part.pads) >= 0, "model.shape", f"with weights of shape {part.weight.shape}"
    )
    rows = (x.shape[1] + top + bottom - high) // down + 1
    columns = (x.shape[2] + left + right - wide) // across + 1
    require(min(rows, columns) > 0, "model.shape", "with a kernel larger than its image")
    part = part._replace(moved=x.trailing)
    return summed(o, Sum((part,), constants), x, shape=(outs, rows, columns), **parts)


RULES = {
    "Conv": Rule({1: convolution}, (2, 3), (4,), {"dilations": [1, 1]}),
    "Gemm": Rule({1: convolution}, (2, 3), (2,), {"alpha": 1.0, "beta": 1.0, "transA": 0}),
    "GlobalAveragePool": Rule({1: mean}, ranks=(4,), only={"keepdims": 1}),
    "MatMul": Rule({1: convolution}, (2,), (2,), {"transB": 0}),
    "ReduceMean": Rule({1: mean}, (1, 2), (4,)),
}
CONV = {
    "auto_pad": text("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "dilations": numbers(1, MOST, 2),
    "group": whole(1, MOST),
    "kernel_shape": numbers(1, MOST, 2),
    "pads": numbers(0, MOST, 4),
    "strides": numbers(1, MOST, 2),
}
GEMM = {"alpha": finite, "beta": finite, "transA": FLAG, "transB": FLAG}
NOOP = {"keepdims": FLAG, "noop_with_empty_axes": FLAG}
FORMS = {
    "Conv": {13: Form((F, F, F), 2, CONV)},
    "Gemm": {13: Form((F, F, F), 2, GEMM)},
    "GlobalAveragePool": {13: UNARY},
    "MatMul": {13: BINARY},
    "ReduceMean": {
        13: Form((F,), 1, {"axes": axes, "keepdims": FLAG}),
        18: Form((F, LISTED), 1, NOOP),
    },
}
