"""ONNX files that are not covered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.question import LAST_BIT
from soundness.rejected.cases import case

Nodes = Sequence[tuple[str, Sequence[str], str, dict[str, Any]]]
LAST: Nodes = [
    ("Flatten", ["m"], "f", {}),
    ("Gemm", ["f", "w"], "z", {"transB": 1}),
    ("Softmax", ["z"], "p", {}),
]
START: Nodes = [("Cast", ["image"], "x", {"to": 1}), ("GlobalAveragePool", ["x"], "m", {})]


def onnx_model(
    nodes: Nodes,
    output: str = "p",
    opset: int = 17,
    kind: int = TensorProto.UINT8,
    dims: Sequence[Any] = ("N", 1, 4, 4),
    **constants: Any,
) -> bytes:
    held = {"w": np.array([[1.0], [-1.0]], np.float32), **constants}
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), [name], **at) for op, inputs, name, at in nodes],
        "g",
        [helper.make_tensor_value_info("image", kind, dims)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in held.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)]
    ).SerializeToString()


def model(rule: str, name: str, nodes: Nodes, **given: Any) -> None:
    def run(folder: Path) -> None:
        proved(onnx_model(nodes, **given), LAST_BIT, Hints({}))

    run.__name__ = name
    case(rule)(run)


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def between(*nodes: tuple[str, Sequence[str], str, dict[str, Any]]) -> Nodes:
    """Operators that make m from x."""
    return [START[0], *nodes, *LAST]


def after(*nodes: tuple[str, Sequence[str], str, dict[str, Any]]) -> Nodes:
    """Operators between the mean and the dense layer's input m."""
    return [START[0], ("GlobalAveragePool", ["x"], "a", {}), *nodes, *LAST]


