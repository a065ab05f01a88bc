"""What an operator may be given: operands, attributes and their values, by operator set.

The tables (FORMS, beside each operator's rules) are from the definitions of ONNX. They do not say
what is covered, only what has one meaning: attributes of another operator set, numbers for truth
values, axes that do not exist and operands of another element type are what readers pass over,
reduce or refuse, each in its own way.

Map: file
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lastbit_check.onnxfile import FLOAT, INT64, UINT8, Attribute, OnnxGraph, Operator, Tensor
from lastbit_check.verdict import Rejected, at, require

OPSETS = range(7, 26)
MOST_OPERANDS = 2**10
MOST = 2**31 - 1
Legal = Callable[[Attribute], bool]
Elements = dict[str, int | None]
"""Element types by the names of values; None for what an unknown operator makes."""


def whole(low: int, high: int) -> Legal:
    """A whole number from ``low`` to ``high``."""
    return lambda v: isinstance(v, int) and low <= v <= high


def numbers(low: int, high: int, *counts: int) -> Legal:
    """So many of them."""
    right = whole(low, high)
    return lambda v: isinstance(v, list) and len(v) in counts and all(right(n) for n in v)


def finite(value: Attribute) -> bool:
    """A number that is neither infinite nor NaN."""
    return isinstance(value, float) and math.isfinite(value)


def axes(value: Attribute) -> bool:
    """Axes, each once; which of them are the same depends on what they are axes of."""
    return isinstance(value, list) and all(AXIS(n) for n in value) and len({*value}) == len(value)


def text(*allowed: str) -> Legal:
    """One of these texts."""
    return lambda v: isinstance(v, str) and v in allowed


def many(kind: type) -> Legal:
    """Values of a kind, one at least."""
    return lambda v: isinstance(v, list) and len(v) > 0 and all(type(n) is kind for n in v)


class Form(NamedTuple):
    """The element types of each operand, ``least`` of which must be there; attributes.

    Of the others any may be left out, with an empty name, if that is ``optional``.
    """

    operands: tuple[tuple[int, ...], ...]
    least: int
    attributes: Mapping[str, Legal] = {}
    optional: bool = False


FLAG, AXIS, INTEGER = whole(0, 1), whole(-8, 7), whole(-(2**63), 2**63 - 1)
F, LISTED, BYTES_TOO = (FLOAT,), (INT64,), (FLOAT, UINT8)
UNARY, BINARY = Form((F,), 1), Form((F, F), 2)
WHOLE_TOO = Form(((*F, *LISTED),) * 2, 2)
Forms = Mapping[str, Mapping[int, Form]]
"""Each operator's forms by the operator set from which on they hold, in rising order."""


def legal(graph: OnnxGraph, table: Forms) -> Elements:
    """The element types of all values. Raises Rejected (rules model.*) for what may be misread.

    Operators that are not in the table are passed over: the reader refuses them by name.
    """
    require(graph.opset in OPSETS, "model.opset", f"operator set {graph.opset}")
    constants = dict(graph.constants)
    elements: Elements = {name: _element(tensor) for name, tensor in constants.items()}
    elements[graph.image.name] = graph.image.element
    for o in graph.operators:
        elements[o.name] = None
        if o.op in table:
            forms = table[o.op]
            with at(o.name):
                since = max((n for n in forms if n <= graph.opset), default=0)
                require(since > 0, "model.operator", f"no {o.op} in operator set {graph.opset}")
                _check(o, forms[since], elements)
                elements[o.name] = _made(o, elements, constants)
    return elements


def _check(o: Operator, form: Form, elements: Elements) -> None:
    """Attributes that the form has, of legal values; operands, as many as it has, of its types."""
    for name, value in o.attributes.items():
        if name not in form.attributes or not form.attributes[name](value):
            raise Rejected("model.attribute", f"{o.op} with {name} {value!r}")
    named = o.inputs[: form.least] if form.optional else o.inputs
    right = form.least <= len(o.inputs) <= len(form.operands) and "" not in named
    require(right, "model.operands", f"{o.op} of {[*o.inputs]}")
    for name, allowed in zip(o.inputs, form.operands, strict=False):
        kind = elements.get(name)
        require(
            not name or kind in (None, *allowed),
            "model.operands",
            f"{o.op} of {name!r} of type {kind}",
        )


def _made(o: Operator, elements: Elements, constants: dict[str, Tensor]) -> int | None:
    """The element type of what ``o`` makes. What has to fit each other does."""
    first = o.inputs[0] if o.inputs else ""
    match o.op:
        case "Constant" | "ConstantOfShape":
            alone = o.op == "ConstantOfShape" or len(o.attributes) == 1
            require(alone, "model.attribute", f"values: {[*o.attributes]}")
            value = np.array(next(iter(o.attributes.values()), np.zeros(1, np.float32)))
            if o.op == "Constant":
                constants[o.name] = value
            return _element(value)
        case "Cast":
            to = o.attributes.get("to")
            return to if isinstance(to, int) else None
        case "ArgMax" | "Shape":
            return INT64
        case "Conv" | "AveragePool" | "MaxPool":
            automatic = o.attributes.get("auto_pad", "NOTSET") != "NOTSET"
            require(not (automatic and "pads" in o.attributes), "model.attribute", "pads twice")
        case "Identity" if first in constants:
            constants[o.name] = constants[first]
        case "ReduceMean" | "ReduceSum" | "Reshape" | "Squeeze" | "Unsqueeze":
            if len(o.inputs) > 1 and o.inputs[1] in constants:
                _checknumbers(o, constants[o.inputs[1]])
        case _:
            pass
    return elements.get(first)


def _checknumbers(o: Operator, listed: Tensor) -> None:
    """A list of axes, or of sizes, of which 0 is one or stands for the size before."""
    require(listed.ndim == 1, "model.operands", f"{o.op} by a tensor of {listed.ndim} axes")
    listed_numbers: list[int] = listed.tolist()
    if o.op != "Reshape":
        require(axes(listed_numbers), "model.operands", f"the axes {listed_numbers}")
    else:
        empty = o.attributes.get("allowzero") == 1 and 0 in listed_numbers
        require(not empty, "model.operands", f"the sizes {listed_numbers}, 0 among them")


def _element(tensor: Tensor) -> int:
    return INT64 if tensor.dtype.kind == "i" else FLOAT
