"""Hostile in what the model and its graph say: versions, domains, metadata, names, ends."""

from __future__ import annotations

from onnx import TensorProto, helper

from soundness.hostile.changes import inserted, node, tensor
from soundness.hostile.table import by_model

by_model("file.missing", "no_graph", lambda m: m.ClearField("graph"))
by_model("file.missing", "no_operator", lambda m: node(m, "mean").ClearField("op_type"))
by_model(
    "file.missing", "no_version_of_operators", lambda m: m.opset_import[0].ClearField("version")
)
by_model("file.version", "constants_that_are_inputs", lambda m: setattr(m, "ir_version", 3))
by_model("file.version", "a_version_to_come", lambda m: setattr(m, "ir_version", 99))
by_model("file.version", "a_negative_version", lambda m: setattr(m, "ir_version", -8))
by_model("file.opset", "no_operator_set", lambda m: m.ClearField("opset_import"))
by_model("file.opset", "two_operator_sets", lambda m: m.opset_import.add(domain="", version=11))
by_model(
    "file.opset", "two_names_of_one_set", lambda m: m.opset_import.add(domain="ai.onnx", version=11)
)
by_model(
    "file.opset",
    "another_domain_alone",
    lambda m: setattr(m.opset_import[0], "domain", "ai.onnx.ml"),
)
by_model(
    "file.opset",
    "another_domain_twice",
    lambda m: m.opset_import.extend([helper.make_opsetid("x", 1), helper.make_opsetid("x", 2)]),
)
by_model(
    "model.opset",
    "operators_of_another_meaning",
    lambda m: setattr(m.opset_import[0], "version", 6),
)
by_model("model.opset", "operators_to_come", lambda m: setattr(m.opset_import[0], "version", 26))
by_model(
    "model.opset",
    "operators_of_a_negative_set",
    lambda m: setattr(m.opset_import[0], "version", -17),
)
by_model(
    "file.domain",
    "an_operator_of_a_vendor",
    lambda m: setattr(node(m, "silu"), "domain", "com.microsoft"),
)
by_model(
    "file.domain",
    "another_name_of_the_domain",
    lambda m: setattr(node(m, "silu"), "domain", "ai.onnx"),
)
by_model(
    "file.opset",
    "another_name_of_the_set",
    lambda m: setattr(m.opset_import[0], "domain", "ai.onnx"),
)
by_model(
    "file.domain", "an_operator_of_old", lambda m: setattr(node(m, "silu"), "domain", "AI.ONNX")
)
by_model("file.domain", "an_overload", lambda m: setattr(node(m, "silu"), "overload", "fast"))
by_model(
    "file.metadata",
    "orders_to_the_session",
    lambda m: m.metadata_props.add(key="ort_config", value='{"session_options": {}}'),
)
by_model(
    "file.metadata",
    "orders_to_the_kernels",
    lambda m: m.metadata_props.add(key="tuning_results", value="[]"),
)
by_model(
    "file.metadata",
    "an_order_to_a_node",
    lambda m: node(m, "silu").metadata_props.add(key="layer_ann", value="gpu"),
)
by_model(
    "file.metadata",
    "orders_to_scale_images",
    lambda m: m.metadata_props.add(key="Image.NominalPixelRange", value="Normalized_0_1"),
)
by_model(
    "file.metadata",
    "one_key_twice",
    lambda m: m.metadata_props.extend([m.metadata_props[0], m.metadata_props[0]]),
)
by_model(
    "file.metadata",
    "one_key_twice_in_a_graph",
    lambda m: m.graph.metadata_props.extend([m.metadata_props[0], m.metadata_props[0]]),
)
by_model(
    "file.metadata",
    "one_key_twice_in_a_tensor",
    lambda m: tensor(m, "w").metadata_props.extend([m.metadata_props[0], m.metadata_props[0]]),
)
by_model(
    "file.metadata",
    "one_key_twice_in_a_value",
    lambda m: m.graph.input[0].metadata_props.extend([m.metadata_props[0], m.metadata_props[0]]),
)

# ---- the graph

FLOATS = helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2])
by_model(
    "file.interface", "a_weight_that_a_caller_may_replace", lambda m: m.graph.input.append(FLOATS)
)
by_model("file.interface", "a_second_input", lambda m: m.graph.input.add(name="other"))
by_model("file.interface", "no_input", lambda m: m.graph.ClearField("input"))
by_model("file.interface", "a_second_output", lambda m: m.graph.output.add(name="z"))
by_model(
    "file.interface", "an_output_listed_twice", lambda m: m.graph.output.append(m.graph.output[0])
)
by_model("file.interface", "no_output", lambda m: m.graph.ClearField("output"))
by_model("file.names", "a_constant_twice", lambda m: m.graph.initializer.append(tensor(m, "w")))
by_model("file.names", "a_constant_without_a_name", lambda m: tensor(m, "w").ClearField("name"))
by_model("file.names", "a_constant_of_an_empty_name", lambda m: setattr(tensor(m, "w"), "name", ""))
by_model(
    "file.names",
    "a_constant_by_the_name_of_the_image",
    lambda m: (setattr(m.graph.input[0], "name", "x"), node(m, "cast").input.__setitem__(0, "x")),
)
by_model(
    "file.names",
    "a_value_by_the_name_of_a_constant",
    lambda m: node(m, "sigmoid").output.__setitem__(0, "gamma"),
)
by_model(
    "file.names",
    "a_value_by_the_name_of_the_image",
    lambda m: node(m, "sigmoid").output.__setitem__(0, "image"),
)
by_model(
    "file.names", "a_value_made_twice", inserted("gate", helper.make_node("Identity", [], ["s"]))
)
by_model(
    "file.names",
    "a_second_output_by_the_name_of_another",
    lambda m: node(m, "bn").output.append("d"),
)
by_model("file.names", "an_image_without_a_name", lambda m: m.graph.input[0].ClearField("name"))
by_model(
    "file.names",
    "two_operators_of_one_name",
    lambda m: setattr(node(m, "silu"), "name", "gate"),
)
by_model(
    "file.names",
    "a_value_described_twice",
    lambda m: m.graph.value_info.append(m.graph.value_info[0]),
)
by_model(
    "model.operator",
    "batch_norm_with_its_statistics",
    lambda m: node(m, "bn").output.extend(["running mean", "running variance"]),
)
by_model(
    "model.graph", "an_operator_that_makes_nothing", lambda m: node(m, "mean").ClearField("output")
)
by_model(
    "model.graph", "operators_out_of_order", lambda m: m.graph.node.insert(0, m.graph.node.pop())
)
by_model(
    "model.graph",
    "an_output_that_is_nowhere",
    lambda m: setattr(m.graph.output[0], "name", "nowhere"),
)
by_model(
    "model.declared",
    "an_output_that_is_an_image",
    lambda m: setattr(m.graph.output[0], "name", "c"),
)