model("model.opset", "operators_of_long_ago", [*START, *LAST], opset=6)
model("model.opset", "operators_to_come", [*START, *LAST], opset=99)
model("model.input", "an_image_of_floats", [*START, *LAST], kind=TensorProto.FLOAT)
model("model.input", "an_image_without_sizes", [*START, *LAST], dims=())
model("model.input", "an_image_of_unknown_size", [*START, *LAST], dims=("N", 1, "H", 4))
model("model.input", "a_batch_of_two", [*START, *LAST], dims=(2, 1, 4, 4))
model("model.graph", "a_value_read_before_it_is_made", [START[1], START[0], *LAST])
model("file.names", "a_name_made_twice", [*START, ("Sigmoid", ["m"], "x", {}), *LAST])
model("file.names", "a_name_that_is_its_own_alias", [*START, ("Identity", ["m"], "m", {}), *LAST])
model(
    "model.graph",
    "names_in_a_circle",
    [
        ("Identity", ["b"], "a", {}),
        ("Identity", ["a"], "b", {}),
        ("Sigmoid", ["a"], "s", {}),
        *START,
        *LAST,
    ],
)
model("file.names", "a_name_of_a_weight_made_anew", [*START, ("Sigmoid", ["m"], "w", {}), *LAST])
model("model.graph", "no_name", [*START, ("Sigmoid", ["m"], "", {}), *LAST])
model(
    "model.graph",
    "weights_that_are_computed",
    [*START, LAST[0], ("Gemm", ["f", "f"], "z", {}), LAST[2]],
)
model("model.operator", "an_operator_without_a_rule", after(("Exp", ["a"], "m", {})))
model("model.operands", "too_many_inputs", after(("Sigmoid", ["a", "a"], "m", {})))
model("model.operands", "too_few_inputs", after(("Mul", ["a"], "m", {})))
model("model.operator", "a_second_cast_to_half", [*START, ("Cast", ["m"], "h", {"to": 10}), *LAST])
model(
    "model.operator",
    "another_axis_to_flatten",
    [*START, ("Flatten", ["m"], "f", {"axis": 2}), *LAST[1:]],
)
model(
    "model.operator",
    "a_reshape_that_mixes",
    [*START, ("Reshape", ["m", "to"], "f", {}), *LAST[1:]],
    to=np.array([1, 1]),
)
model(
    "model.shape",
    "a_dilation_beyond_the_image",
    between(("Conv", ["x", "k"], "m", {"dilations": [9, 1]})),
    k=f32(1, 1, 2, 2),
)
model(
    "model.operator",
    "a_kernel_of_another_shape",
    between(("Conv", ["x", "k"], "m", {"kernel_shape": [2, 2]})),
    k=f32(1, 1, 4, 4),
)
model(
    "model.shape",
    "a_convolution_of_lines",
    between(("Conv", ["x", "k"], "m", {})),
    k=f32(1, 1, 4),
)
model(
    "model.operator",
    "a_product_of_the_images_turned",
    [*START, LAST[0], ("Gemm", ["f", "w"], "z", {"transB": 1, "transA": 1}), LAST[2]],
)
model(
    "finite.values",
    "a_constant_over_what_may_be_0",
    after(("Div", ["t", "a"], "m", {})),
    t=f32(1),
)
model("model.operator", "a_mean_over_images", between(("ReduceMean", ["x"], "m", {"axes": [0, 2]})))
model(
    "model.operator",
    "softmax_over_the_batch",
    [*START, *LAST[:2], ("Softmax", ["z"], "p", {"axis": 0})],
)
model("model.output", "a_softmax_inside", [*START, *LAST, ("Sigmoid", ["p"], "q", {})], output="q")
model("model.output", "two_softmaxes", [*START, *LAST, ("Softmax", ["p"], "q", {})], output="q")
model(
    "model.output",
    "softmax_of_the_image",
    [("Cast", ["image"], "x", {"to": 1}), ("Flatten", ["x"], "z", {}), LAST[2]],
    dims=("N", 2, 1, 1),
)
model("model.shape", "a_dense_layer_that_does_not_fit", [*START, *LAST], w=f32(2, 3))
model(
    "model.shape",
    "a_kernel_larger_than_its_image",
    between(("Conv", ["x", "k"], "m", {})),
    k=f32(1, 1, 5, 5),
)
model(
    "model.shape",
    "a_kernel_of_more_channels",
    between(("Conv", ["x", "k"], "m", {})),
    k=f32(1, 2, 4, 4),
)
model(
    "model.shape",
    "a_dense_layer_on_an_image",
    [*START, ("Gemm", ["m", "w"], "z", {"transB": 1}), LAST[2]],
)
model("model.shape", "weights_in_one_row", [*START, *LAST], w=f32(2))
model(
    "model.shape",
    "a_bias_down_the_batch",
    [*START, LAST[0], ("Gemm", ["f", "w", "t"], "z", {"transB": 1}), LAST[2]],
    t=f32(2, 1),
)
model(
    "model.shape", "a_constant_per_column", after(("Mul", ["a", "t"], "m", {})), t=f32(1, 1, 1, 4)
)
model("model.shape", "terms_of_different_shapes", after(("Add", ["a", "x"], "m", {})))
model("model.shape", "an_image_too_large", [*START, *LAST], dims=("N", 1, 2**13, 2**13))
model(
    "model.shape",
    "batch_norm_of_other_channels",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {})),
    t=f32(2),
)
model(
    "model.shape",
    "a_negative_variance",
    after(("BatchNormalization", ["a", "t", "t", "t", "v"], "m", {})),
    t=f32(1),
    v=-f32(1),
)
model(
    "model.shape",
    "an_epsilon_that_may_vanish",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"epsilon": 1e-38})),
    t=f32(1),
)
model(
    "model.attribute",
    "an_infinite_epsilon",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"epsilon": np.inf})),
    t=f32(1),
)
model(
    "file.range",
    "a_kernel_without_entries",
    between(("Conv", ["x", "k"], "y", {}), ("GlobalAveragePool", ["y"], "m", {})),
    k=f32(1, 1, 0, 1),
)
model(
    "model.operator",
    "batch_norm_in_training",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"training_mode": 1})),
    t=f32(1),
)
model(
    "model.shape",
    "values_that_do_not_stand_beside_each_other",
    between(("Flatten", ["x"], "e", {}), ("Mul", ["x", "e"], "m", {})),
)
model(
    "model.weights",
    "a_weight_that_is_no_number",
    [*START, *LAST],
    w=np.array([[np.nan], [1]], np.float32),
)
model(
    "model.weights", "an_infinite_weight", [*START, *LAST], w=np.array([[np.inf], [1]], np.float32)
)
model("model.operands", "whole_numbers_for_weights", [*START, *LAST], w=np.array([[1], [2]]))
model(
    "finite.values",
    "division_by_zero",
    after(("Div", ["a", "t"], "m", {})),
    t=np.zeros(1, np.float32),
)
model(
    "model.weights",
    "an_infinite_constant",
    after(
        ("Constant", [], "c", {"value": numpy_helper.from_array(np.array([np.inf], np.float32))}),
        ("Mul", ["a", "c"], "m", {}),
    ),
)
