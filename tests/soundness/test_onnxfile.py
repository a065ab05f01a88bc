"""ONNX files that another reader might understand in another way: they are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit_check.certificate import Hints
from lastbit_check.check import derive
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected, Unreadable
from soundness.rejected.models import LAST, START, f32, onnx_model

NORMALISED = [
    START[0],
    ("GlobalAveragePool", ["x"], "a", {}),
    ("BatchNormalization", ["a", "t", "t", "t", "t"], "m", {"epsilon": 0.5}),
    *LAST,
]


def proto() -> onnx.ModelProto:
    return onnx.ModelProto.FromString(onnx_model(NORMALISED, t=f32(1)))


EPSILON = b"epsilon\x15" + np.float32(0.5).tobytes()  # name, then field 2 as four bytes


@pytest.mark.parametrize("field", [b"\x10\x81\x80\x80\x00", b"\x12\x03abc", b"\x12\x03\x00\x00?"])
def test_a_float_in_another_encoding(field: bytes) -> None:
    """An integer or a text in its field is passed over by protocol buffers: the float is 0."""
    data = proto().SerializeToString()
    assert data.count(EPSILON) == 1
    assert read(data).operators[2].attributes == {"epsilon": 0.5}
    spoilt = data.replace(EPSILON, b"epsilon" + field)
    assert onnx.ModelProto.FromString(spoilt).graph.node[2].attribute[0].f == 0.0
    with pytest.raises(Unreadable):
        read(spoilt)


Change = Callable[[onnx.ModelProto], object]


def attribute_twice(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute.append(helper.make_attribute("epsilon", 0.25))


def constant_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def constant_without_a_name(model: onnx.ModelProto) -> None:
    """An input that is left out has the name ""."""
    model.graph.initializer.append(numpy_helper.from_array(f32(2), ""))
    model.graph.node[-2].input.append("")


def constant_outside(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def constant_in_a_named_file(model: onnx.ModelProto) -> None:
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def constant_of_doubles(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((2, 1)), "w"))


def constant_too_short(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = bytes(4)


def constant_cut_inside_a_number(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = bytes(7)


def constant_of_a_negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-2, -1]


def constant_of_nothing_and_too_large(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [0, 2**62, 2**62]
    model.graph.initializer[0].raw_data = b""


def constant_of_seventy_dimensions(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1] * 69 + [2]


def sparse_constant(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def local_function(model: onnx.ModelProto) -> None:
    model.functions.add()


def operator_of_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[2].domain = "com.microsoft"


def attribute_that_is_a_graph(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute[0].type = onnx.AttributeProto.GRAPH


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.add().name = "other"


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.add().name = "m"


def no_operator_set(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def two_operator_sets(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 17))


@pytest.mark.parametrize(
    "change",
    [
        attribute_twice, constant_twice, constant_without_a_name, constant_outside,
        constant_in_a_named_file, constant_of_doubles, constant_too_short,
        constant_cut_inside_a_number, constant_of_a_negative_size,
        constant_of_nothing_and_too_large, constant_of_seventy_dimensions, sparse_constant,
        local_function, operator_of_another_domain, attribute_that_is_a_graph, two_inputs,
        two_outputs, no_operator_set, two_operator_sets,
    ],
)  # fmt: skip
def test_what_is_refused(change: Change) -> None:
    model = proto()
    read(model.SerializeToString())
    change(model)
    with pytest.raises(Unreadable):
        read(model.SerializeToString())


@pytest.mark.parametrize("name", ["auto_pad", "group", "pads", "strides", "dilations"])
@pytest.mark.parametrize("value", [1.0, "x", [1, 1, 1], numpy_helper.from_array(f32(2))])
def test_an_attribute_of_another_type_or_length(name: str, value: object) -> None:
    nodes = [START[0], ("Conv", ["x", "k"], "y", {name: value}), START[1], *LAST]
    nodes[2] = ("GlobalAveragePool", ["y"], "m", {})
    with pytest.raises((Rejected, Unreadable)):
        derive(onnx_model(nodes, k=f32(1, 1, 2, 2)), Hints({}))


def test_weights_given_as_numbers_are_the_same_weights() -> None:
    """float_data and int64_data, packed as ONNX writes them, for raw_data."""
    model = proto()
    w = model.graph.initializer[0]
    w.CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, -1.0]))
    assert w.float_data
    raw, typed = read(proto().SerializeToString()), read(model.SerializeToString())
    assert np.array_equal(raw.constants["w"], typed.constants["w"])
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [-1, 2**62])
    model.graph.initializer.append(shape)
    assert read(model.SerializeToString()).constants["s"].tolist() == [-1, 2**62]
