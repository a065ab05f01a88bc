"""What an operator may be given: operands, attributes and their values, by operator set.

A table, from the definitions of ONNX. It does not say what is covered, only what has one meaning:
attributes of another operator set, numbers for truth values, axes that do not exist and operands of
another element type are what readers pass over, reduce or refuse, each in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lastbit_check.onnxfile import FLOAT, INT64, UINT8, Attribute, OnnxGraph, Operator, Tensor
from lastbit_check.verdict import Rejected, at, require

OPSETS = range(13, 26)
MOST = 2**31 - 1
Legal = Callable[[Attribute], bool]
Elements = dict[str, int | None]
"""Element types by the names of values; None for what an unknown operator makes."""


def _whole(low: int, high: int) -> Legal:
    return lambda v: isinstance(v, int) and low <= v <= high


def _list(low: int, high: int, count: int) -> Legal:
    whole = _whole(low, high)
    return lambda v: isinstance(v, list) and len(v) == count and all(whole(n) for n in v)


def _finite(value: Attribute) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _axes(value: Attribute) -> bool:
    """Axes of a value of four axes, each once."""
    if not isinstance(value, list) or not all(AXIS(n) for n in value):
        return False
    return len({n % 4 for n in value}) == len(value)


def _text(*allowed: str) -> Legal:
    return lambda v: isinstance(v, str) and v in allowed


def _many(kind: type) -> Legal:
    return lambda v: isinstance(v, list) and len(v) > 0 and all(type(n) is kind for n in v)


class Form(NamedTuple):
    """The element types of each operand, ``least`` of which must be there; attributes."""

    operands: tuple[tuple[int, ...], ...]
    least: int
    attributes: Mapping[str, Legal] = {}


FLAG, AXIS, INTEGER = _whole(0, 1), _whole(-4, 3), _whole(-(2**63), 2**63 - 1)
F, LISTED, ANY = (FLOAT,), (INT64,), (FLOAT, UINT8)
UNARY, BINARY = Form((F,), 1), Form((F, F), 2)
NORM = {"epsilon": _finite, "momentum": _finite}
CAST = {"to": _whole(1, 28)}
CONV = {
    "auto_pad": _text("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "dilations": _list(1, MOST, 2),
    "group": _whole(1, MOST),
    "kernel_shape": _list(1, MOST, 2),
    "pads": _list(0, MOST, 4),
    "strides": _list(1, MOST, 2),
}
GEMM = {"alpha": _finite, "beta": _finite, "transA": FLAG, "transB": FLAG}
CONSTANT: dict[str, Legal] = {
    "value": lambda v: isinstance(v, np.ndarray),
    "value_float": _finite,
    "value_floats": _many(float),
    "value_int": INTEGER,
    "value_ints": _many(int),
}
NOOP = {"keepdims": FLAG, "noop_with_empty_axes": FLAG}
# each operator's forms by the operator set from which on they hold, in rising order
FORMS: dict[str, dict[int, Form]] = {
    **{op: {13: BINARY} for op in ("Add", "Div", "MatMul", "Mul", "Sub")},
    **{op: {13: UNARY} for op in ("GlobalAveragePool", "Sigmoid")},
    "BatchNormalization": {
        13: Form((F,) * 5, 5, NORM),
        14: Form((F,) * 5, 5, {**NORM, "training_mode": FLAG}),
    },
    "Cast": {13: Form((ANY,), 1, CAST), 19: Form((ANY,), 1, {**CAST, "saturate": _whole(1, 1)})},
    "Constant": {13: Form((), 0, CONSTANT)},
    "Conv": {13: Form((F, F, F), 2, CONV)},
    "Dropout": {13: Form((F,), 1, {"seed": INTEGER})},
    "Flatten": {13: Form((ANY,), 1, {"axis": AXIS})},
    "Gemm": {13: Form((F, F, F), 2, GEMM)},
    "Identity": {13: Form(((*ANY, INT64),), 1)},
    "ReduceMean": {
        13: Form((F,), 1, {"axes": _axes, "keepdims": FLAG}),
        18: Form((F, LISTED), 1, NOOP),
    },
    "Reshape": {13: Form((ANY, LISTED), 2), 14: Form((ANY, LISTED), 2, {"allowzero": FLAG})},
    "Softmax": {13: Form((F,), 1, {"axis": AXIS})},
}


def legal(graph: OnnxGraph) -> Elements:
    """The element types of all values. Raises Rejected (rules model.*) for what may be misread.

    Operators that are not in the table are passed over: network.py refuses them by name.
    """
    require(graph.opset in OPSETS, "model.opset", f"operator set {graph.opset}")
    constants = dict(graph.constants)
    elements: Elements = {name: _element(tensor) for name, tensor in constants.items()}
    elements[graph.image.name] = graph.image.element
    for o in graph.operators:
        elements[o.name] = None
        if o.op in FORMS:
            forms = FORMS[o.op]
            with at(o.name):
                form = forms[max(since for since in forms if since <= graph.opset)]
                _check(o, form, elements)
                elements[o.name] = _made(o, elements, constants)
    return elements


def _check(o: Operator, form: Form, elements: Elements) -> None:
    """Attributes that the form has, of legal values; operands, as many as it has, of its types."""
    for name, value in o.attributes.items():
        if name not in form.attributes or not form.attributes[name](value):
            raise Rejected("model.attribute", f"{o.op} with {name} {value!r}")
    right = form.least <= len(o.inputs) <= len(form.operands) and "" not in o.inputs
    require(right, "model.operands", f"{o.op} of {[*o.inputs]}")
    for name, allowed in zip(o.inputs, form.operands, strict=False):
        kind = elements.get(name)
        require(kind in (None, *allowed), "model.operands", f"{o.op} of {name!r} of type {kind}")


def _made(o: Operator, elements: Elements, constants: dict[str, Tensor]) -> int | None:
    """The element type of what ``o`` makes. What has to fit each other does."""
    first = o.inputs[0] if o.inputs else ""
    match o.op:
        case "Constant":
            require(len(o.attributes) == 1, "model.attribute", f"values: {[*o.attributes]}")
            constants[o.name] = np.array(next(iter(o.attributes.values())))
            return _element(constants[o.name])
        case "Cast":
            return FLOAT
        case "Conv":
            automatic = o.attributes.get("auto_pad", "NOTSET") != "NOTSET"
            require(not (automatic and "pads" in o.attributes), "model.attribute", "pads twice")
        case "Identity" if first in constants:
            constants[o.name] = constants[first]
        case "ReduceMean" | "Reshape" if len(o.inputs) > 1 and o.inputs[1] in constants:
            _check_list(o, constants[o.inputs[1]])
        case _:
            pass
    return elements.get(first)


def _check_list(o: Operator, listed: Tensor) -> None:
    """A list of axes, or of sizes, of which 0 is one or stands for the size before."""
    require(listed.ndim == 1, "model.operands", f"{o.op} by a tensor of {listed.ndim} axes")
    numbers: list[int] = listed.tolist()
    if o.op == "ReduceMean":
        require(_axes(numbers), "model.operands", f"the axes {numbers}")
    else:
        empty = o.attributes.get("allowzero") == 1 and 0 in numbers
        require(not empty, "model.operands", f"the sizes {numbers}, 0 among them")


def _element(tensor: Tensor) -> int:
    return INT64 if tensor.dtype.kind == "i" else FLOAT
