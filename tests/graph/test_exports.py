"""What Keras and scikit-learn export of small networks (`exports/make.py`) is read, or refused."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.cli import main
from lastbit.errors import ModelError, UnsupportedOperatorError
from lastbit.float32 import execute_float64
from lastbit.graph import read_onnx, with_inputs
from lastbit.runtimes import OnnxRuntime
from lastbit.runtimes.onnx_runtime import session_of
from lastbit.runtimes.reference import Reference

EXPORTS = Path(__file__).parent / "exports"
SKLEARN = {
    "sklearn-relu": "output_probability",
    "sklearn-logistic": "probabilities",
    "sklearn-scaled": "output_probability",
    "sklearn-names": "probabilities",
}
"""Which of the two outputs is the answer, in each."""
KERAS = {"keras-bytes": "bytes", "keras-gated": "unit", "keras-vectors": "unit"}


def is_read(path: Path, pixels: str) -> None:
    """ONNX Runtime, our executor and the normal form in float64 agree up to some 50 roundings."""
    model = with_inputs(path, pixels)
    network = read_onnx(model)
    images = np.random.default_rng(0).integers(0, 256, (4, *network.input_shape), np.uint8)
    expected = OnnxRuntime().probabilities(model, images)
    assert expected.shape == (4, 5)
    exact = [execute_float64(network, image)[0] for image in images]
    assert np.abs(np.asarray(exact) - expected).max() < 3e-6
    assert np.abs(Reference().probabilities(model, images) - expected).max() < 3e-6


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str) -> None:
    """Channels are last, and the padding of `same` is computed from the sizes of the image."""
    is_read(EXPORTS / f"{name}.onnx", KERAS[name])


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A label and probabilities: the error says the command, and what that writes is read."""
    source = EXPORTS / f"{name}.onnx"
    monkeypatch.chdir(tmp_path)
    assert main(["prove", str(source)]) == 2
    said = capsys.readouterr().err
    assert "2 outputs" in said and f"--keep {SKLEARN[name]} " in said
    order = shlex.split(said.partition("lastbit import ")[2])
    assert main(["import", *order]) == 0
    made = tmp_path / f"{name}-one.onnx"
    assert "5 probabilities" in capsys.readouterr().out
    is_read(made, "unit")
    images = np.random.default_rng(1).random((6, 36), np.float32)
    session = session_of(str(source), "all")
    expected: Any
    (expected,) = session.run([SKLEARN[name]], {session.get_inputs()[0].name: images})
    rows = [[*row.values()] if isinstance(row, dict) else row for row in expected]
    (found,) = session_of(str(made), "all").run(None, {"X": images})
    assert np.array_equal(np.asarray(found), np.asarray(rows, np.float32))


def test_two_classes_are_a_sigmoid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not made by softmax counts as logits, and that is said."""
    source, made = EXPORTS / "sklearn-two.onnx", tmp_path / "one.onnx"
    order = ["import", str(source), "--keep", "output_probability", "--output", str(made)]
    assert main(order) == 0
    assert "2 logits, of which softmax is asked about" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sklearn-linear", "sklearn-linear kept"])
def test_what_is_refused_is_refused_within_a_second(tmp_path: Path, name: str) -> None:
    """With all reasons: LogisticRegression is written as one operator of scikit-learn's own."""
    source, start = EXPORTS / "sklearn-linear.onnx", time.monotonic()
    if name == "sklearn-linear":
        with pytest.raises(ModelError, match="2 outputs: output_label, output_probability"):
            read_onnx(source)
    else:
        from lastbit.importing import import_onnx

        with pytest.raises(UnsupportedOperatorError, match=r"LinearClassifier .*, .*Normalizer"):
            import_onnx(source, tmp_path / "one.onnx", keep="output_probability")
    assert time.monotonic() - start < 1
