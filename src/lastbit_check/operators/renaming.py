"""What computes nothing: Cast, Identity, Dropout, Constant, and reshapes of (N, C, 1, 1)."""

from __future__ import annotations

from dataclasses import replace

from lastbit_check.network import Node
from lastbit_check.onnxfile import Attribute, Operator
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.verdict import require


def constant(_: Reader, o: Operator) -> Attribute | None:
    """A constant of the graph."""
    return o.attributes.get("value")


def same(_: Reader, o: Operator, x: Node) -> Node:
    """The node that is read."""
    right = o.op != "Cast" or (o.attributes.get("to") == 1 and x.op == "input")
    require(right, "model.operator", "only bytes to float32")
    return x


def flatten(reader: Reader, o: Operator, x: Node) -> Node:
    """(N, C, 1, 1) as (N, C)."""
    require(x.shape[1:] == (1, 1), "model.operator", "reshapes pixels")
    target = reader.tensor(o.inputs[1]).ravel().tolist() if len(o.inputs) > 1 else [0, -1]
    right = target in ([-1, x.shape[0]], [0, -1], [0, x.shape[0]])
    require(right, "model.operator", "a reshape other than to (N, C)")
    return replace(x, rank=2)


RULES = {
    **dict.fromkeys(("Cast", "Dropout", "Identity"), Rule({1: same})),
    "Constant": Rule({0: constant}, (0,)),
    "Flatten": Rule({1: flatten}, only={"axis": 1}),
    "Reshape": Rule({1: flatten}, (2,)),
}
