import os
from pathlib import Path

import pytest

from lastbit.errors import ModelError, UsageError
from lastbit.models import resolve_model, shipped, shipped_models


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    """A folder with three shipped models and one folder that is none."""
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shelf")
    for name in ("zero", "tight", "deep"):
        (tmp_path / "shelf" / name).mkdir(parents=True)
        (tmp_path / "shelf" / name / "model.onnx").write_bytes(name.encode())
    (tmp_path / "shelf" / "unfinished").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_default_model_comes_first(shelf):
    assert [files.name for files in shipped_models()] == ["tight", "deep", "zero"]


def test_a_shipped_name_wins_over_a_folder_of_that_name(shelf):
    (shelf / "tight").mkdir()
    (shelf / "tight" / "model.onnx").write_bytes(b"mine")
    assert resolve_model("tight").folder == shelf / "shelf" / "tight"
    assert resolve_model("./tight").model.read_bytes() == b"mine"


def test_files_of_a_folder(shelf):
    files = resolve_model(shelf / "shelf" / "deep")
    assert files.name == "deep"
    assert [
        path.name for path in (files.recipe, files.metrics, files.witness, files.certificate)
    ] == [
        "recipe.json",
        "metrics.json",
        "witness.json",
        "certificate.json",
    ]


def test_a_file_called_model_names_its_folder(shelf):
    files = resolve_model("shelf/deep/model.onnx")
    assert (files.name, files.folder) == ("deep", Path("shelf/deep"))


def test_a_file_by_itself_gets_a_folder_beside_it(shelf):
    (shelf / "digits.onnx").write_bytes(b"x")
    files = resolve_model("digits.onnx")
    assert (files.name, files.model, files.folder) == (
        "digits",
        Path("digits.onnx"),
        Path("digits"),
    )


@pytest.mark.parametrize("name", ["unfinished", "nothing.onnx", "shelf"])
def test_anything_else_is_a_usage_error_that_lists_the_names(shelf, name):
    with pytest.raises(UsageError, match="tight, deep, zero"):
        resolve_model(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_model(shelf):
    files = resolve_model("tight")
    files.model.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        files.sha256()


def test_a_vanished_model(shelf):
    files = resolve_model("tight")
    files.model.unlink()
    with pytest.raises(ModelError, match="No such file"):
        files.sha256()
