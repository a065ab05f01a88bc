"""Every way for a model file to be wrong has one clear message, and nothing else escapes."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lastbit.errors import LastbitError, ModelError, OutputError, UnsupportedOperatorError
from lastbit.graph import OnnxBuilder, read_onnx
from support.networks import RandomNetwork


def f32(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def good_model() -> ModelProto:
    random = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 6, 6)), 255, "x")
    x = b.conv(x, random.normal(size=(2, 1, 3, 3)), np.zeros(2), name="conv")
    x = b.batch_norm(x, *np.ones((4, 2)), name="bn")
    x = b.silu(x, "act")
    x = b.dense(b.mean(x, "mean"), random.normal(size=(3, 2)), name="logits")
    b.softmax(x, "p")
    return b.model()


def node(model: ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == name)


def constant(model: ModelProto, name: str, values: object) -> None:
    """Put `values` in the place of an initializer."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), name))


def attribute(model: ModelProto, name: str, key: str, value: object) -> None:
    target = node(model, name)
    kept = [a for a in target.attribute if a.name != key]
    del target.attribute[:]
    target.attribute.extend([*kept, helper.make_attribute(key, value)])


def insert(model: ModelProto, before: str, new: onnx.NodeProto) -> None:
    """Put `new` between the node called `before` and the first of its inputs."""
    target = node(model, before)
    new.input.insert(0, target.input[0])
    target.input[0] = new.output[0]
    model.graph.node.insert(list(model.graph.node).index(target), new)


def returned(model: ModelProto, element: int) -> None:
    """The probabilities as numbers, or words, of another type."""
    model.graph.node.append(helper.make_node("Cast", ["p"], ["as it"], "as it", to=element))
    model.graph.output[0].name = "as it"
    model.graph.output[0].type.tensor_type.elem_type = element


def error_of(tmp_path: Path, content: ModelProto | bytes) -> LastbitError:
    path = tmp_path / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(ModelError) as caught:
        read_onnx(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    return caught.value


def test_the_good_model_is_good(tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(good_model().SerializeToString())
    assert len(read_onnx(path).nodes) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 not a model", "not an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not an ONNX file"),
        (b"\x08\x08", "truncated"),
        (bytes(1000), "not an ONNX file"),
        (b"hello, world\n", "not an ONNX file"),
    ],
)
def test_not_onnx(tmp_path: Path, content: bytes, message: str):
    assert message in error_of(tmp_path, content).message


