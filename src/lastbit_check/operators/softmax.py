"""Softmax over the classes, the last operator (docs/bound.md, section 5).

Where a file ends in LogSoftmax or in ArgMax, the question is about the logits that these read.

Map: normal-form
"""

from __future__ import annotations

from lastbit_check.files.operators import AXIS, FLAG, F, Form
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


def label(_: Reader, o: Operator, x: Seen) -> Seen:
    """Which logit is the largest."""
    axis = o.attribute("axis", 0)
    inside = -x.rank <= axis < x.rank and axis % x.rank > 0
    right = inside and x.sizes[axis % x.rank - 1] == x.count
    require(right, "model.operator", f"over axis {axis} of a value of shape {x.sizes}")
    sizes = (1,) * (x.rank - 2 + o.attribute("keepdims", 1))
    return of_node(Node(o.name, "softmax", (x.node.name,), (1, 1, 1)), sizes)


RULES = {
    "ArgMax": Rule({1: label}),
    "LogSoftmax": Rule({1: softmax}),
    "Softmax": Rule({1: softmax}),
}
LABEL = {"axis": AXIS, "keepdims": FLAG}
FORMS = {
    "ArgMax": {7: Form((F,), 1, LABEL), 12: Form((F,), 1, {**LABEL, "select_last_index": FLAG})},
    **{key: {7: Form((F,), 1, {"axis": AXIS})} for key in ("LogSoftmax", "Softmax")},
}
