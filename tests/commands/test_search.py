"""`lastbit search` and `lastbit replay`: what is stored, and how they end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lastbit import cli
from lastbit.commands import search as command
from lastbit.errors import DataError
from lastbit.witness import read_witness, write_witness
from lastbit.witness.search.multistart import MultiStartSearch
from support.networks import random_network


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model.onnx; no images can be had."""

    def no_images(*_: object, **__: object) -> None:
        raise DataError("no source has the images")

    monkeypatch.setattr(command, "load_mnist", no_images)
    folder = tmp_path / "small"
    folder.mkdir()
    path, _ = random_network(tmp_path, 0)
    shutil.move(path, folder / "model.onnx")
    return folder


def run(capsys, *arguments: object) -> tuple[int, dict]:
    code = cli.main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_search_then_replay(model: Path, capsys):
    code, said = run(capsys, "search", model, "--seconds", 0.5, "--starts", 8)
    assert code == 0
    witness = read_witness(model / "witness.json")
    assert said["lower"]["value"] == witness.lower > 0
    assert said["stored"] == {
        "before": None, "replaced": True, "path": str(model / "witness.json"),
    }  # fmt: skip

    code, shown = run(capsys, "replay", model)
    assert (code, shown["verdict"]) == (0, "confirmed")
    assert shown["lower"] == said["lower"]
    assert run(capsys, "replay", model / "witness.json") == (code, shown)

    assert cli.main(["replay", str(model)]) == 0
    assert "confirmed" in capsys.readouterr().out


def test_only_a_better_witness_is_stored(model: Path, capsys):
    run(capsys, "search", model, "--seconds", 0.5, "--starts", 8)
    path = model / "witness.json"
    witness = read_witness(path)
    unbeatable = replace(witness, lower=1.0, runtimes={})
    write_witness(path, unbeatable)
    before = path.read_bytes()
    code, said = run(capsys, "search", model, "--seconds", 2, "--starts", 2)
    assert code == 0
    assert (said["stored"]["before"], said["stored"]["replaced"]) == (1.0, False)
    assert path.read_bytes() == before

    code, shown = run(capsys, "replay", model)
    assert (code, shown["verdict"]) == (1, "refuted")


def test_a_witness_for_another_model_is_replaced(model: Path, capsys):
    run(capsys, "search", model, "--seconds", 0.5, "--starts", 4)
    path = model / "witness.json"
    write_witness(path, replace(read_witness(path), model_sha256="0" * 64, lower=1.0, runtimes={}))
    assert cli.main(["search", str(model), "--seconds", "0.5", "--starts", "4", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "another model" in err
    assert "random images only: no source has the images" in err
    assert json.loads(out)["stored"]["replaced"]


def test_ctrl_c_stores_the_best_so_far(model: Path, capsys, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "say", interrupt)
    code, said = run(capsys, "search", model, "--seconds", 60)
    assert (code, said["interrupted"]) == (130, True)
    assert read_witness(model / "witness.json").lower == said["lower"]["value"] > 0


def test_a_search_without_a_start_stores_nothing_and_says_so(model: Path, capsys, monkeypatch):
    """Where not even the first image was improved: its L = 0 is nothing that was found."""
    monkeypatch.setattr(MultiStartSearch, "run", lambda *_: None)
    code, said = run(capsys, "search", model, "--seconds", 0.001)
    assert (code, said["verdict"], said["lower"], said["starts"]) == (3, "not decided", None, 0)
    assert not (model / "witness.json").exists()
    assert cli.main(["search", str(model), "--seconds", "0.001"]) == 3
    assert "no start was finished" in capsys.readouterr().out


def test_what_is_wrong_is_said_before_the_search(model: Path, capsys):
    path = model / "witness.json"
    code, said = run(capsys, "replay", model)
    assert (code, said["error"]["kind"]) == (2, "CertificateError")
    assert "lastbit search" in said["error"]["fix"]
    path.write_text("{")
    code, said = run(capsys, "search", model)
    assert (code, said["error"]["kind"]) == (2, "CertificateError")
    path.unlink()
    code, said = run(capsys, "search", model, "--seconds", 0)
    assert (code, said["error"]["kind"]) == (2, "UsageError")
    assert said["error"]["where"] == "--seconds 0"
    code, said = run(capsys, "search", model, "--starts", 0)
    assert code == 2
