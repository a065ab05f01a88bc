"""Softmax over the classes, the last operator (docs/bound.md, section 5)."""

from __future__ import annotations

from lastbit_check.files.operators import AXIS, F, Form
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.verdict import require


def softmax(_: Reader, o: Operator, x: Node) -> Node:
    """Probabilities of logits."""
    axis, axes = o.attribute("axis", -1), (-1, 1) if x.rank == 2 else (1, -3)
    right = x.shape[1:] == (1, 1) and x.shape[0] > 1 and axis in axes
    require(right, "model.operator", f"over axis {axis} of a value of shape {x.shape}")
    return made(o, "softmax", x)


RULES = {"Softmax": Rule({1: softmax})}
FORMS = {"Softmax": {13: Form((F,), 1, {"axis": AXIS})}}
