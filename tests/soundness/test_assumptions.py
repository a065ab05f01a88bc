"""A claim names what is assumed of the nodes that its network has, and of no others."""

import json
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.write import draft, write
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.assumptions import OF_EVERY_NETWORK, OF_ONE_PROGRAM, assumptions
from lastbit_check.certificate import digest
from lastbit_check.operators import KINDS
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM
from soundness.small import verdict

SIGMOID, SILU = (KINDS[name].assumed for name in ("sigmoid", "silu"))


def certified(folder: Path, curve: str) -> Path:
    """A layer, a curve and a dense layer: model and certificate."""
    b = OnnxBuilder()
    x = b.conv(b.div(b.input_bytes((1, 2, 2)), 255), np.ones((2, 1, 1, 1)))
    x = b.operator("Relu", [x], "relu") if curve == "relu" else getattr(b, curve)(x)
    b.softmax(b.dense(b.mean(x), np.array([[1.0, 0.5], [0.25, -1]]), np.zeros(2)))
    path = b.save(folder / "model.onnx")
    write(folder / "certificate.json", draft(path.read_bytes(), hints_for(read_onnx(path))))
    return folder


@pytest.mark.parametrize("curve", ["sigmoid", "silu", "relu"])
def test_only_the_kinds_that_are_there_are_assumed_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], curve: str
) -> None:
    path = certified(tmp_path, curve) / "certificate.json"
    assert verdict(tmp_path, capsys) == (0, "")
    stated = json.loads(path.read_bytes())["assumptions"]
    own = {"sigmoid": SIGMOID, "silu": SILU, "relu": ()}[curve]
    assert stated[ANY_TWO] == sorted({*OF_EVERY_NETWORK, *own})
    assert stated[SAME_PROGRAM] == sorted({*OF_EVERY_NETWORK, *own, *OF_ONE_PROGRAM})


@pytest.mark.parametrize("curve", ["sigmoid", "silu"])
@pytest.mark.parametrize("others", [False, True])
def test_less_or_another_curve_s_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], curve: str, others: bool
) -> None:
    path = certified(tmp_path, curve) / "certificate.json"
    fields = json.loads(path.read_bytes())
    left = {*fields["assumptions"][ANY_TWO]} - {*SIGMOID, *SILU}
    given = left | {*(SILU if curve == "sigmoid" else SIGMOID)} if others else left
    fields["assumptions"][ANY_TWO] = sorted(given)
    path.write_text(json.dumps(fields | {"digest": digest(fields)}))
    assert verdict(tmp_path, capsys) == (1, "certificate.assumptions")


def test_the_names_of_kinds_are_distinct() -> None:
    named = [name for kind in KINDS.values() for name in kind.assumed]
    assert len({*named, *OF_EVERY_NETWORK, *OF_ONE_PROGRAM}) == (
        len(named) + len(OF_EVERY_NETWORK) + len(OF_ONE_PROGRAM)
    )
    assert {*EXECUTIONS} == {ANY_TWO, SAME_PROGRAM}


def test_the_order_is_one_that_a_reader_can_make(tmp_path: Path) -> None:
    network = read_onnx(certified(tmp_path, "silu") / "model.onnx").normal
    for name in EXECUTIONS:
        assert [*assumptions(network, name)] == sorted(assumptions(network, name))
