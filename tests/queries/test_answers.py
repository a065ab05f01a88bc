"""Queries about networks whose Q is known: unsat above it, sat below it, and what is said."""

from __future__ import annotations

import csv
import gzip
import json
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from lastbit.cli import main
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED
from support.absorbing import absorber
from support.asked import at, declared, linear, one_moves, written
from support.planted import plant

CODES = {"unsat": EXIT_OK, "sat": EXIT_REJECTED, "unknown": EXIT_UNDECIDED}
STEPS = (0.03, -0.8, 0.31, 0.11)
"""The largest is at place 1."""
Said = dict[str, Any]


def asked(
    capsys: pytest.CaptureFixture[str], query: Path, model: Path, *options: str, seconds: int = 90
) -> Said:
    """The answer as JSON; its exit code is the documented one."""
    capsys.readouterr()
    arguments = ["vnnlib", str(query), "--network", f"f={model}", "--timeout", str(seconds)]
    code = main([*arguments, *options, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert CODES[said["verdict"]] == code
    return said


def exported(model: Path, folder: Path, *options: str) -> list[tuple[Path, Path]]:
    """The instances of a model, as another tool reads them: query and model, both unpacked."""
    assert main(["export-vnnlib", str(model), "--output", str(folder), *options]) == EXIT_OK
    found = list[tuple[Path, Path]]()
    with (folder / "instances.csv").open(newline="") as lines:
        for networks, query, seconds in csv.reader(lines):
            (name, first), (other, second) = literal_eval(networks)
            assert (name, other, first) == ("f", "g", second)
            assert int(seconds) > 0
            for path in (query, first):
                packed = (folder / f"{path}.gz").read_bytes()
                (folder / path).write_bytes(gzip.decompress(packed))
            found.append((folder / query, folder / first))
    return found


def outputs(model: Path, numbers: NDArray[Any]) -> NDArray[np.float32]:
    """What ONNX Runtime makes of an input, here with nothing of lastbit."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    kind = np.uint8 if source.type == "tensor(uint8)" else np.float32
    sizes = [n if isinstance(n, int) else 1 for n in source.shape]
    (made,) = session.run(None, {source.name: numbers.astype(kind).reshape(sizes)})
    return np.asarray(made).reshape(-1)


def shown(said: Said, model: Path) -> tuple[NDArray[Any], NDArray[Any], float]:
    """The two inputs, and how far the outputs are apart: those that are said are those computed."""
    x, y, a, b = (np.array(said["assignment"][name]) for name in "XYAB")
    assert np.array_equal(outputs(model, x), y.astype(np.float32))
    assert np.array_equal(outputs(model, a), b.astype(np.float32))
    return x, a, float(np.abs(y - b).max())


@pytest.mark.parametrize("move", ["last-bit", "one-level"])
@pytest.mark.parametrize("seed", range(3))
def test_sat_below_q_and_unsat_above(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int, move: str
) -> None:
    steps = np.random.default_rng(seed).uniform(-1, 1, 4)
    q = linear(tmp_path / "m.onnx", steps.tolist())
    below, above = f"{0.9 * q:.6f}", f"{1.01 * q + 1e-4:.6f}"
    options = ["--epsilon", below, "--epsilon", above, "--move", move]
    (low, model), (high, _) = exported(tmp_path / "m.onnx", tmp_path / "out", *options)
    said = asked(capsys, low, model)
    assert said["verdict"] == "sat"
    x, a, moved = shown(said, model)
    assert moved > float(below)
    differ = np.flatnonzero(x != a)
    assert differ.tolist() == [np.abs(steps).argmax()]
    assert abs(x[differ] - a[differ]) == 1
    assert move == "one-level" or x[differ] // 2 == a[differ] // 2
    said = asked(capsys, high, model)
    assert said["verdict"] == "unsat"
    assert q * 0.999 <= said["upper"] <= float(above)
    assert said["assignment"] is None
    assert "any-order-binary32" in said["assumptions"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_planted_networks_are_answered_by_what_is_planted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    planted = plant(seed)
    planted.builder.save(tmp_path / "m.onnx")
    below, above = f"{planted.low / 2:.6f}", f"{planted.high + 0.01:.6f}"
    options = ["--epsilon", below, "--epsilon", above]
    (low, model), (high, _) = exported(tmp_path / "m.onnx", tmp_path / "out", *options)
    said = asked(capsys, low, model, seconds=90)
    assert said["verdict"] == "sat"
    assert float(below) < shown(said, model)[2] <= planted.high
    assert asked(capsys, high, model)["verdict"] == "unsat"


def test_one_place_has_its_own_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    q = linear(model, STEPS)
    for place, verdict in ((1, "sat"), (0, "unsat")):
        options = ["--epsilon", f"{q / 2:.6f}", "--place", f"0,0,{place}"]
        ((query, copy),) = exported(model, tmp_path / str(place), *options)
        said = asked(capsys, query, copy)
        assert (said["verdict"], said["places"]) == (verdict, 1)


def test_floats_move_by_their_last_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    linear(model, [2.0**12, -(2.0**13)], floats=True)
    upper = proved_upper(capsys, model, tmp_path)
    options = ["--box", "0,1", "--epsilon"]
    ((query, copy),) = exported(model, tmp_path / "high", *options, f"{upper * 1.1:.6f}")
    assert asked(capsys, query, copy)["verdict"] == "unsat"
    ((query, copy),) = exported(model, tmp_path / "low", *options, "0.00003")
    said = asked(capsys, query, copy)
    assert said["verdict"] == "sat"
    x, a, moved = shown(said, copy)
    assert moved > 3e-5
    assert np.abs(x - a).max() <= 2.0**-24
    assert np.count_nonzero(x != a) == 1


def proved_upper(capsys: pytest.CaptureFixture[str], model: Path, folder: Path) -> float:
    """U of a model by `lastbit prove`."""
    capsys.readouterr()
    main(["prove", str(model), "--out", str(folder / "proved"), "--json"])
    return json.loads(capsys.readouterr().out)["upper"]["same-program"]


def test_logits_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    linear(model, STEPS, logits=True)
    head, difference = declared() + one_moves(1), "(- Y[0,0] Y[0,1]) (- B[0,0] B[0,1])"
    for least, verdict in (("0.7", "sat"), ("0.81", "unsat")):
        query = written(tmp_path, head, f"(assert (> (- {difference}) {least}))")
        said = asked(capsys, query, model)
        assert said["verdict"] == verdict, least
        assert said["upper"] is None
    label = "(assert (and (> Y[0,0] (+ Y[0,1] {0})) (< B[0,0] (- B[0,1] {0}))))"
    for least, verdict in (("0.3", "sat"), ("0.41", "unsat")):
        query = written(tmp_path, head, label.format(least))
        assert asked(capsys, query, model)["verdict"] == verdict, least


def test_what_no_bound_excludes_and_no_search_finds_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.onnx"
    linear(model, STEPS)
    wish = "(assert (> (- Y[0,0] B[0,0]) 0.01)) (assert (> Y[0,0] 2.0))"
    query = written(tmp_path, declared(), one_moves(1), wish)
    said = asked(capsys, query, model, seconds=2)
    assert (said["verdict"], said["assignment"]) == ("unknown", None)
    assert said["upper"] is not None


def test_levels_know_nothing_of_pairs_of_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a layer absorbs last bits, 1 to 2 is another step than 0 to 1."""
    model = tmp_path / "m.onnx"
    model.write_bytes(absorber())
    for move, verdicts in (("last-bit", {"unsat"}), ("one-level", {"sat", "unknown"})):
        options = ["--epsilon", "0.0", "--move", move]
        ((query, copy),) = exported(model, tmp_path / move, *options)
        assert asked(capsys, query, copy, seconds=3)["verdict"] in verdicts, move


def test_the_standard_words_are_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.onnx"
    q = linear(model, STEPS)
    head = [declared(), one_moves(1)]
    query = written(tmp_path, *head, f"(assert (> (- Y[0,0] B[0,0]) {q / 2:.6f}))")
    arguments = ["vnnlib", str(query), "--network", f"f={model}", "--timeout", "90"]
    capsys.readouterr()
    assert main(arguments) == EXIT_REJECTED
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "sat"
    heads = ["X uint8 [1,1,2,2]", "Y float32 [1,3]", "A uint8 [1,1,2,2]", "B float32 [1,3]"]
    assert [line for line in lines if " " in line] == heads
    assert len(lines) == 1 + 4 + 2 * (4 + 3)
    assert "float32 as executed, same-program" in err
    query = written(tmp_path, *head, "(assert (> (- Y[0,0] B[0,0]) 0.5))")
    assert main(arguments) == EXIT_OK
    assert capsys.readouterr().out == "unsat\n"


def test_any_two_executions_have_the_larger_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.onnx"
    linear(model, STEPS)
    ((query, copy),) = exported(model, tmp_path / "out", "--epsilon", "0.5")
    one = asked(capsys, query, copy)
    kept = ["--executions", "any-two", "--out", str(tmp_path / "kept")]
    two = asked(capsys, query, copy, *kept)
    assert one["upper"] < two["upper"] < 0.5
    assert "deterministic" in set(one["assumptions"]) - set(two["assumptions"])
    assert two["checked"]
    assert main(["check", two["certificate"], "--model", str(copy)]) == EXIT_OK


def test_places_may_be_said_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A disjunction of places, in full: X and A are equal in all but one."""
    model = tmp_path / "m.onnx"
    q = linear(model, STEPS)
    cases = list[str]()
    for moving in range(4):
        parts = [f"(== X{at(k)} A{at(k)})" for k in range(4) if k != moving]
        x, a = f"X{at(moving)}", f"A{at(moving)}"
        cases.append(f"(and {' '.join(parts)} (>= {a} {x}) (<= (- {a} {x}) 1))")
    for share, verdict in ((0.5, "sat"), (1.05, "unsat")):
        ask = f"(assert (or (> (- Y[0,0] B[0,0]) {share * q:.6f})))"
        query = written(tmp_path, declared(), f"(assert (or {' '.join(cases)}))", ask)
        assert asked(capsys, query, model)["verdict"] == verdict


def test_bytes_that_wrap_are_no_witness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of A = X - 1, X - A is 1 and A - X is 255, where it is a byte."""
    model = tmp_path / "m.onnx"
    q = linear(model, STEPS)
    both = f"(assert (<= (- X{at(1)} A{at(1)}) 1))"
    head = [declared(), one_moves(1).replace(f"(assert (>= A{at(1)} X{at(1)}))", both)]
    query = written(tmp_path, *head, f"(assert (> (- Y[0,0] B[0,0]) {q / 2:.6f}))")
    said = asked(capsys, query, model, seconds=2)
    assert said["verdict"] == "unknown"
    assert "bytes wrap" in said["note"]
