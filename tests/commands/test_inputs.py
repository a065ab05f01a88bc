"""What a person says of a model's inputs: --pixels and --box, from the bound to the replay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit.asked import box_of, described, pixels_of
from lastbit.cli import main
from lastbit.errors import UsageError
from lastbit.graph import read_onnx, with_inputs
from lastbit.graph.inputs import pixels
from lastbit.graph.whole import bytes_to_probabilities
from lastbit.runtimes import OnnxRuntime
from lastbit.runtimes.onnx_runtime import session_of
from lastbit_check.question import Box, Step


def model(folder: Path, element: int = TensorProto.FLOAT, last: str = "") -> Path:
    """A small MLP that returns logits, or what an operator makes of them."""
    random = np.random.default_rng(0)
    weights = {"a": random.normal(size=(6, 20)) / 5, "b": random.normal(size=(3, 6)) / 3}
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["v"]),
        helper.make_node("Gemm", ["v", "a"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "b"], ["z"], transB=1),
    ]
    nodes += [helper.make_node(last, ["z"], ["out"], axis=1)] * bool(last)
    label = last == "ArgMax"
    kind, sizes = (TensorProto.INT64, ["N", 1]) if label else (TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", element, ["N", 1, 4, 5])],
        [helper.make_tensor_value_info("out" if last else "z", kind, sizes)],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    path = folder / "mlp.onnx"
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(made.SerializeToString())
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """A command's JSON object."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


INPUTS = {
    "unit": (["--pixels", "unit"], "bytes / 255"),
    "normalised": (["--pixels", "mean=0.5,std=0.25"], "bytes / 255 - 0.5 / 0.25"),
    "box": (["--box", "-1,1"], "float32 numbers from -1 to 1"),
    "nothing": ([], "float32 numbers from 0 to 1"),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.first_is_quick
def test_from_the_bound_to_the_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    options, inputs = INPUTS[name]
    path = str(model(tmp_path))
    found = said(capsys, "search", path, *options, "--seconds", "4", "--starts", "8")
    proof = said(capsys, "prove", path, *options)
    assert proof["verdict"] == "proved" and proof["inputs"] == inputs
    assert 0 < proof["upper"]["same-program"] < 1  # type: ignore[index]
    assert proof["lower"]["same-program"] >= found["lower"]["value"]  # type: ignore[index]
    certificate = str(tmp_path / "mlp" / "certificate.json")
    assert said(capsys, "check", certificate)["accepted"] is True
    for what in (certificate, str(tmp_path / "mlp" / "witness.json")):
        assert said(capsys, "replay", what)["verdict"] == "confirmed"


def test_a_witness_is_about_the_inputs_that_were_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(model(tmp_path))
    said(capsys, "search", path, "--pixels", "unit", "--seconds", "4", "--starts", "8")
    assert main(["prove", path, "--pixels", "mean=0.5,std=0.25"]) == 2
    assert "--pixels or --box" in capsys.readouterr().err


def test_a_certificate_is_about_the_inputs_that_were_said(tmp_path: Path) -> None:
    from lastbit_check.__main__ import main as check

    path, certificate = model(tmp_path), tmp_path / "mlp" / "certificate.json"
    assert main(["prove", str(path), "--pixels", "unit", "--json"]) == 0
    fields = json.loads(certificate.read_text())
    fields["question"]["pixels"][0]["constants"] = [(254.0).hex()]
    from lastbit_check.certificate import digest

    fields["digest"] = digest(fields)
    certificate.write_text(json.dumps(fields))
    assert check([str(certificate), str(path)]) == 1


@pytest.mark.parametrize("last", ["LogSoftmax", "ArgMax", "Softmax"])
def test_what_comes_after_the_logits_is_not_asked_about(tmp_path: Path, last: str) -> None:
    plain, other = tmp_path / "a", tmp_path / "b"
    plain.mkdir()
    other.mkdir()
    paths = model(plain), model(other, last=last)
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 4, 5)).astype(np.uint8)
    found = [OnnxRuntime().probabilities(with_inputs(p, "unit"), images) for p in paths]
    assert np.abs(found[0] - found[1]).max() < 1e-6


