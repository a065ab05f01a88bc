"""What the documentation tells a reader to type is typed, or held to exist where it takes long."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from lastbit.cli import app, main
from lastbit_check.__main__ import main as check
from support.digits import digits
from support.pages import INDENTED, ROOT, TYPED, Block, blocks, named, pages, spans

PAGES = pages()
ALL = [block for page in PAGES for block in blocks(page)]
ELSEWHERE = {"docs/models.md"}  # with the libraries that it speaks of, in tests/test_models_page.py
RUN = [b for b in ALL if b.language in ("sh", "python") and not b.long and b.page not in ELSEWHERE]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OF_CHECK = {"--images", "--sample", "--seed", "--json", "--memory", "--help"}
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
FOLDERS = ("bench/", "docs/", "models/", "proofs/", "src/", "tests/")


def options_of(command: str) -> set[str]:
    """The options of one of our commands, with those that every command has."""
    found = {o for p in COMMANDS[command].params for o in (*p.opts, *p.secondary_opts)}
    return found | {"--help", "-h"}


def held(words: Sequence[str]) -> None:
    """A command exists, with these options, extras, targets and files."""
    program, *rest = words
    given = [word.partition("=")[0] for word in rest if word.startswith("--")]
    if program == "lastbit" and not rest[0].startswith("-"):
        assert rest[0] in COMMANDS, words
        assert {*given} <= options_of(rest[0]), words
        COMMANDS[rest[0]].make_context(rest[0], [*rest[1:]])  # raises where it does not parse
    elif program == "lastbit-check":
        assert {*given} <= OF_CHECK, words
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, words
    elif program == "pip" or rest[:2] == ["-m", "pip"]:
        asked = {e for word in rest for e in re.findall(r"\.\[([\w,]+)\]", word)}
        assert {e for some in asked for e in some.split(",")} <= EXTRAS.keys(), words
    else:
        assert program in ("cd", "git", "python", "lastbit"), words
    for word in rest:
        if word.startswith(FOLDERS) and "*" not in word:
            assert (ROOT / word).exists(), words


@pytest.mark.parametrize("block", ALL, ids=str)
def test_what_stands_in_a_block_exists(block: Block) -> None:
    if block.language == "sh":
        for words in block.commands():
            held(words)
    elif block.language == "python":
        ast.parse(block.code)
    elif block.language != "text":
        assert not TYPED.findall(block.code), "what a reader types is `sh`"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_is_typed_is_in_fences(page: Path) -> None:
    assert not INDENTED.findall(page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_options_in_sentences_exist(page: Path) -> None:
    for program, *rest in spans(page):
        options = {w.rstrip(",.;:") for word in rest for w in word.split("|") if w[:2] == "--"}
        if program == "lastbit-check":
            assert options <= OF_CHECK, (program, *rest)
        elif not rest[0].startswith("-"):
            assert rest[0] in COMMANDS, (program, *rest)
            assert options <= options_of(rest[0]), (program, *rest)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader may have it: the models of the repository, files of their own."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    digits(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", RUN, ids=str)
def test_what_can_be_typed_is_typed(
    block: Block, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if block.language == "python":
        exec(block.code, {"__name__": "a page"})
        return
    for program, *rest in block.commands():
        assert program in ("lastbit", "lastbit-check"), "mark it as long, or teach this test"
        code = (main if program == "lastbit" else check)(rest)
        assert code == 0, (program, *rest, capsys.readouterr().err)


def test_the_runner_sees_what_is_wrong(tmp_path: Path) -> None:
    """A command that does not exist, an option, a target, an extra, a file; a block to run."""
    for wrong in ("lastbit proof x.onnx", "lastbit prove --nothing 3", "lastbit prove --bit x",
                  "make nothing", "pip install '.[nothing]'", "python bench/nothing.py",
                  "lastbit-check models/zero/nothing.json", "curl nothing"):  # fmt: skip
        block = Block("page", 1, "sh", wrong, "")
        with pytest.raises(Exception):  # noqa: B017 - an assertion, or what the parser says
            held(block.commands()[0])
    assert len(RUN) >= 6 and any(b.language == "python" for b in RUN)
