"""Hostile in their attributes: two values, another type, another operator set, strange values."""

from __future__ import annotations

from typing import Any

from onnx import AttributeProto, helper

from soundness.hostile.changes import attribute, given, node
from soundness.hostile.table import by_model

by_model(
    "file.attribute",
    "an_attribute_twice",
    lambda m: node(m, "mean").attribute.append(helper.make_attribute("keepdims", 0)),
)
by_model(
    "file.attribute",
    "an_attribute_without_a_name",
    lambda m: attribute(m, "mean", "keepdims").ClearField("name"),
)
by_model(
    "file.attribute",
    "an_attribute_of_two_values",
    lambda m: setattr(attribute(m, "mean", "keepdims"), "f", 0.0),
)
by_model(
    "file.attribute",
    "an_attribute_with_a_list_as_well",
    lambda m: attribute(m, "mean", "keepdims").ints.append(0),
)
by_model(
    "file.attribute",
    "an_attribute_of_no_type",
    lambda m: attribute(m, "mean", "keepdims").ClearField("type"),
)
by_model(
    "file.attribute",
    "an_attribute_of_another_type",
    lambda m: setattr(attribute(m, "mean", "keepdims"), "type", AttributeProto.FLOAT),
)
by_model(
    "file.attribute",
    "a_list_that_is_said_to_be_one_number",
    lambda m: setattr(attribute(m, "mean", "axes"), "type", AttributeProto.INT),
)
by_model(
    "file.attribute",
    "a_number_that_is_left_out",
    lambda m: attribute(m, "mean", "keepdims").ClearField("i"),
)
by_model(
    "file.attribute",
    "a_text_that_is_left_out",
    lambda m: node(m, "conv").attribute.add(name="auto_pad", type=AttributeProto.STRING),
)
by_model(
    "file.attribute",
    "a_tensor_that_is_left_out",
    lambda m: node(m, "conv").attribute.add(name="t", type=AttributeProto.TENSOR),
)
by_model(
    "file.attribute",
    "an_attribute_that_is_a_graph",
    lambda m: setattr(attribute(m, "mean", "keepdims"), "type", AttributeProto.GRAPH),
)


def wrong(name: str, of: str, attribute_: str, value: Any, opset: int = 17) -> None:
    by_model("model.attribute", name, given(of, attribute_, value), opset)


for n in (2, -1, 256, 2**32, 2**32 + 1):
    wrong(f"keepdims_of_{n}", "mean", "keepdims", n)
wrong("keepdims_that_is_a_fraction", "mean", "keepdims", 1.0)
wrong("keepdims_that_is_a_list", "mean", "keepdims", [1])
wrong("an_axis_that_is_not_there", "mean", "axes", [2, 7])
wrong("an_axis_twice", "mean", "axes", [2, -2])
wrong("axes_that_are_one_number", "mean", "axes", 2)
wrong("axes_as_an_attribute_and_as_an_operand", "mean", "axes", [2, 3], 18)
wrong("empty_axes_before_there_were_any", "mean", "noop_with_empty_axes", 0)
wrong("empty_axes_that_mean_neither", "mean", "noop_with_empty_axes", 2, 18)
wrong("keepdims_of_2_in_the_newer_set", "mean", "keepdims", 2, 18)
wrong("transposed_twice", "gemm", "transB", 2)
wrong("a_product_transposed_by_3", "gemm", "transA", 3)
wrong("an_alpha_that_is_an_integer", "gemm", "alpha", 1)
wrong("an_alpha_that_is_no_number", "gemm", "alpha", float("nan"))
wrong("a_beta_that_is_infinite", "gemm", "beta", float("inf"))
wrong("broadcasting_as_of_old", "gemm", "broadcast", 1)
wrong("an_axis_of_broadcasting", "div", "axis", 1)
wrong("a_sigmoid_with_a_factor", "sigmoid", "alpha", 1.0)
wrong("a_pool_with_keepdims", "pool", "keepdims", 1)
wrong("statistics_for_each_place", "bn", "spatial", 0)
wrong("training_before_there_was_any", "bn", "training_mode", 0, 13)
wrong("training_that_is_neither", "bn", "training_mode", 2)
wrong("a_momentum_that_is_no_number", "bn", "momentum", float("nan"))
wrong("an_epsilon_that_is_an_integer", "bn", "epsilon", 1)
wrong("a_cast_that_saturates_too_early", "cast", "saturate", 1)
wrong("a_cast_that_saturates_twice", "cast", "saturate", 2, 19)
wrong("a_cast_that_does_not_saturate", "cast", "saturate", 0, 19)
wrong("a_cast_to_a_name", "cast", "to", "FLOAT")
wrong("a_cast_to_nothing", "cast", "to", 0)
wrong("zero_sizes_of_neither_kind", "reshape", "allowzero", 2)
wrong("zero_sizes_before_there_were_any", "reshape", "allowzero", 0, 13)
wrong("an_axis_beyond_the_last", "softmax", "axis", 4)
wrong("an_axis_that_is_a_list", "softmax", "axis", [1])
wrong("padding_of_a_name_unknown", "conv", "auto_pad", "SAME")
wrong("padding_in_small_letters", "conv", "auto_pad", "valid")
wrong("padding_given_and_automatic", "conv", "auto_pad", "VALID")
wrong("padding_of_the_same_size_and_given", "conv", "auto_pad", "SAME_UPPER")
wrong("pads_of_two", "conv", "pads", [1, 1])
wrong("pads_of_six", "conv", "pads", [1, 1, 1, 1, 1, 1])
wrong("negative_pads", "conv", "pads", [-1, 1, 1, 1])
wrong("strides_of_one", "conv", "strides", [2])
wrong("strides_of_three", "conv", "strides", [2, 2, 2])
wrong("strides_of_0", "conv", "strides", [0, 2])
wrong("strides_beyond_32_bits", "conv", "strides", [2**32 + 2, 2])
wrong("dilations_of_one", "conv", "dilations", [1])
wrong("dilations_of_0", "conv", "dilations", [0, 1])
wrong("a_kernel_of_three_axes", "conv", "kernel_shape", [3, 3, 1])
wrong("a_negative_kernel", "conv", "kernel_shape", [-3, 3])
wrong("groups_of_0", "conv", "group", 0)
wrong("negative_groups", "conv", "group", -1)
wrong("an_attribute_that_no_operator_has", "conv", "colour", 3)
by_model("model.operator", "a_kernel_of_another_shape", given("conv", "kernel_shape", [2, 2]))
by_model("model.shape", "groups_that_do_not_divide", given("conv", "group", 2))
by_model("model.operator", "training", given("bn", "training_mode", 1))
by_model("model.operator", "an_axis_that_is_the_batch", given("softmax", "axis", 0))
