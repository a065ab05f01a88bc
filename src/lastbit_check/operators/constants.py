"""Constants of a graph: tensors, numbers, and lists of numbers."""

from __future__ import annotations

import numpy as np

from lastbit_check.files.operators import INTEGER, LISTED, Form, Legal, finite, many
from lastbit_check.onnxfile import Attribute, Operator, Tensor
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.verdict import require


def constant(_: Reader, o: Operator) -> Tensor:
    """A constant of the graph: a tensor, a number, or a list of numbers."""
    (value,) = o.attributes.values()
    require(not isinstance(value, str), "model.operator", "a text")
    numbers = np.array(value)
    return numbers.astype("<f4" if numbers.dtype.kind == "f" else "<i8")


def filled(reader: Reader, o: Operator) -> Tensor:
    """ConstantOfShape: a tensor of one number."""
    sizes, value = reader.whole(o.inputs[0]), o.attributes.get("value", np.zeros(1, "<f4"))
    right = isinstance(value, np.ndarray) and value.size == 1 and all(n > 0 for n in sizes)
    require(right and np.prod(sizes) < MOST_NUMBERS, "model.operator", f"of {sizes}")
    return np.full(sizes, value).astype(np.asarray(value).dtype)


def a_tensor(value: Attribute) -> bool:
    """Whether an attribute holds one."""
    return isinstance(value, np.ndarray)


MOST_NUMBERS = 2**24
RULES = {"Constant": Rule({0: constant}, (0,)), "ConstantOfShape": Rule({0: filled})}
CONSTANT: dict[str, Legal] = {
    "value": a_tensor,
    "value_float": finite,
    "value_floats": many(float),
    "value_int": INTEGER,
    "value_ints": many(int),
}
FORMS = {
    "Constant": {7: Form((), 0, {"value": a_tensor}), 12: Form((), 0, CONSTANT)},
    "ConstantOfShape": {9: Form((LISTED,), 1, {"value": a_tensor})},
}
