"""Instances as the competition lays them out, and what is wrong with a call."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from lastbit.cli import main
from lastbit.errors import EXIT_OK, EXIT_USAGE
from lastbit.queries import read_query
from lastbit.queries.asks import asks
from lastbit.queries.export import decimal, written
from lastbit.queries.parsed import read_query as parsed
from lastbit_check.question import Box
from support.asked import linear


@pytest.mark.slow
def test_the_shipped_model_is_asked_about_both_ends_of_its_bracket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-vnnlib", "tight", "--output", str(tmp_path), "--json"]) == EXIT_OK
    said = json.loads(capsys.readouterr().out)["instances"]
    assert [one["expected"] for one in said] == ["unsat", "sat"]
    upper, lower = (Fraction(one["epsilon"]) for one in said)
    assert lower < upper < Fraction(13, 10) * lower
    assert all(one["bytes"] < 400_000 for one in said)
    for one in said:
        asked = asks(parsed(Path(one["query"])))
        assert asked.moves.places == tuple(range(784))
        assert not asked.any_level
        assert len(asked.cases) == 20
    rows = (tmp_path / "instances.csv").read_text().splitlines()
    assert len(rows) == 2
    assert all(row.endswith(",300") for row in rows)
    model = gzip.decompress((tmp_path / "onnx" / "tight.onnx.gz").read_bytes())
    assert model == Path("models/tight/model.onnx").read_bytes()


def test_what_is_said_of_the_inputs_is_in_the_exported_model(tmp_path: Path) -> None:
    linear(tmp_path / "m.onnx", [0.5], floats=True, logits=True)
    options = ["--pixels", "unit", "--epsilon", "0.25", "--output", str(tmp_path / "out")]
    assert main(["export-vnnlib", str(tmp_path / "m.onnx"), *options]) == EXIT_OK
    packed = (tmp_path / "out" / "onnx" / "m.onnx.gz").read_bytes()
    graph = onnx.load_from_string(gzip.decompress(packed)).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert graph.node[-1].op_type == "Softmax"


def test_a_box_is_in_the_query(tmp_path: Path) -> None:
    linear(tmp_path / "m.onnx", [0.5], floats=True)
    options = ["--box=-1,1", "--epsilon", "0.25", "--output", str(tmp_path / "out")]
    assert main(["export-vnnlib", str(tmp_path / "m.onnx"), *options]) == EXIT_OK
    (path,) = (tmp_path / "out" / "vnnlib").iterdir()
    assert asks(read_query(path)).question.box == Box(-1.0, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_are_written_exactly_and_rounded_outwards(seed: int) -> None:
    random = np.random.default_rng(seed)
    value = Fraction(float(random.random() * 2.0 ** -random.integers(0, 40)))
    assert Fraction(written(value)) == value
    low, high = (Fraction(decimal(value, up=up)) for up in (False, True))
    assert low <= value <= high
    assert high - low <= value * Fraction(1, 10**5)
    assert "e" not in written(value).lower()


WRONG = {
    "no place": (["--place", "0,2,0", "--epsilon", "0.1"], "no place of an input"),
    "no index": (["--place", "a", "--epsilon", "0.1"], "as 0,14,14"),
    "nothing stored": ([], "say with --epsilon what to ask"),
    "no number": (["--epsilon", "big"], "not a number from 0 to 1"),
    "nan": (["--epsilon", "nan"], "not a number from 0 to 1"),
    "more than a probability": (["--epsilon", "1"], "not a number from 0 to 1"),
    "no move": (["--move", "two-levels", "--epsilon", "0.1"], "one-level"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    options, message = WRONG[name]
    linear(tmp_path / "m.onnx", [0.5])
    out = tmp_path / "out"
    assert main(["export-vnnlib", str(tmp_path / "m.onnx"), "--output", str(out), *options]) == (
        EXIT_USAGE
    )
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linear(tmp_path / "m.onnx", [0.5])
    (tmp_path / "file").write_text("")
    arguments = ["--output", str(tmp_path / "file"), "--epsilon", "0.1"]
    assert main(["export-vnnlib", str(tmp_path / "m.onnx"), *arguments]) == EXIT_USAGE
    assert "choose another --output" in capsys.readouterr().err
