"""ONNX files of several outputs, or in several parts: one file that computes the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit.cli import main
from lastbit.errors import ModelError, UnsupportedOperatorError, UsageError
from lastbit.graph import read_onnx, with_inputs
from lastbit.importing import import_onnx
from lastbit.runtimes.onnx_runtime import session_of

LEARNING = "ai.onnx.ml"


def classifier(folder: Path, *, zipped: bool = False, more: bool = False) -> Path:
    """As scikit-learn's are written: scaled features, a label, and probabilities."""
    random = np.random.default_rng(0)
    values = {
        "a": random.normal(size=(6, 4)),
        "b": random.normal(size=4),
        "c": random.normal(size=(4, 3)),
    }
    nodes = [
        helper.make_node("Scaler", ["X"], ["scaled"], domain=LEARNING,
                         offset=[0.1] * 6, scale=[0.3] * 6),
        helper.make_node("MatMul", ["scaled", "a"], ["ab"]),
        helper.make_node("Add", ["ab", "b"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["alive"]),
        helper.make_node("MatMul", ["alive", "c"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])]
    floats = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])
    if zipped:
        nodes.append(helper.make_node("ZipMap", ["probabilities"], ["by label"], domain=LEARNING,
                                      classlabels_int64s=[0, 1, 2]))  # fmt: skip
        by_label = helper.make_map_type_proto(
            TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        )
        made = helper.make_sequence_type_proto(by_label)
        outputs.append(helper.make_value_info("by label", made))
    else:
        outputs.append(floats)
    if more:
        outputs.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["N", 4]))
    given = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 6])
    weights = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items()]
    graph = helper.make_graph(nodes, "g", [given], outputs, weights)
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17),
                                            helper.make_opsetid(LEARNING, 1)],
    )  # fmt: skip
    path = folder / "two outputs.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def agree(source: Path, made: Path, name: str) -> None:
    """ONNX Runtime returns the same bits of both, as they are written."""
    images = np.random.default_rng(2).random((5, 6), np.float32)
    expected: Any
    (expected,) = session_of(str(source), "off").run([name], {"X": images})
    (found,) = session_of(str(made), "off").run(None, {"X": images})
    if not isinstance(expected, np.ndarray):  # a dictionary for each image
        expected = [[*each.values()] for each in expected]
    assert np.array_equal(np.asarray(found), np.asarray(expected, np.float32))


@pytest.mark.parametrize("zipped", [False, True])
def test_the_error_names_the_command_that_mends_it(tmp_path: Path, zipped: bool) -> None:
    source = classifier(tmp_path, zipped=zipped)
    with pytest.raises(ModelError, match="has 2 outputs: label, ") as caught:
        read_onnx(with_inputs(source, "unit"))
    order = caught.value.fix.partition("lastbit ")[2]
    name = "'by label'" if zipped else "probabilities"
    assert order == f"import '{source}' --keep {name} --output 'two outputs-one.onnx'"


@pytest.mark.parametrize("zipped", [False, True])
def test_probabilities_beside_a_label(tmp_path: Path, zipped: bool) -> None:
    source, output = classifier(tmp_path, zipped=zipped), tmp_path / "one.onnx"
    name = "by label" if zipped else "probabilities"
    made = import_onnx(source, output, keep=name)
    assert (made.classes, made.shape, made.architecture) == (3, (1, 1, 6), None)
    assert not made.logits
    agree(source, output, name)
    about = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert about == {"lastbit.source.sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    assert made.source == about["lastbit.source.sha256"]
    assert made.sha256 == hashlib.sha256(output.read_bytes()).hexdigest()
    assert read_onnx(with_inputs(output, "unit")).classes == 3


def test_a_value_that_is_no_output(tmp_path: Path) -> None:
    source, output = classifier(tmp_path), tmp_path / "one.onnx"
    import_onnx(source, output, keep="logits")
    assert [value.name for value in onnx.load(output).graph.output] == ["logits"]
    assert read_onnx(with_inputs(output, "unit")).logits_out


def test_which_of_two_outputs_is_not_guessed(tmp_path: Path) -> None:
    source = classifier(tmp_path, more=True)
    for read in (lambda: read_onnx(source), lambda: import_onnx(source, tmp_path / "new.onnx")):
        with pytest.raises(ModelError, match="3 outputs: label, probabilities, hidden") as caught:
            read()
        assert "--keep NAME" in caught.value.fix
    with pytest.raises(UsageError, match="no value 'p' that the model computes") as unknown:
        import_onnx(source, tmp_path / "new.onnx", keep="p")
    assert unknown.value.fix == "its outputs are label, probabilities, hidden"
    assert not (tmp_path / "new.onnx").exists()


def changed(path: Path, change: Callable[[Any], Any]) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_input_that_the_answer_does_not_depend_on(tmp_path: Path) -> None:
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ["N"])
    source = changed(classifier(tmp_path), lambda m: m.graph.input.append(other))
    with pytest.raises(ModelError, match="2 inputs: X, other"):
        read_onnx(source)
    import_onnx(source, tmp_path / "one.onnx", keep="probabilities")
    assert [v.name for v in onnx.load(tmp_path / "one.onnx").graph.input] == ["X"]


