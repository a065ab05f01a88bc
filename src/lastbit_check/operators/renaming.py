"""What computes nothing: Cast, Identity, Dropout, Constant, and reshapes of (N, C, 1, 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lastbit_check.files.operators import (
    AXIS,
    BYTES_TOO,
    FLAG,
    INTEGER,
    LISTED,
    F,
    Form,
    Legal,
    finite,
    many,
    whole,
)
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator, Tensor
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.verdict import require


def constant(_: Reader, o: Operator) -> Tensor:
    """A constant of the graph: a tensor, a number, or a list of numbers."""
    (value,) = o.attributes.values()
    require(not isinstance(value, str), "model.operator", "a text")
    numbers = np.array(value)
    return numbers.astype("<f4" if numbers.dtype.kind == "f" else "<i8")


def same(_: Reader, o: Operator, x: Node) -> Node:
    """The node that is read."""
    right = o.op != "Cast" or (o.attributes.get("to") == 1 and x.op == "input")
    require(right, "model.operator", "from anything but bytes to float32")
    return x


def same_constant(reader: Reader, o: Operator) -> Tensor:
    """The constant that is read."""
    return reader.tensor(o.inputs[0])


def flatten(_: Reader, o: Operator, x: Node) -> Node:
    """(N, C, 1, 1) as (N, C)."""
    axis = o.attribute("axis", 1)
    require(axis % x.rank == 1, "model.operator", f"at axis {axis}")
    return _seen_as(x, (math.prod(x.shape),))


def reshape(reader: Reader, o: Operator, x: Node) -> Node:
    """Between (N, C, 1, 1) and (N, C). Of the sizes 0 is the one before, -1 what is left over."""
    target: list[int] = reader.tensor(o.inputs[1]).astype(np.int64).ravel().tolist()
    before = x.shape[: x.rank - 1]
    batch, *sizes = target or [1]
    found = [before[i] if n == 0 and i < len(before) else n for i, n in enumerate(sizes)]
    if -1 in found:
        others = -math.prod(found)
        found[found.index(-1)] = math.prod(before) // others if others > 0 else 0
    right = batch in (0, reader.batch) or (batch == -1 and -1 not in sizes)
    require(right, "model.operator", f"to {target}, which mixes images")
    return _seen_as(x, found)


def squeeze(reader: Reader, o: Operator, x: Node) -> Node:
    """(N, C, 1, 1) as (N, C)."""
    axes = _axes(reader, o, x.rank)
    return _seen_as(x, [n for i, n in enumerate(x.shape[: x.rank - 1], 1) if i not in axes])


def unsqueeze(reader: Reader, o: Operator, x: Node) -> Node:
    """(N, C) as (N, C, 1, 1)."""
    axes = _axes(reader, o, x.rank + 2)
    require(x.rank == 2 and axes == {2, 3}, "model.operator", f"at axes {axes}")
    return _seen_as(x, x.shape)


def _axes(reader: Reader, o: Operator, rank: int) -> set[int]:
    given: list[int] = reader.tensor(o.inputs[1]).astype(np.int64).ravel().tolist()
    axes = {axis % rank for axis in given}
    require(len(axes) == len(given) and 0 not in axes, "model.operator", f"at axes {given}")
    return axes


def _seen_as(x: Node, sizes: Sequence[int]) -> Node:
    """The same numbers, one a channel, with other sizes, the batch aside."""
    channels, *places = x.shape
    right = places == [1, 1] and tuple(sizes) in ((channels,), (channels, 1, 1))
    require(right, "model.operator", f"from {x.shape} to {(*sizes,)}")
    return replace(x, rank=1 + len(sizes))


RULES = {
    **dict.fromkeys(("Cast", "Dropout"), Rule({1: same})),
    "Constant": Rule({0: constant}, (0,)),
    "Flatten": Rule({1: flatten}),
    "Identity": Rule({0: same_constant, 1: same}),
    "Reshape": Rule({1: reshape}, (2,)),
    "Squeeze": Rule({1: squeeze}, (2,)),
    "Unsqueeze": Rule({1: unsqueeze}, (2,)),
}
CAST = {"to": whole(1, 28)}
CONSTANT: dict[str, Legal] = {
    "value": lambda v: isinstance(v, np.ndarray),
    "value_float": finite,
    "value_floats": many(float),
    "value_int": INTEGER,
    "value_ints": many(int),
}
FORMS = {
    "Cast": {
        13: Form((BYTES_TOO,), 1, CAST),
        19: Form((BYTES_TOO,), 1, {**CAST, "saturate": whole(1, 1)}),
    },
    "Constant": {13: Form((), 0, CONSTANT)},
    "Dropout": {13: Form((F,), 1, {"seed": INTEGER})},
    "Flatten": {13: Form((BYTES_TOO,), 1, {"axis": AXIS})},
    "Identity": {13: Form(((*BYTES_TOO, *LISTED),), 1)},
    "Reshape": {
        13: Form((BYTES_TOO, LISTED), 2),
        14: Form((BYTES_TOO, LISTED), 2, {"allowzero": FLAG}),
    },
    **{key: {13: Form((F, LISTED), 2)} for key in ("Squeeze", "Unsqueeze")},
}