def test_no_such_file(tmp_path: Path):
    with pytest.raises(ModelError, match="no such model file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="cannot read"):
        read_onnx(tmp_path)


def test_truncated_anywhere(tmp_path: Path):
    content = good_model().SerializeToString(deterministic=True)
    for length in range(0, len(content), 7):
        error_of(tmp_path, content[:length])


def test_damaged_anywhere(tmp_path: Path):
    content = good_model().SerializeToString(deterministic=True)
    random = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    for _ in range(600):
        damaged = bytearray(content)
        for position in random.integers(0, len(content), random.integers(1, 4)):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_onnx(path)
        except LastbitError as error:
            assert str(error)


BREAKS: dict[str, tuple[Callable[[ModelProto], object], str, str]] = {
    "nan": (
        lambda m: constant(m, "logits.weight", np.full((3, 2), np.nan, np.float32)),
        "NaN",
        "logits.weight",
    ),
    "infinite": (
        lambda m: constant(m, "conv.bias", f32([0, np.inf])),
        "1 of 2 weights are infinite",
        "conv.bias",
    ),
    "float64 weights": (
        lambda m: (constant(m, "conv.bias", np.zeros(2)),),
        "of element type 11",
        "",
    ),
    "float16 affine": (
        lambda m: constant(m, "x.constant", np.float16(255)),
        "of element type 10",
        "",
    ),
    "zero divisor": (
        lambda m: constant(m, "x.constant", np.float32(0)),
        "rule finite.values: a divisor that is 0 or subnormal",
        "x",
    ),
    "negative variance": (
        lambda m: constant(m, "bn.running_var", f32([1, -1])),
        "with a negative variance",
        "",
    ),
    "double input": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
        "the input is double",
        "image",
    ),
    "input of an unknown type": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 114),
        "the input is of the unknown type 114",
        "image",
    ),
    "batch of four": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 4),
        "the input has shape [4, 1, 6, 6]",
        "image",
    ),
    "open height": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_param", "H"),
        "the input has shape [?, 1, ?, 6]",
        "image",
    ),
    "no axes": (
        lambda m: (m.graph.input[0].type.tensor_type.shape.ClearField("dim"),),
        "the input has shape []",
        "image",
    ),
    "two inputs": (
        lambda m: m.graph.input.append(
            helper.make_tensor_value_info("other", TensorProto.UINT8, [1])
        ),
        "2 inputs: image, other",
        "",
    ),
    "two outputs": (
        lambda m: m.graph.output.append(
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
        ),
        "2 outputs: p, logits",
        "",
    ),
    "whole numbers out": (
        lambda m: returned(m, TensorProto.INT64),
        "the output is int64, and so neither probabilities nor logits",
        "output 'as it'",
    ),
    "words out": (
        lambda m: returned(m, TensorProto.STRING),
        "the output is string, and so neither probabilities nor logits",
        "output 'as it'",
    ),
    "an image out": (
        lambda m: (
            m.graph.node.pop(),
            m.graph.output.pop(),
            m.graph.output.append(
                helper.make_tensor_value_info("conv", TensorProto.FLOAT, ["N", 2, 4, 4])
            ),
        ),
        "neither probabilities by Softmax nor logits",
        "conv",
    ),
    "old operator set": (
        lambda m: setattr(m.opset_import[0], "version", 6),
        "operator set 6 is not between",
        "",
    ),
    "future operator set": (
        lambda m: setattr(m.opset_import[0], "version", 999),
        "operator set 999 is not between",
        "",
    ),
    "kernel larger than the image": (
        lambda m: (
            constant(m, "conv.weight", np.ones((2, 1, 9, 9), np.float32)),
            attribute(m, "conv", "kernel_shape", [9, 9]),
        ),
        "",
        "",
    ),
    "wrong channels": (
        lambda m: constant(m, "conv.weight", np.ones((2, 3, 3, 3), np.float32)),
        "",
        "",
    ),
    "undefined input": (
        lambda m: node(m, "conv").input.__setitem__(0, "nowhere"),
        "nowhere",
        "",
    ),
    "missing operand": (lambda m: node(m, "conv").input.pop(), "", ""),
    "unknown attribute": (lambda m: attribute(m, "conv", "colour", 3), "colour", ""),
    "shape against weights": (
        lambda m: constant(m, "bn.weight", np.ones(5, np.float32)),
        "",
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKS)
def test_broken_models(tmp_path: Path, case: str):
    break_it, message, where = BREAKS[case]
    model = good_model()
    break_it(model)
    if case == "missing operand":
        del node(model, "conv").input[1:]
    error = error_of(tmp_path, model)
    assert message in error.message
    assert where in error.where


def pool_beyond() -> onnx.NodeProto:
    """Its last windows begin in the image, 4 wide, and reach beyond it."""
    return helper.make_node("AveragePool", [], ["q"], kernel_shape=[3, 3], strides=[2, 2],
                            ceil_mode=1, count_include_pad=1)  # fmt: skip


