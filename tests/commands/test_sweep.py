"""`lastbit sweep`: what it prints and writes, and the codes it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from lastbit.cli import main
from soundness.small import certified
from support.swept import random_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certified model, images in i.npy, and a cache of its own."""
    certified(tmp_path)
    np.save(tmp_path / "i.npy", random_images(4, 6))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    model, data = str(folder / "model.onnx"), str(folder / "i.npy")
    return ["sweep", model, "--data", data, "--processes", "1", *more]


def said(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_the_object_the_file_and_the_table_agree(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    assert main(arguments(folder, "--out", str(out), "--map", "--json")) == 0
    found = said(capsys)
    kept = json.loads((out / "sweep.json").read_bytes())
    assert kept == {name: found[name] for name in kept}
    assert found["verdict"] == "swept" and len(found["largest"]) == 10
    assert found["executions"] <= found["brute_force"] + 4 * 3 and found["of_them_before"] == 0
    top = found["largest"][0]
    assert top["change"] == abs(top["after"] - top["before"])
    assert top["change"] <= found["certified"]["upper"]["same-program"]
    assert len(found["by_place"]) == 36
    assert max(item["change"] for item in found["by_place"]) == top["change"]
    assert main(arguments(folder, "--out", str(out))) == 0
    text = capsys.readouterr().out
    assert "verdict" in text and "same-program" in text and f"{top['change']!r}" in text


def test_brute_force_and_another_folder_write_the_same_bytes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    each = [folder / "each.csv", folder / "slow.csv"]
    assert main(arguments(folder, "--each", str(each[0]), "--json")) == 0
    first = said(capsys)
    assert first["file"].startswith(str(folder / "cache"))
    slow = [*arguments(folder, "--each", str(each[1])), "--out", str(folder / "t")]
    assert main([*slow, "--brute-force"]) == 0
    assert Path(first["file"]).read_bytes() == (folder / "t" / "sweep.json").read_bytes()
    assert each[0].read_bytes() == each[1].read_bytes()
    assert each[0].read_text().splitlines()[0].startswith("image,name,channel,row,column,class")
    assert len(each[0].read_text().splitlines()) == 5


def test_a_data_set_that_changed_is_told_and_nothing_is_lost(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--json")) == 0
    first = said(capsys)
    original = (folder / "i.npy").read_bytes()
    np.save(folder / "i.npy", random_images(4, 6, seed=1))
    assert main(arguments(folder, "--json")) == 2
    error = said(capsys)["error"]
    assert error["kind"] == "DataError" and "images was" in error["message"]
    (folder / "i.npy").write_bytes(original)
    assert main(arguments(folder, "--json")) == 0
    again = said(capsys)
    assert again["executions"] == again["of_them_before"] == first["executions"]
    assert again["largest"] == first["largest"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--runtime", "abacus"], "there is no runtime 'abacus'"),
        (["--engine", "steam"], "there is no engine 'steam'"),
        (["--processes", "0"], "--processes"),
        (["--images", "0"], "--images"),
        (["--data", "nowhere"], "cannot be read"),
        (["--box", "0,1"], "--box|float32"),
    ],
)
def test_wrong_usage_ends_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(arguments(folder, *more)) == 2
    captured = capsys.readouterr()
    assert any(part in captured.err for part in message.split("|")), captured.err
    assert not captured.out


def test_of_another_model_the_images_have_to_be_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(folder / "model.onnx")]) == 2
    assert "which images?" in capsys.readouterr().err


def test_a_change_beyond_the_certificate_ends_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastbit.sweep.everywhere.Stored.upper", {"same-program": 1e-9})
    assert main(arguments(folder, "--json")) == 1
    found = said(capsys)
    assert found["verdict"] == "refuted" and found["refuted"] == found["largest"][0]


def test_a_missing_ray_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    usual = importlib.import_module

    def without(name: str, *rest: str) -> object:
        if name == "ray":
            raise ImportError
        return usual(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    assert main(arguments(folder, "--engine", "ray")) == 2
    assert "[ray]" in capsys.readouterr().err


@pytest.mark.slow
def test_the_shipped_zero_changes_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--images", "20", "--processes", "1", "--out", str(folder / "z"), "--json"]
    assert main(["sweep", "zero", *options]) == 0
    found = said(capsys)
    assert found["largest"][0]["change"] == 0 and found["executions"] == 20 + (1 + 8) + (1 + 16)
