"""What is read of an ONNX file, however it is encoded (what is refused: test_hostile.py)."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit_check.check import network_in
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected
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


@pytest.mark.parametrize("field", [b"\x10\x81\x80\x80\x01", b"\x12\x03abc", b"\x12\x03\x00\x00?"])
def test_a_float_in_another_encoding(field: bytes) -> None:
    """An integer or a text in its field is passed over by protocol buffers: the float is 0."""
    data = proto().SerializeToString()
    assert data.count(EPSILON) == 1
    assert read(data).operators[2].attributes == {"epsilon": 0.5}
    spoilt = data.replace(EPSILON, b"epsilon" + field)
    assert onnx.ModelProto.FromString(spoilt).graph.node[2].attribute[0].f == 0.0
    with pytest.raises(Rejected) as caught:
        read(spoilt)
    assert caught.value.rule == "file.wire"


@pytest.mark.parametrize("name", ["auto_pad", "group", "pads", "strides", "dilations"])
@pytest.mark.parametrize("value", [1.0, "x", [1, 1, 1], numpy_helper.from_array(f32(2))])
def test_an_attribute_of_another_type_or_length(name: str, value: object) -> None:
    nodes = [START[0], ("Conv", ["x", "k"], "y", {name: value}), START[1], *LAST]
    nodes[2] = ("GlobalAveragePool", ["y"], "m", {})
    with pytest.raises(Rejected):
        network_in(onnx_model(nodes, k=f32(1, 1, 2, 2)))


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
