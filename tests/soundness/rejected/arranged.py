"""Operators that arrange, count or end, where a runtime has other sizes or other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from soundness.rejected.models import LAST, START, Nodes, after, between, f32, model

BEYOND = np.array([0, 0, 4, 0, 0, 0, 0, 0])
MUCH = np.array([0, 0, 2**40, 0, 0, 0, 0, 0])


def ending(op: str, **attributes: Any) -> Nodes:
    """A file that ends in something else than softmax, of logits (N, 2, 1)."""
    back = ("Unsqueeze", ["z", "last"], "u", {})
    return [*START, *LAST[:2], back, (op, ["u"], "p", attributes)]


TWO = np.array([2])
model("model.operator", "a_label_over_the_images", ending("ArgMax"), last=TWO)
model("model.operator", "a_label_over_one_number", ending("ArgMax", axis=-1), last=TWO)
model("model.operator", "logarithms_over_one_number", ending("LogSoftmax"), last=TWO)
model(
    "model.attribute", "a_label_with_half_an_axis", ending("ArgMax", axis=1, keepdims=2), last=TWO
)
model("model.declared", "labels_said_to_be_two", ending("ArgMax", axis=1, keepdims=0), last=TWO)
model("model.operator", "all_axes_of_one_number", after(("Squeeze", ["a"], "m", {})))
model(
    "model.operator",
    "pads_of_more_numbers_than_there_are",
    between(("Pad", ["x", "by"], "m", {"mode": "reflect"})),
    by=BEYOND,
)
for op, by in (("Pad", MUCH), ("Tile", [1, 1, 2**40, 1]), ("Expand", [1, 2**40, 4, 4])):
    name = f"too_many_numbers_by_{op}"
    model("model.shape", name, between((op, ["x", "by"], "m", {})), by=np.array(by))
model(
    "model.shape",
    "too_many_constants",
    between(("ConstantOfShape", ["by"], "c", {}), ("Add", ["x", "c"], "m", {})),
    by=np.array([2**32, 2**32]),
)
for op in ("MaxPool", "AveragePool"):
    window = {"kernel_shape": [1, 1], "pads": [2**30, 0, 2**30, 0]}
    model("model.shape", f"too_many_windows_of_{op}", between((op, ["x"], "m", window)))
    window = {"kernel_shape": [2**16, 2**16]}
    model("model.shape", f"too_large_a_window_of_{op}", between((op, ["x"], "m", window)))
model(
    "model.shape",
    "too_large_a_kernel",
    between(("Conv", ["x", "k"], "m", {"dilations": [4000, 4000], "pads": [4000] * 4})),
    k=f32(2, 1, 2, 2),
)
model(
    "model.operands",
    "one_axis_by_two_numbers",
    between(("Slice", ["x", "from", "to", "by"], "m", {})),
    **{"from": np.array([0, 0]), "to": np.array([4, 4]), "by": np.array([1, -3])},
)
model(
    "model.shape",
    "another_number_of_pieces",
    between(("Split", ["x"], "m", {"axis": 2, "num_outputs": 2})),
    opset=18,
)
model(
    "file.names",
    "a_tensor_of_the_question_read",
    [*START, LAST[0], ("Gemm", ["lastbit.probabilities", "w"], "z", {"transB": 1})],
    output="z",
)
