"""Promises of pyproject.toml that nothing else would notice being broken."""

import re
import tomllib
from pathlib import Path

import lastbit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_core_dependencies_are_few_and_not_pinned_from_above():
    names = {re.split(r"[<>=!~]", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names == {
        "numpy", "onnx", "onnxruntime", "platformdirs", "rich", "scipy", "typer",
    }  # fmt: skip
    extras = PROJECT["optional-dependencies"].values()
    for requirement in PROJECT["dependencies"] + [item for extra in extras for item in extra]:
        assert not re.search(r"<|==|~=", requirement), requirement


def test_the_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {lastbit.__version__}" in text


def test_the_page_of_commands_lists_every_one():
    from lastbit.cli import app

    text = (ROOT / "docs" / "commands.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert f"`lastbit {name}" in text, name
