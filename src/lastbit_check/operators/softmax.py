"""Softmax over the classes, the last operator (docs/bound.md, section 5)."""

from __future__ import annotations

from lastbit_check.files.operators import AXIS, F, Form
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.operators.seen import Seen, of_node
from lastbit_check.verdict import require

BY_AXIS = 13  # the operator set from which on it works on one axis, and not on all that follow


def softmax(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Probabilities of logits."""
    axis = o.attribute("axis", -1 if reader.opset >= BY_AXIS else 1)
    inside = -x.rank <= axis < x.rank and axis % x.rank > 0
    require(-x.rank <= axis < x.rank, "model.attribute", f"Softmax over axis {axis}")
    over = x.sizes[axis % x.rank - 1] if inside else 0
    if reader.opset < BY_AXIS and axis == 1:
        over = x.count
    right = over == x.count > 1 and x.order is None
    require(right, "model.operator", f"over axis {axis} of a value of shape {x.sizes}")
    return of_node(Node(o.name, "softmax", (x.node.name,), (x.count, 1, 1)), x.sizes)


RULES = {"Softmax": Rule({1: softmax})}
FORMS = {"Softmax": {7: Form((F,), 1, {"axis": AXIS})}}