def test_one_file_from_bytes_to_probabilities(tmp_path: Path) -> None:
    asked = with_inputs(model(tmp_path, last="LogSoftmax"), "mean=0.5,std=0.25")
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 4, 5)).astype(np.uint8)
    with bytes_to_probabilities(asked) as path:
        network = read_onnx(path)
        assert not network.logits_out and not network.question.pixels
        found = OnnxRuntime().probabilities(path, images)
    assert np.abs(found - OnnxRuntime().probabilities(asked, images)).max() < 1e-6


def test_steps_round_one_by_one(tmp_path: Path) -> None:
    network = read_onnx(with_inputs(model(tmp_path), "mean=0.1307,std=0.3081"))
    byte = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    mean, std = np.float32(0.1307), np.float32(0.3081)
    expected = (byte.astype(np.float32) / np.float32(255) - mean) / std
    assert np.array_equal(pixels(byte, network.question), expected)
    assert described(network.question) == "bytes / 255 - 0.1307 / 0.3081"


def test_bytes_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a model that scales them itself, as Keras' Rescaling does."""
    path = model(tmp_path)
    asked = with_inputs(path, "bytes")
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 4, 5)).astype(np.uint8)
    assert np.array_equal(pixels(images, read_onnx(asked).question), images.astype(np.float32))
    found = session_of(str(path), "all").run(None, {"x": images.astype(np.float32)})
    logits = np.asarray(found[0])
    powers = np.exp(logits - np.max(logits, 1, keepdims=True))
    expected = powers / powers.sum(1, keepdims=True)
    assert np.abs(OnnxRuntime().probabilities(asked, images) - expected).max() < 1e-6
    proof = said(capsys, "prove", str(path), "--pixels", "bytes")
    assert proof["inputs"] == "bytes, as float32 numbers"
    assert said(capsys, "check", str(tmp_path / "mlp" / "certificate.json"))["accepted"] is True


def test_what_is_said_is_read() -> None:
    assert pixels_of("unit") == (Step("Div", (255.0,)),)
    assert pixels_of("bytes") == (Step("Mul", (1.0,)),)
    assert pixels_of("std=0.5:0.25")[1:] == (Step("Div", (0.5, 0.25)),)
    assert box_of("-1,0.1") == Box(-1.0, float(np.float32(0.1)))
    assert Box(-1.0, 1.0).step == 2.0**-24
    assert Box(0.0, 1.5).step == 2.0**-23


@pytest.mark.parametrize(
    "text", ["", "units", "mean", "mean=", "mean=x", "std=0", "std=1e-50", "mean=nan", "gain=2"]
)
def test_pixels_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--pixels"):
        pixels_of(text)


@pytest.mark.parametrize("text", ["", "1", "1,0", "0,0", "0,nan", "0,inf", "a,b", "0,1,2"])
def test_boxes_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--box"):
        box_of(text)


@pytest.mark.parametrize(
    ("element", "options", "message"),
    [
        (TensorProto.UINT8, ["--pixels", "unit"], "leave --pixels and --box out"),
        (TensorProto.UINT8, ["--box", "0,1"], "leave --pixels and --box out"),
        (TensorProto.FLOAT, ["--pixels", "unit", "--box", "0,1"], "give one of them"),
        (TensorProto.FLOAT, ["--pixels", "mean=1:2"], "constant of shape"),
    ],
)
def test_what_contradicts_the_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    element: int,
    options: list[str],
    message: str,
) -> None:
    path = model(tmp_path, element)
    assert main(["prove", str(path), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mlp").exists()


def test_images_outside_the_box(tmp_path: Path) -> None:
    asked = with_inputs(model(tmp_path), None, "0,1")
    with pytest.raises(UsageError, match="outside 0 to 1"):
        OnnxRuntime().probabilities(asked, np.full((1, 1, 4, 5), 1.5, np.float32))
    with pytest.raises(UsageError, match="not float32"):
        OnnxRuntime().probabilities(asked, np.zeros((1, 1, 4, 5), np.uint8))
