"""Hostile in their operands, and in what is said of values beside what is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from soundness.hostile.changes import Change, given, node, replaced, tensor
from soundness.hostile.table import by_model

by_model("model.operands", "an_operand_too_many", lambda m: node(m, "sigmoid").input.append("n"))
by_model("model.operands", "an_operand_too_few", lambda m: node(m, "silu").input.pop())
by_model("model.operands", "no_operand", lambda m: node(m, "sigmoid").ClearField("input"))
by_model(
    "model.operands",
    "axes_as_an_operand_before_they_were_one",
    lambda m: node(m, "mean").input.append("to"),
)
by_model("model.operands", "integers_for_weights", replaced("w", np.ones((3, 2), np.int64)))
by_model("model.operands", "fractions_for_sizes", replaced("to", np.array([0, -1], np.float32)))
by_model("model.operands", "sizes_in_a_matrix", replaced("to", np.array([[0, -1]])))
by_model("model.operands", "one_size_alone", replaced("to", np.array(-1)))
by_model("model.operands", "a_size_of_0_that_is_one", given("reshape", "allowzero", 1))
by_model("model.operands", "axes_in_a_matrix", replaced("axes", np.array([[2, 3]])), 18)
by_model(
    "model.operands", "axes_that_are_fractions", replaced("axes", np.array([2, 3], np.float32)), 18
)
by_model("model.operands", "axes_that_are_not_there", replaced("axes", np.array([2, 7])), 18)
by_model(
    "model.operands", "axes_of_which_one_stands_twice", replaced("axes", np.array([3, -1])), 18
)
by_model(
    "model.operands",
    "bytes_that_were_never_cast",
    lambda m: node(m, "div").input.__setitem__(0, "image"),
)
by_model(
    "model.operands",
    "an_operand_in_the_middle_left_out",
    lambda m: node(m, "conv").input.__setitem__(1, ""),
)
by_model("model.operator", "a_reshape_that_mixes_images", replaced("to", np.array([1, -1])))


def constant(**values: Any) -> Change:
    """The divisor as the output of a node."""

    def change(model: ModelProto) -> None:
        model.graph.initializer.remove(tensor(model, "scale"))
        model.graph.node.insert(0, helper.make_node("Constant", [], ["scale"], **values))

    return change


by_model(
    "model.attribute",
    "a_constant_of_two_values",
    constant(value_float=255.0, value=numpy_helper.from_array(np.array(1, np.float32))),
)
by_model("model.attribute", "a_constant_of_no_value", constant())
by_model("model.attribute", "a_constant_that_is_text", constant(value_string="255"))
by_model("model.attribute", "a_constant_of_another_kind", constant(value_float=255))
by_model(
    "model.attribute", "a_constant_with_an_attribute_more", constant(value_float=255.0, axis=0)
)

# ---- declared types


def declared(model: ModelProto, name: str) -> onnx.TypeProto.Tensor:
    values = [*model.graph.output, *model.graph.value_info]
    return next(v for v in values if v.name == name).type.tensor_type


def said(name: str, element: int, dims: list[int | str]) -> Change:
    """A description more."""
    return lambda m: m.graph.value_info.append(helper.make_tensor_value_info(name, element, dims))


def size(name: str, k: int, value: int | str) -> Change:
    field = "dim_value" if isinstance(value, int) else "dim_param"
    return lambda m: setattr(declared(m, name).shape.dim[k], field, value)


by_model("model.declared", "an_output_of_another_size", size("p", 1, 4))
by_model("model.declared", "an_output_of_one_image", size("p", 0, 1))
by_model("model.declared", "classes_by_the_name_of_the_batch", size("p", 1, "N"))
by_model("model.declared", "an_output_of_more_axes", lambda m: declared(m, "p").shape.dim.add())
by_model(
    "model.declared",
    "an_output_that_is_one_number",
    lambda m: declared(m, "p").shape.ClearField("dim"),
)
by_model(
    "model.declared",
    "an_output_of_doubles",
    lambda m: setattr(declared(m, "p"), "elem_type", TensorProto.DOUBLE),
)
by_model(
    "model.declared",
    "an_output_of_a_type_to_come",
    lambda m: setattr(declared(m, "p"), "elem_type", 99),
)
by_model("model.declared", "a_value_of_another_size", size("c", 3, 4))
by_model(
    "model.declared", "one_name_for_two_sizes", said("d", TensorProto.FLOAT, ["N", 1, 6, "rows"])
)
by_model(
    "model.declared", "a_value_of_another_type", said("d", TensorProto.FLOAT16, ["N", 1, 6, 5])
)
by_model("model.declared", "a_value_of_fewer_axes", said("d", TensorProto.FLOAT, ["N", 30]))
by_model("model.declared", "a_constant_of_another_size", said("w", TensorProto.FLOAT, [2, 3]))
by_model("model.declared", "a_constant_of_another_type", said("to", TensorProto.FLOAT, [2]))
by_model(
    "model.declared", "the_image_in_another_size", said("image", TensorProto.UINT8, ["N", 1, 5, 6])
)
by_model(
    "model.declared", "the_image_of_another_type", said("image", TensorProto.INT8, ["N", 1, 6, 5])
)