UNSUPPORTED: dict[str, tuple[Callable[[ModelProto], object], str]] = {
    "windows beyond the pads": (
        lambda m: insert(m, "mean", pool_beyond()),
        "AveragePool with windows beyond its pads, which may count",
    ),
    "training": (
        lambda m: (
            attribute(m, "bn", "training_mode", 1),
            node(m, "bn").output.extend(["running mean", "running variance"]),
        ),
        "BatchNormalization of 3 outputs",
    ),
    "softmax over rows": (lambda m: attribute(m, "p", "axis", 0), "Softmax over axis 0"),
    "mean over images": (
        lambda m: insert(
            m, "conv", helper.make_node("ReduceMean", [], ["r"], "r", axes=[0], keepdims=1)
        ),
        "ReduceMean over the axes [0]",
    ),
    "images as channels": (
        lambda m: insert(
            m, "conv", helper.make_node("Transpose", [], ["r"], "r", perm=[1, 0, 2, 3])
        ),
        "Transpose to the axes [1, 0, 2, 3]",
    ),
    "cast back": (
        lambda m: insert(m, "bn", helper.make_node("Cast", [], ["d"], "d", to=TensorProto.DOUBLE)),
        "Cast to anything but float32",
    ),
    "other domain": (
        lambda m: insert(
            m, "bn", helper.make_node("Gelu", [], ["d"], "d", domain="com.microsoft")
        ),
        "com.microsoft.Gelu (node 'd')",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_unsupported_uses(tmp_path: Path, case: str):
    change, message = UNSUPPORTED[case]
    model = good_model()
    change(model)
    error = error_of(tmp_path, model)
    if case == "cast back":  # a type error as well, which the ONNX library finds first
        return
    assert isinstance(error, UnsupportedOperatorError)
    assert message in error.message


def test_unsupported_operators_are_listed_all_at_once(tmp_path: Path):
    model = good_model()
    insert(model, "mean", helper.make_node("Sin", [], ["r"], "my sin"))
    insert(model, "mean", pool_beyond())
    turned = helper.make_node("Transpose", [], ["t"], "turned", perm=[1, 0, 2, 3])
    insert(model, "mean", turned)
    error = error_of(tmp_path, model)
    assert isinstance(error, UnsupportedOperatorError)
    listed = [(kind.split()[0], name) for kind, name in error.operators]
    assert listed == [("Sin", "my sin"), ("AveragePool", "q"), ("Transpose", "turned")]


def test_a_network_of_many_is_refused_in_one_short_message(tmp_path: Path):
    """Two hundred group norms, as PyTorch writes them, and what is not covered behind them."""
    model = good_model()
    for k in range(200):
        norm = helper.make_node("InstanceNormalization", [], [f"n{k}"], f"norm {k}")
        insert(model, "mean", norm)
        norm.input.extend(["bn.weight", "bn.bias"])
        model.graph.node[list(model.graph.node).index(node(model, "mean")) - 1].CopyFrom(norm)
    insert(model, "mean", pool_beyond())
    start = time.perf_counter()
    error = error_of(tmp_path, model)
    assert time.perf_counter() - start < 5
    assert "InstanceNormalization (200 times, first node 'norm 0'), AveragePool with" in str(error)
    assert "train with batch norm" in error.fix
    assert len(str(error)) < 500


def test_what_the_answer_does_not_depend_on_is_left_out(tmp_path: Path):
    model, path = good_model(), tmp_path / "model.onnx"
    before = len(model.graph.node)
    model.graph.node.insert(before - 1, helper.make_node("Sigmoid", ["conv"], ["dead"]))
    path.write_bytes(model.SerializeToString())
    network = read_onnx(path)
    assert "dead" not in {node.name for node in (*network, *network.normal.nodes)}


def test_weights_in_another_file_are_refused(tmp_path: Path):
    """The SHA-256 of the model would not cover them."""
    model, path = good_model(), tmp_path / "whole.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    error = error_of(tmp_path, path.read_bytes())
    assert error.message.endswith(": w.bin")
    assert "lastbit import" in error.fix and "--keep" not in error.fix


def test_what_is_unsupported_comes_before_what_cannot_be_read(tmp_path: Path):
    """A file that may be read in two ways and has unknown operators: these are what to change."""
    model = good_model()
    insert(model, "mean", helper.make_node("Sin", [], ["r"], "my sin"))
    constant(model, "logits.weight", np.zeros((3, 2)))
    error = error_of(tmp_path, model)
    assert isinstance(error, UnsupportedOperatorError)
    assert error.operators == (("Sin", "my sin"),)


def test_building_is_deterministic_and_whole(tmp_path: Path):
    assert RandomNetwork(3).b.to_bytes() == RandomNetwork(3).b.to_bytes()
    assert RandomNetwork(3).b.to_bytes() != RandomNetwork(4).b.to_bytes()
    with pytest.raises(OutputError, match="cannot write"):
        RandomNetwork(3).b.save(tmp_path / "nowhere" / "model.onnx")
    assert list(tmp_path.iterdir()) == []
