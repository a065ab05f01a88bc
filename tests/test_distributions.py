"""The wheel and the sdist: what they hold, and that the wheel works away from the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import lastbit
from lastbit.models.shipped import shipped_models
from support.digits import digits

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 30e6  # of either: the shipped models are most of it
JUNK = re.compile(
    r"\.vo[ks]?$|\.glob$|\.pyc$|__pycache__|\.state\.json$|^(build|dist|certificates|out|\.venv)/"
)

needs_hatchling = pytest.mark.skipif(not find_spec("hatchling"), reason="needs hatchling")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built by what pyproject.toml names, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.slow
@needs_hatchling
def test_the_wheel_has_the_programs_and_the_models(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < MOST_BYTES
    with ZipFile(wheel) as file:
        names = set(file.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"lastbit", "lastbit_check", f"lastbit-{lastbit.__version__}.dist-info"}
    for files in shipped_models():
        for part in (
            "model.onnx",
            "certificate.json",
            "witness.json",
            "recipe.json",
            "metrics.json",
        ):
            assert f"lastbit/shipped/{files.name}/{part}" in names
    assert not [name for name in names if JUNK.search(name)]
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
@needs_hatchling
def test_the_sdist_has_what_builds_and_checks_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    assert sdist.stat().st_size < MOST_BYTES
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for name in ("LICENSE", "CITATION.cff", "README.md", "CHANGELOG.md", "Makefile", "mkdocs.yml",
                 ".ci/make-venv", "proofs/Statement.v", "proofs/_CoqProject", "docs/bound.md",
                 "docs/made/rules.py", "models/tight/model.onnx", "bench/size.py",
                 "tests/conftest.py", "src/lastbit_check/check.py"):  # fmt: skip
        assert name in names
    assert not [name for name in names if JUNK.search(name)]


@pytest.mark.slow
@needs_hatchling
def test_the_wheel_works_away_from_the_repository(built: Path, tmp_path: Path) -> None:
    """The shipped models are found in it; a model of one's own is proved."""
    (wheel,) = built.glob("*.whl")
    ZipFile(wheel).extractall(tmp_path / "installed")
    digits(tmp_path)
    away = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def run(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=away, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    models = run("lastbit", "models")["models"]
    assert isinstance(models, list)
    assert [one["name"] for one in models] == [files.name for files in shipped_models()]
    assert all(one["path"].startswith(str(tmp_path / "installed")) for one in models)
    assert run("lastbit", "prove", "digits.onnx", "--pixels", "unit")["verdict"] == "proved"
    found = run("lastbit_check", "digits/certificate.json", "digits.onnx")
    assert found["accepted"] is True


def test_the_citation_has_what_the_format_needs() -> None:
    """The required fields of the Citation File Format 1.2.0, and ours."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert said["cff-version"] == "1.2.0"
    assert said["message"] and said["title"].startswith("lastbit")
    assert said["authors"] == [{"name": "The lastbit authors"}]
    assert said["version"] == lastbit.__version__
    assert said["license"] == "Apache-2.0" and said["type"] == "software"