def test_an_answer_that_depends_on_no_input(tmp_path: Path) -> None:
    def constant(model: Any) -> None:
        model.graph.node[0].input[0] = "held"
        held = numpy_helper.from_array(np.ones((1, 6), np.float32), "held")
        model.graph.initializer.append(held)

    source = changed(classifier(tmp_path), constant)
    with pytest.raises(ModelError, match="0 inputs"):
        import_onnx(source, tmp_path / "one.onnx", keep="probabilities")


def test_old_files_have_weights_as_inputs(tmp_path: Path) -> None:
    def old(model: Any) -> None:
        model.ir_version = 3
        for tensor in model.graph.initializer:
            shape = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
            model.graph.input.append(shape)

    source = changed(classifier(tmp_path), old)
    import_onnx(source, tmp_path / "one.onnx", keep="probabilities")
    assert read_onnx(with_inputs(tmp_path / "one.onnx", "unit")).classes == 3


def in_parts(folder: Path) -> Path:
    """The classifier with its weights in another file, as PyTorch's exporter writes it."""
    model = onnx.load(classifier(folder))
    path = folder / "parts.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="parts.data",
                    size_threshold=0)  # fmt: skip
    return path


def test_weights_in_another_file(tmp_path: Path) -> None:
    source, output = in_parts(tmp_path), tmp_path / "one.onnx"
    made = import_onnx(source, output, keep="probabilities")
    agree(source, output, "probabilities")
    whole = source.read_bytes() + (tmp_path / "parts.data").read_bytes()
    assert made.source == hashlib.sha256(whole).hexdigest()
    again = import_onnx(output, tmp_path / "again.onnx")
    assert again.source == made.sha256


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    source = in_parts(tmp_path)
    content = (tmp_path / "parts.data").read_bytes()
    (tmp_path / "parts.data").write_bytes(content[:-8])
    with pytest.raises(ModelError, match="weights in another file"):
        import_onnx(source, tmp_path / "one.onnx", keep="probabilities")
    (tmp_path / "parts.data").unlink()
    with pytest.raises(ModelError, match=r"'parts.data', which cannot be read: No such file"):
        import_onnx(source, tmp_path / "one.onnx", keep="probabilities")


@pytest.mark.parametrize("location", ["/etc/hostname", "../parts.data", "a/../../b"])
def test_weights_somewhere_else_are_not_opened(tmp_path: Path, location: str) -> None:
    (tmp_path / "below").mkdir()
    source = in_parts(tmp_path)
    model = onnx.load(source, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    moved = tmp_path / "below" / "parts.onnx"
    moved.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="which is not beside it"):
        import_onnx(moved, tmp_path / "one.onnx", keep="probabilities")


def test_what_is_not_covered_stays_refused(tmp_path: Path) -> None:
    """Nothing is written; where the error is, the source is named."""
    source = changed(classifier(tmp_path), lambda m: setattr(m.graph.node[3], "op_type", "Sin"))
    with pytest.raises(UnsupportedOperatorError, match="Sin") as caught:
        import_onnx(source, tmp_path / "one.onnx", keep="probabilities")
    assert caught.value.where == str(source)
    assert not (tmp_path / "one.onnx").exists()


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that the error names, and then the proof."""
    source, output = classifier(tmp_path), tmp_path / "one.onnx"
    order = ["import", str(source), "--keep", "probabilities", "--output", str(output)]
    assert main([*order, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == {
        "path": str(output), "sha256": hashlib.sha256(output.read_bytes()).hexdigest()
    }  # fmt: skip
    assert (said["image"], said["classes"], said["architecture"]) == ([1, 1, 6], 3, None)
    assert main(["prove", str(output), "--pixels", "unit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "proved"
