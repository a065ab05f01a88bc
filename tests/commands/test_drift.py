"""`lastbit drift`: the bound beside what the runtimes do, and the codes it ends with."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit import drift as library
from lastbit.audit.drift import observed
from lastbit.cli import main
from lastbit.graph import OnnxBuilder
from soundness.small import model as small_model

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(small_model())
    return tmp_path / "model.onnx"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways of the reference executor alone."""
    everything = library.executions

    def slow_ones(*arguments, **options):
        found, missing = everything(*arguments, **options)
        return [e for e in found if e.slow], missing

    monkeypatch.setattr(library, "executions", slow_ones)


def test_the_bound_stands_above_what_is_observed(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drift", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    seen = found["observed"]
    assert found["verdict"] == "within"
    assert 0 < seen["value"] <= found["bound"] < 1
    assert len(found["runtimes"]) >= 15
    assert set(seen["between"]) <= set(found["runtimes"])
    assert max(found["runtimes"].values()) == pytest.approx(seen["value"])
    assert not any("bfloat16" in name for name in found["runtimes"])
    assert sum(found["parts"].values()) == pytest.approx(found["bound"])
    assert main(["drift", str(model)]) == 0
    assert "within" in capsys.readouterr().out


@pytest.mark.usefixtures("few")
def test_a_drift_above_the_bound_refutes_it(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    derive = library.derived_drift

    def too_small(*arguments, **options):
        derivation, claim = derive(*arguments, **options)
        return derivation, replace(claim, upper=Fraction(1, 2**60))

    monkeypatch.setattr(library, "derived_drift", too_small)
    assert main(["drift", str(model), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "refuted"


@pytest.mark.usefixtures("few")
def test_a_model_without_bounds_is_not_decided_and_still_observed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**117))  # finite, by a factor of 2
    x = b.affine(b.mean(x), "mul", np.float32(2.0**-127))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    path = b.save(tmp_path / "model.onnx")
    assert main(["drift", str(path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["bound"] is None
    assert "finite.values" in found["refused"]
    assert found["observed"]["value"] >= 0


@pytest.mark.usefixtures("few")
def test_a_bound_of_1_says_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.mean(b.div(b.input_bytes((1, 4, 4)), 255))
    b.softmax(b.dense(x, [[1e9], [-1e9]]))
    path = b.save(tmp_path / "model.onnx")
    assert main(["drift", str(path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not decided" and found["says_nothing"] and found["bound"] == 1


def test_the_two_that_differ_most_are_named() -> None:
    half = np.full((3, 2), 0.5, np.float32)
    moved = half.copy()
    moved[2, 1] = 0.75
    less = half.copy()
    less[0, 0] = 0.375
    found = observed({"a": half, "b": less, "c": moved, "d": half})
    assert found.value == 0.25
    assert "c" in found.between
    assert (found.image, found.class_index) == (2, 1)
    assert found.largest == {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}
    assert observed({"a": half, "b": less}).value == 0.125
    assert observed({"a": half}).value == 0
