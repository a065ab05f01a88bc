"""Queries that are about something else, or nothing: one error, which names assertion and line."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lastbit.cli import main
from lastbit.errors import EXIT_USAGE, MissingExtraError, QueryError
from lastbit.queries import read_query
from lastbit.queries.asks import asks
from support.asked import at, declared, linear, one_moves, written

APART = "(assert (> (- Y[0,0] B[0,0]) 0.1))\n"
MOVES = one_moves(1)
HEAD = declared()
FIRST_LINE = HEAD.count("\n") + 1

QUERIES = {
    "not VNN-LIB": ("(hello)", "cannot|expected|error|Syntax|syntax|line"),
    "no version": (HEAD.split("\n", 1)[1] + MOVES + APART, "VNN-LIB 1.0 cannot name two copies"),
    "an exponent": (HEAD + MOVES + "(assert (> Y[0,0] 1e-3))", "0.25, not 2.5e-1"),
    "another network": (declared(second="isomorphic-to f") + MOVES + APART, "equal-to f"),
    "one network": (
        "(vnnlib-version <2.0>)\n(declare-network f\n(declare-input X uint8 [1,4])\n"
        "(declare-output Y float32 [1,3])\n)\n(assert (> Y[0,0] 0.1))",
        "1 networks are declared, not two",
    ),
    "int8": (declared("int8") + MOVES + APART, "I8"),
    "nothing asked": (HEAD + MOVES, "nothing is asked of the outputs"),
    "inputs and outputs": (
        declared("float32") + one_moves(1, "0.00000001", "0.0", "1.0")
        + f"(assert (> Y[0,0] X{at(0)}))",
        "inputs and outputs at once",
    ),
    "all move": (HEAD + APART, "from both being different"),
    "two move": (
        HEAD + "\n".join(f"(assert (== X{at(k)} A{at(k)}))" for k in (0, 1)) + APART,
        "from both being different",
    ),
    "two levels": (HEAD + one_moves(1, "2") + APART, "may be .* in the one copy and"),
    "without a step": (
        HEAD + "\n".join(f"(assert (== X{at(k)} A{at(k)}))" for k in (0, 1, 2)) + APART,
        "may be .* in the one copy and",
    ),
    "two places compared": (
        HEAD + MOVES + f"(assert (<= X{at(0)} X{at(3)}))" + APART, "comparison of several places"),
    "a product": (HEAD + MOVES + "(assert (> (* Y[0,0] B[0,0]) 0.1))", "product"),
    "one copy alone": (HEAD + MOVES + "(assert (> Y[0,0] 0.5))", "does not compare the outputs"),
    "no bounds": (
        declared("float32")
        + "\n".join(f"(assert (== X{at(k)} A{at(k)}))" for k in (0, 1, 2)) + APART,
        "has no bounds",
    ),
    "a long step": (
        declared("float32") + one_moves(1, "0.001", "0.0", "1.0") + APART, "may move by 0.001"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_what_is_not_covered_is_refused_by_name(tmp_path: Path, name: str) -> None:
    text, message = QUERIES[name]
    with pytest.raises(QueryError, match=message) as caught:
        asks(read_query(written(tmp_path, text)))
    assert str(tmp_path) in caught.value.where
    assert caught.value.fix


def test_the_line_and_the_assertion_are_named(tmp_path: Path) -> None:
    comment = "; (assert in a comment\n(assert (> (* Y[0,0]\n   B[0,0]) 0.1))"
    path = written(tmp_path, HEAD, MOVES, comment)
    line = FIRST_LINE + MOVES.count("\n") + 1
    with pytest.raises(QueryError) as caught:
        asks(read_query(path))
    assert f"line {line}: " in caught.value.where
    assert "Y[0,0]" in caught.value.where


def test_the_package_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"\[vnnlib\]"):
        read_query(written(tmp_path, HEAD))


def broken_gzip(path: Path) -> Path:
    path = path.with_suffix(".vnnlib.gz")
    path.write_bytes(b"\x1f\x8b no more")
    return path


COMMANDS: dict[str, tuple[str, list[str], str]] = {
    "no file": (HEAD + MOVES + APART, ["--network", "f=nowhere.onnx"], "nowhere.onnx"),
    "no equals sign": (HEAD + MOVES + APART, ["--network", "m.onnx"], "--network f=FILE"),
    "another name": (HEAD + MOVES + APART, ["--network", "h=m.onnx"], "declares 'f'"),
    "two files": (HEAD + MOVES + APART, ["--network", "f=m.onnx", "--network", "g=n.onnx"], "two"),
    "no such executions": (
        HEAD + MOVES + APART, ["--network", "f=m.onnx", "--executions", "all"], "any-two"),
    "floats, and bytes in the model": (
        declared("float32") + one_moves(1, "0.00000001", "0.0", "1.0") + APART,
        ["--network", "f=m.onnx"], "the query is about float32"),
    "another size": (
        HEAD.replace("[1,3]", "[1,4]") + MOVES + APART,
        ["--network", "f=m.onnx"], "has \\[1, 3\\]"),
    "float64 out": (
        declared(output="float64") + MOVES + APART, ["--network", "f=m.onnx"], "float64|F64"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_call_ends_with_one_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    text, options, message = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    linear(tmp_path / "m.onnx", [0.5])
    query = written(tmp_path, text)
    assert main(["vnnlib", str(query), *options, "--json"]) == EXIT_USAGE
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "error"
    assert len(err.splitlines()) == 1
    assert re.search(message, err)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.vnnlib", tmp_path, broken_gzip(tmp_path / "q")):
        with pytest.raises(QueryError, match="cannot be read"):
            read_query(path)


def test_one_logit_alone_has_no_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    linear(model, [0.5], logits=True)
    query = written(tmp_path, HEAD, MOVES, APART)
    assert main(["vnnlib", str(query), "--network", f"f={model}"]) == EXIT_USAGE
    assert "only differences of two are bounded" in capsys.readouterr().err
