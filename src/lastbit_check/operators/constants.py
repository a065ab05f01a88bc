"""Constants of a graph, and what operators make of them: the sizes of others, as a rule.

Map: normal-form
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from lastbit_check.files.operators import INTEGER, LISTED, UNARY, Form, Legal, finite, many
from lastbit_check.onnxfile import FLOAT, INT64, Attribute, Operator, Tensor
from lastbit_check.operators.reading import Reader, Rule, not_too_many
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
    require(right, "model.operator", f"of {sizes}")
    not_too_many(sizes)
    return np.full(sizes, value).astype(np.asarray(value).dtype)


def whole_numbers(reader: Reader, o: Operator) -> Tensor:
    """Add, Sub, Mul and Div of two constants: of sizes, as a rule, which may be of binary32.

    Such a result is exact. What rounds is not folded here: a runtime may fold it, or not.
    """
    a, b = (reader.tensor(name) for name in o.inputs)
    real, most = a.dtype == np.dtype("<f4"), MOST_REAL if a.dtype.kind == "f" else MOST_WHOLE
    small = all(np.all((-most < v) & (v < most) & (v == np.floor(v))) for v in (a, b))
    require(a.dtype == b.dtype and small, "model.operator", "of constants that are no sizes")
    match o.op:
        case "Add":
            return cast("Tensor", np.asarray(a + b))
        case "Sub":
            return cast("Tensor", np.asarray(a - b))
        case "Mul":
            return cast("Tensor", np.asarray(a * b))
        case _:
            right = np.all(a >= 0) and np.all(b > 0)
            require(right, "model.operands", f"of {a} by {b}")
            found = cast("Tensor", np.asarray(a / b if real else a // b, a.dtype))
            exact = found.astype(np.float64) * b == a
            require(not real or np.all(exact), "model.operands", f"of {a} by {b}")
            return found


def rounded(reader: Reader, o: Operator) -> Tensor:
    """Ceil and Floor of a constant."""
    found = reader.floats(o.inputs[0])
    return np.asarray(np.ceil(found) if o.op == "Ceil" else np.floor(found), "<f4")


def same_constant(reader: Reader, o: Operator) -> Tensor:
    """The constant that is read, by Cast as numbers of another type: whole ones towards 0."""
    found = reader.tensor(o.inputs[0])
    to = {FLOAT: "<f4", INT64: "<i8"}.get(o.attribute("to", 0), "") if o.op == "Cast" else ""
    require(to or o.op != "Cast", "model.operator", "of a constant to another type")
    if not to or found.dtype == np.dtype(to):
        return found
    small = np.all((found >= -MOST_NUMBERS) & (found <= MOST_NUMBERS))
    require(small, "model.operands", "of numbers that are too large")
    return cast("Tensor", found.astype(to))


def sizes_of(reader: Reader, o: Operator) -> Tensor:
    """Shape of a constant."""
    sizes = np.array(reader.tensor(o.inputs[0]).shape, "<i8")
    return sizes[o.attribute("start", 0) : o.attribute("end", len(sizes))]


def resized(reader: Reader, o: Operator) -> Tensor:
    """A constant with other axes."""
    found, given = reader.tensor(o.inputs[0]), (*axes_of(reader, o),)
    if o.op == "Squeeze":
        return cast("Tensor", np.squeeze(found, given or None))
    return cast("Tensor", np.expand_dims(found, given))


def reshaped(reader: Reader, o: Operator) -> Tensor:
    """Reshape of a constant."""
    found, sizes = reader.tensor(o.inputs[0]), reader.whole(o.inputs[1])
    whole = [found.shape[k] if n == 0 and k < found.ndim else n for k, n in enumerate(sizes)]
    right = min(whole, default=1) >= -1 and 0 not in whole and whole.count(-1) < 2
    fits = right and (found.size % max(1, abs(math.prod(whole))) == 0)
    fits = fits and (-1 in whole or math.prod(whole) == found.size)
    require(fits, "model.shape", f"of {found.shape} to {sizes}")
    return found.reshape(whole)


def turned(reader: Reader, o: Operator) -> Tensor:
    """Transpose of a constant."""
    found = reader.tensor(o.inputs[0])
    order = o.attribute("perm", [*range(found.ndim)][::-1])
    require(sorted(order) == [*range(found.ndim)], "model.operator", f"to the axes {order}")
    return found.transpose(order)


def axes_of(reader: Reader, o: Operator) -> list[int]:
    """The axes, an operand or an attribute."""
    return reader.whole(o.inputs[1]) if o.operand(1) else o.attribute("axes", [])


def joined(reader: Reader, o: Operator) -> Tensor:
    """Concat of constants: sizes, as a rule."""
    given = [reader.tensor(name) for name in o.inputs]
    require(len({v.dtype for v in given}) == 1, "model.operands", "of two types")
    return cast("Tensor", np.concatenate(given, o.attribute("axis", 0)))


def taken(reader: Reader, o: Operator) -> Tensor:
    """Gather of a constant."""
    places = reader.tensor(o.inputs[1]).astype(np.int64)
    found = np.take(reader.tensor(o.inputs[0]), places, o.attribute("axis", 0))
    return cast("Tensor", np.asarray(found))


def cut(reader: Reader, o: Operator) -> Tensor:
    """Slice of a constant."""
    tensor = reader.tensor(o.inputs[0])
    index = [slice(None)] * tensor.ndim
    for axis, part in cuts(reader, o, tensor.ndim):
        index[axis] = part
    return tensor[(*index,)]


def cuts(reader: Reader, o: Operator, rank: int) -> list[tuple[int, slice]]:
    """By axis, each once, what is kept: starts, ends, axes and steps are operands, or attributes.

    An end as far below 0 as that, going down, is before the first number.
    """
    if len(o.inputs) == 1:
        starts, ends = o.attribute("starts", []), o.attribute("ends", [])
        over, steps = o.attribute("axes", [*range(len(starts))]), [1] * len(starts)
    else:
        starts, ends = (reader.whole(name) for name in o.inputs[1:3])
        over = reader.whole(o.inputs[3]) if o.operand(3) else [*range(len(starts))]
        steps = reader.whole(o.inputs[4]) if o.operand(4) else [1] * len(starts)
    named = [axis % rank for axis in over if -rank <= axis < rank]
    right = len(starts) == len(ends) == len(over) == len(steps) == len({*named})
    require(right, "model.operands", f"from {starts} to {ends} along {over} by {steps}")
    require(0 not in steps, "model.operator", "by steps of 0")
    ends = [None if s < 0 and e < -MOST_NUMBERS else e for e, s in zip(ends, steps, strict=True)]
    return [*zip(named, map(slice, starts, ends, steps), strict=True)]


def a_tensor(value: Attribute) -> bool:
    """Whether an attribute holds one."""
    return isinstance(value, np.ndarray)


MOST_NUMBERS = 2**24
MOST_REAL, MOST_WHOLE = 2**12, 2**31  # products are exact, and none is BATCH
RULES = {
    "Ceil": Rule({0: rounded}),
    "Constant": Rule({0: constant}, (0,)),
    "ConstantOfShape": Rule({0: filled}),
    "Floor": Rule({0: rounded}),
}
CONSTANT: dict[str, Legal] = {
    "value": a_tensor,
    "value_float": finite,
    "value_floats": many(float),
    "value_int": INTEGER,
    "value_ints": many(int),
}
FORMS = {
    "Ceil": {7: UNARY},
    "Constant": {7: Form((), 0, {"value": a_tensor}), 12: Form((), 0, CONSTANT)},
    "Floor": {7: UNARY},
    "ConstantOfShape": {9: Form((LISTED,), 1, {"value": a_tensor})},
}
