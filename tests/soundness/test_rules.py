"""For each rule of the checker, something that it rejects, under that very name."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import lastbit_check
from absorbing import absorber
from lastbit.graph import OnnxBuilder
from lastbit_check.certificate import Hints, Tree, hints_of, load, parse
from lastbit_check.check import check, derive
from lastbit_check.exact import Fix
from lastbit_check.forward import underflow
from lastbit_check.patches import LEAF
from lastbit_check.verdict import Rejected
from soundness.curved import SIDE, based, branched, two_curved_layers
from soundness.harness import built
from soundness.small import Fields, certified, changed, fields_of, put

Case = Callable[[Path], object]
CASES: list[tuple[str, str, Case]] = []


def case(rule: str) -> Callable[[Case], Case]:
    """Register what ``rule`` rejects."""

    def register(function: Case) -> Case:
        CASES.append((rule, function.__name__, function))
        return function

    return register


# ---- certificates ----------------------------------------------------------------------------


def recheck(folder: Path, fields: Fields, *, seal: bool = True) -> None:
    put(folder, fields, seal=seal)
    manifest = load(folder / "certificate.json")
    check((folder / "model.onnx").read_bytes(), manifest)


def certificate(rule: str, *path: Any, value: Any, name: str, seal: bool = True) -> None:
    def run(folder: Path) -> None:
        recheck(folder, changed(fields_of(certified(folder)), path, value), seal=seal)

    run.__name__ = name
    case(rule)(run)


certificate("certificate.fields", "base", value="x", name="an_unknown_field")
certificate("certificate.fields", "boxes", value={}, name="another_type")
certificate("certificate.fields", "boxes", value=[1], name="a_box_without_a_name")
certificate("certificate.fields", "claim", value={}, name="an_empty_claim")
certificate("certificate.fields", "claim", "upper", value="inf", name="an_infinite_claim")
certificate("certificate.fields", "claim", "upper", value="nan", name="a_claim_that_is_no_number")
certificate(
    "certificate.fields", "claim", "upper", value="0x1.0p-3", name="a_number_in_another_notation"
)
certificate("certificate.fields", "claim", "upper", value=0.25, name="a_decimal_number")
certificate("certificate.fields", "slopes", value={"s": [True]}, name="a_truth_value_for_a_slope")
certificate("certificate.fields", "slopes", value={"s": 1}, name="a_slope_that_is_no_list")
certificate("certificate.fields", "together", value={"a": {}}, name="layers_without_scales")
certificate(
    "certificate.fields",
    "together",
    value={"a": {"pair": [0, 1], "nodes": [], "rows": [["0x1.0000000000000p+0"]], "columns": []}},
    name="a_list_for_a_scale",
)
certificate("certificate.fields", "claim", "logits", value={}, name="logits_that_are_no_number")
certificate("certificate.fields", "claim", "parts", value={}, name="an_unknown_claim")
certificate("claim.leaves", "claim", "leaves", value={"a": []}, name="leaves_of_no_tree")
certificate(
    "certificate.digest", "claim", "upper", value="0x0.0p+0", name="a_claim_changed", seal=False
)
certificate("certificate.assumptions", "assumptions", value=[], name="no_assumptions")
certificate(
    "certificate.assumptions", "assumptions", value=["real-arithmetic"], name="other_assumptions"
)
certificate(
    "claim.upper", "claim", "upper", value="0x1.0000000000000p-30", name="too_small_a_claim"
)
certificate("claim.upper", "claim", "upper", value="0x1.0000000000000p+0", name="too_loose_a_claim")
certificate("claim.logits", "claim", "logits", value="0x0.0p+0", name="logits_that_do_not_move")


def together(rule: str, name: str, **changes: Any) -> None:
    """Something in the hints on roundings that are taken together."""

    def run(folder: Path) -> None:
        manifest = load(certified(folder) / "certificate.json")
        model, hints = (folder / "model.onnx").read_bytes(), hints_of(manifest)
        (key, hint), *_ = hints.together.items()
        made = {k: v(hint) if callable(v) else v for k, v in changes.items()}
        derive(model, replace(hints, together={key: hint._replace(**made)}))

    run.__name__ = name
    case(rule)(run)


def _spoilt(x: Sequence[float], value: float) -> Sequence[float]:
    return (value, *x[1:])


together("together.pair", "a_pair_of_no_classes", pair=(1, 7))
together("together.pair", "a_pair_twice_the_same", pair=(1, 1))
together("together.pair", "a_pair_of_three", pair=(0, 1, 2))
together("together.pair", "a_pair_of_none", pair=())
together("together.base", "a_node_before_the_base", nodes=("conv_3",))
together("hint.node", "a_node_that_does_not_sum", nodes=("silu_9",))
together("together.shape", "a_form_too_few", rows=lambda hint: hint.rows[1:])
together("together.shape", "a_unit_too_many", columns=lambda hint: (*hint.columns, 1.0))
together("together.shape", "no_scales", rows=(), columns=())
together("together.positive", "a_scale_of_nothing", rows=lambda hint: _spoilt(hint.rows, 0.0))
together("together.positive", "a_negative_scale", columns=lambda hint: _spoilt(hint.columns, -1.0))
together("together.positive", "a_scale_that_is_no_number",
         columns=lambda hint: _spoilt(hint.columns, math.nan))  # fmt: skip
together("together.positive", "an_infinite_scale", rows=lambda hint: _spoilt(hint.rows, math.inf))
together("together.positive", "a_scale_out_of_reach", rows=lambda hint: _spoilt(hint.rows, 1e90))
together("norm.spectral", "scales_twice_as_large", rows=lambda hint: [2 * v for v in hint.rows])
together("norm.spectral", "one_scale_too_large", rows=lambda hint: _spoilt(hint.rows, 2.0**31))


@case("hint.node")
def a_rounding_taken_twice(folder: Path) -> None:
    manifest = load(certified(folder) / "certificate.json")
    hints = hints_of(manifest)
    hint = next(iter(hints.together.values()))
    derive((folder / "model.onnx").read_bytes(), replace(hints, together={"a": hint, "b": hint}))


def tree(rule: str, name: str, **changes: Any) -> None:
    """Something in a tree of the branch and bound."""

    def run(folder: Path) -> None:
        model, manifest = branched(folder)
        hints = hints_of(manifest)
        (key, hint), *_ = hints.trees.items()
        made = {k: v(hint) if callable(v) else v for k, v in changes.items()}
        derive(model, replace(hints, trees={key: hint._replace(**made)}))

    run.__name__ = name
    case(rule)(run)


def _split(hint: Tree, k: int, *split: int) -> tuple[Sequence[int], ...]:
    return (*hint.splits[:k], split, *hint.splits[k + 1 :])


LEAVES = (LEAF, 0), (LEAF, 0)
tree("tree.cover", "a_gap", splits=lambda hint: hint.splits[:-1])
tree("tree.cover", "no_leaf", splits=())
tree("tree.cover", "a_leaf_too_many", splits=lambda hint: hint.splits + hint.splits[-1:])
tree("tree.cover", "a_leaf_of_another_kind", splits=((-2, 0),))
tree("tree.cover", "a_byte_that_is_not_there", splits=((SIDE * SIDE, 100), *LEAVES))
tree("tree.cover", "a_part_of_all_bytes", splits=((3, 255), *LEAVES))
tree("tree.cover", "a_part_of_none", splits=((3, -1), *LEAVES))
tree("tree.cover", "an_overlap", splits=((3, 100), (3, 200), *LEAVES, LEAVES[0]))
tree("tree.pair", "two_images_apart", splits=lambda hint: (
    (hint.pixel[0] * SIDE + hint.pixel[1], 2), *LEAVES))  # fmt: skip
tree("tree.shape", "a_pixel_beside_the_image", pixel=(0, SIDE))
tree("tree.shape", "a_pixel_before_the_image", pixel=(-1, 0))
tree("tree.shape", "a_pixel_without_a_column", pixel=(1,))
tree("tree.shape", "a_split_of_three", splits=((3, 100, 1), *LEAVES))
tree("together.pair", "a_tree_of_no_pair", pair=(1, 0))


@case("tree.shape")
def a_tree_where_there_is_no_exact_form(folder: Path) -> None:
    manifest = load(certified(folder) / "certificate.json")
    trees = {"a": Tree((0, 1), (0, 0), LEAVES[:1])}
    derive((folder / "model.onnx").read_bytes(), replace(hints_of(manifest), trees=trees))


@case("tree.pixel")
def a_tree_of_a_pixel_that_moves_too_much(folder: Path) -> None:
    model, network = built(two_curved_layers(0, stride=1, kernel=3), folder)
    trees = {"a": Tree((0, 1), (4, 4), LEAVES[:1])}
    derive(model, replace(based(network), trees=trees))


def _leaves(name: str, change: Callable[[list[str]], list[str]]) -> None:
    def run(folder: Path) -> None:
        model, _ = branched(folder)
        (folder / "model.onnx").write_bytes(model)
        fields = fields_of(folder)
        claimed = fields["claim"]["leaves"]
        ((name, found),) = claimed.items()
        claimed[name] = change(found)
        recheck(folder, fields)

    run.__name__ = name
    case("claim.leaves")(run)


_leaves("a_smaller_number", lambda found: ["0x0.0p+0", *found[1:]])
_leaves("a_larger_number", lambda found: ["0x1.0000000000000p+4", *found[1:]])
_leaves("a_number_too_few", lambda found: found[1:])
_leaves("a_number_too_many", lambda found: [*found, found[-1]])
_leaves("leaves_in_another_order", lambda found: found[::-1])


@case("model.sha256")
def a_certificate_of_another_model(folder: Path) -> None:
    manifest = load(certified(folder) / "certificate.json")
    check((folder / "model.onnx").read_bytes() + b"\x00", manifest)


@case("certificate.digest")
def a_field_changed(folder: Path) -> None:
    fields = fields_of(certified(folder))
    parse(changed(fields, ("boxes",), fields["boxes"][1:]))


# ---- hints -----------------------------------------------------------------------------------


def chain() -> OnnxBuilder:
    """image, mean m, silu s, gate g, dense logits."""
    b = OnnxBuilder()
    x = b.silu(b.mean(b.input_bytes((1, 2, 2)), name="m"), name="s")
    b.softmax(b.dense(b.gate(x, x, name="g"), [[1e-3], [-1e-3]], name="logits"))
    return b


def hints(rule: str, name: str, **given: Any) -> None:
    def run(folder: Path) -> None:
        derive(chain().to_bytes(), Hints(**{"slopes": {}, **given}))

    run.__name__ = name
    case(rule)(run)


hints("hint.node", "slopes_of_a_mean", slopes={"m": [1]})
hints("hint.node", "a_box_of_a_mean", boxes=frozenset({"m"}))
hints("hint.node", "a_box_of_a_gate", boxes=frozenset({"g"}))
hints("hint.node", "a_base_that_is_not_there", bases=frozenset({"x"}))
hints("hint.node", "a_base_without_a_name", bases=frozenset({""}))
hints("hint.slope", "too_many_slopes", slopes={"s": [1, 1]})
hints("hint.slope", "too_steep", slopes={"s": [2**21 + 1]})
hints("hint.slope", "too_steep_downwards", slopes={"s": [-(2**900)]})


@case("absorb.table")
def a_node_of_several_pixels(folder: Path) -> None:
    derive(absorber(), Hints({}, absorbed="mix"))


@case("absorb.bytes")
def a_node_that_tells_the_last_bit(folder: Path) -> None:
    derive(absorber(), Hints({}, absorbed="pixels"))


@case("absorb.around")
def a_path_around_the_node(folder: Path) -> None:
    derive(absorber(around=True), Hints({}, absorbed="stem"))


# ---- numbers ---------------------------------------------------------------------------------


def scaled(*factors: float) -> bytes:
    b = OnnxBuilder()
    x = b.input_bytes((1, 2, 2))
    for factor in factors:
        x = b.affine(x, "mul", np.float32(factor))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    return b.to_bytes()


@case("finite.values")
def a_product_that_overflows(folder: Path) -> None:
    derive(scaled(1e30, 1e8), Hints({}))


@case("finite.values")
def a_product_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(1e25))
    b.softmax(b.dense(b.mean(b.gate(x, b.mean(x))), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.values")
def a_sum_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**116.9))
    b.softmax(b.dense(b.mean(b.add(x, x)), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.values")
def a_subnormal_divisor(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 2, 2)), np.float32(1e-40))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.weights")
def folded_weights_that_overflow(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), [[[[1.0]]]])
    x = b.batch_norm(x, [3e38], [0.0], [0.0], [0.0], epsilon=1e-30)
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("rounding.depth")
def a_sum_of_a_million_terms(folder: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 1024, 1024))), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("rounding.underflow")
def underflow_beyond_the_range_of_grids(folder: Path) -> None:
    underflow(Fraction(2) ** 300)


@case("precision")
def an_integer_beyond_53_bits(folder: Path) -> None:
    Fix(np.array([2.0**50]), 0).at(5)


# ---- models ----------------------------------------------------------------------------------

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
        derive(onnx_model(nodes, **given), Hints({}))

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


model("model.opset", "operators_of_long_ago", [*START, *LAST], opset=7)
model("model.opset", "operators_to_come", [*START, *LAST], opset=99)
model("model.input", "an_image_of_floats", [*START, *LAST], kind=TensorProto.FLOAT)
model("model.input", "an_image_without_a_batch", [*START, *LAST], dims=(1, 4, 4))
model("model.input", "an_image_of_unknown_size", [*START, *LAST], dims=("N", 1, "H", 4))
model("model.input", "a_batch_of_two", [*START, *LAST], dims=(2, 1, 4, 4))
model("model.graph", "a_value_read_before_it_is_made", [START[1], START[0], *LAST])
model("model.graph", "a_name_made_twice", [*START, ("Sigmoid", ["m"], "x", {}), *LAST])
model("model.graph", "a_name_that_is_its_own_alias", [*START, ("Identity", ["m"], "m", {}), *LAST])
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
model("model.graph", "another_name_of_a_weight", [*START, ("Identity", ["w"], "v", {}), *LAST])
model("model.graph", "a_name_of_a_weight_made_anew", [*START, ("Sigmoid", ["m"], "w", {}), *LAST])
model("model.graph", "no_name", [*START, ("Sigmoid", ["m"], "", {}), *LAST])
model(
    "model.graph",
    "weights_that_are_computed",
    [*START, LAST[0], ("Gemm", ["f", "f"], "z", {}), LAST[2]],
)
model("model.operator", "an_operator_without_a_rule", after(("Relu", ["a"], "m", {})))
model("model.operator", "too_many_inputs", after(("Sigmoid", ["a", "a"], "m", {})))
model("model.operator", "too_few_inputs", after(("Mul", ["a"], "m", {})))
model("model.operator", "a_second_cast_to_half", [*START, ("Cast", ["m"], "h", {"to": 10}), *LAST])
model("model.operator", "a_flattened_image", between(("Flatten", ["x"], "m", {})), w=f32(2, 16))
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
    "model.operator",
    "automatic_padding",
    between(("Conv", ["x", "k"], "m", {"auto_pad": "SAME_UPPER"})),
    k=f32(1, 1, 4, 4),
)
model(
    "model.operator",
    "dilation",
    between(("Conv", ["x", "k"], "m", {"dilations": [2, 1]})),
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
    "a_scaled_product",
    [*START, LAST[0], ("Gemm", ["f", "w"], "z", {"transB": 1, "alpha": 2.0}), LAST[2]],
)
model("model.operator", "a_constant_divided", after(("Div", ["t", "a"], "m", {})), t=f32(1))
model("model.operator", "a_constant_less_a_value", after(("Sub", ["t", "a"], "m", {})), t=f32(1))
model(
    "model.operator", "a_mean_over_channels", between(("ReduceMean", ["x"], "m", {"axes": [1, 2]}))
)
model(
    "model.operator",
    "softmax_over_the_batch",
    [*START, *LAST[:2], ("Softmax", ["z"], "p", {"axis": 0})],
)
model(
    "model.operator",
    "a_constant_that_is_no_tensor",
    [("Constant", [], "c", {"value_float": 1.0}), *START, *LAST],
)
model("model.output", "no_softmax", [*START, *LAST[:2]], output="z")
model("model.output", "a_softmax_inside", [*START, *LAST, ("Sigmoid", ["p"], "q", {})], output="q")
model("model.output", "two_softmaxes", [*START, *LAST, ("Softmax", ["p"], "q", {})], output="q")
model("model.output", "a_node_after_the_softmax", [*START, *LAST, ("Sigmoid", ["m"], "q", {})])
model(
    "model.output",
    "logits_read_elsewhere",
    [*START, *LAST[:2], ("Sigmoid", ["z"], "q", {}), LAST[2]],
)
model(
    "model.output",
    "logits_read_under_another_name",
    [*START, *LAST[:2], ("Identity", ["z"], "y", {}), ("Sigmoid", ["y"], "q", {}), LAST[2]],
)
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
model(
    "model.shape",
    "a_factor_per_pixel",
    between(("Mul", ["x", "x"], "y", {}), ("GlobalAveragePool", ["y"], "m", {})),
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
    "model.shape",
    "an_infinite_epsilon",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"epsilon": np.inf})),
    t=f32(1),
)
model(
    "model.shape",
    "a_kernel_without_entries",
    between(("Conv", ["x", "k"], "y", {}), ("GlobalAveragePool", ["y"], "m", {})),
    k=f32(1, 1, 0, 1),
)
model(
    "model.shape",
    "batch_norm_in_training",
    after(("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"training_mode": 1})),
    t=f32(1),
)
model(
    "model.shape",
    "values_of_different_rank",
    [*START, ("Flatten", ["m"], "f", {}), ("Mul", ["m", "f"], "g", {}), *LAST[1:]],
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
model("model.weights", "whole_numbers_for_weights", [*START, *LAST], w=np.array([[1], [2]]))
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


# ---- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "name", "run"), CASES, ids=[f"{r}-{n}" for r, n, _ in CASES])
def test_it_is_rejected_by_its_rule(rule: str, name: str, run: Case, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        run(tmp_path)
    assert caught.value.rule == rule, str(caught.value)


def rules_in_source() -> set[str]:
    """Every rule that the checker's source can raise, "*" for what a format string fills in."""
    found: set[str] = set()
    for path in Path(lastbit_check.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            place = {"require": 1, "Rejected": 0, "_same": 0}.get(call.func.id)
            if place is None:
                continue
            rule = call.args[place]
            if isinstance(rule, ast.Constant):
                found.add(str(rule.value))
            elif isinstance(rule, ast.JoinedStr):
                found.add(
                    "".join(
                        str(p.value) if isinstance(p, ast.Constant) else "*" for p in rule.values
                    )
                )
            else:
                assert path.name in ("verdict.py", "check.py"), ast.unparse(call)
    return found


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    rules, shown = rules_in_source(), {rule for rule, _, _ in CASES}
    assert len(rules) > 20
    assert not {rule for rule in rules if not any(fnmatchcase(s, rule) for s in shown)}
    assert not {s for s in shown if not any(fnmatchcase(s, rule) for rule in rules)}


def test_the_small_networks_are_accepted_when_left_alone(tmp_path: Path) -> None:
    """What the cases above spoil is otherwise in order."""
    none = Hints({})
    assert derive(onnx_model([*START, *LAST]), none).upper < 1
    assert derive(chain().to_bytes(), none).upper < 1
    assert derive(scaled(1e-3, 1e3), none).upper < 1
    recheck(tmp_path, fields_of(certified(tmp_path)))
