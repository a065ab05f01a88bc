"""Certificates of models that read float32 are checked by the question that they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.certificate.write import draft
from lastbit.graph import Asked, read_onnx
from lastbit.hints import hints_for
from lastbit_check.__main__ import main
from lastbit_check.question import LAST_BIT, ONE_IMAGE, Box, Question, Step
from soundness.small import Fields, changed, fields_of, model, put, verdict
from support.arranged import ArrangedNetwork

QUESTIONS = {
    "pixels": replace(LAST_BIT, pixels=(Step("Div", (255.0,)), Step("Sub", (0.125,)))),
    "box": replace(LAST_BIT, box=Box(-1.0, 3.0)),
}
Capture = pytest.CaptureFixture[str]


def certified(folder: Path, question: Question) -> Fields:
    path = ArrangedNetwork(1, bytes_in=False, steps=3).save(folder / "model.onnx")
    hints = hints_for(read_onnx(Asked(path, question)))
    made = draft(path.read_bytes(), hints, question=question)
    (folder / "certificate.json").write_bytes(made.manifest)
    return fields_of(folder)


def step(op: str, *constants: str, **more: Any) -> dict[str, Any]:
    return {"pixels": [{"op": op, "constants": [*constants], **more}], "box": []}


def box(*numbers: str) -> dict[str, Any]:
    return {"pixels": [], "box": [*numbers]}


ONE, TWO, LARGE, TINY = "0x1.0000000000000p+0", "0x1.0000000000000p+1", (1e39).hex(), (1e-40).hex()
FIELDS, QUESTION = "certificate.fields", "certificate.question"
SPOILT: dict[str, tuple[str, dict[str, Any]]] = {
    "minus 0": (FIELDS, step("Sub", "-0x0.0p+0")),
    "no number": (FIELDS, step("Sub", "nan")),
    "infinite": (FIELDS, step("Sub", "inf")),
    "a word": (FIELDS, step("Sub", "half")),
    "out of all range": (FIELDS, step("Sub", "0x1.0p+99999")),
    "another field": (FIELDS, step("Sub", ONE, by="channel")),
    "no field": (FIELDS, {"pixels": [{"op": "Sub"}], "box": []}),
    "a list for an operator": (FIELDS, {"pixels": [{"op": [], "constants": [ONE]}]}),
    "a power": (QUESTION, step("Pow", TWO)),
    "no constant": (QUESTION, step("Mul")),
    "not of binary32": (QUESTION, step("Mul", (0.1).hex())),
    "beyond binary32": (QUESTION, step("Mul", LARGE)),
    "by 0": ("finite.values", step("Div", "0x0.0p+0")),
    "by a subnormal number": ("finite.values", step("Div", float(np.float32(1e-40)).hex())),
    "for another number of channels": ("model.shape", step("Mul", *[ONE] * 7)),
    "pixels in a box": (QUESTION, {**step("Mul", ONE), "box": [ONE, TWO]}),
    "nothing": ("model.input", box()),
    "a box of one": (QUESTION, box(ONE)),
    "a box of three": (QUESTION, box(ONE, TWO, TWO)),
    "an empty box": (QUESTION, box(ONE, ONE)),
    "a box upside down": (QUESTION, box(TWO, ONE)),
    "a box from minus 0": (FIELDS, box("-0x0.0p+0", ONE)),
    "a box beyond binary32": (QUESTION, box(ONE, LARGE)),
    "one image": (QUESTION, {"name": ONE_IMAGE.name}),
    "a field more": (FIELDS, {"images": ""}),
    "another question": ("claim.any-two", box(ONE, TWO)),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_only_the_question_itself_is_accepted(tmp_path: Path, capsys: Capture, name: str) -> None:
    fields = certified(tmp_path, QUESTIONS[name])
    assert verdict(tmp_path, capsys) == (0, "")
    main([str(tmp_path / "certificate.json")])
    assert ("from -1.0 to 3.0" if name == "box" else "Div 255.0") in capsys.readouterr().out
    for how, (rule, given) in SPOILT.items():
        put(tmp_path, changed(fields, ("question",), {**fields["question"], **given}), seal=True)
        assert verdict(tmp_path, capsys) == (1, rule), how


def test_of_one_image_there_is_no_certificate(tmp_path: Path, capsys: Capture) -> None:
    certified(tmp_path, replace(QUESTIONS["pixels"], name=ONE_IMAGE.name, move=ONE_IMAGE.move))
    assert verdict(tmp_path, capsys) == (1, QUESTION)


def test_a_file_of_bytes_has_no_other_question(tmp_path: Path, capsys: Capture) -> None:
    fields = certified(tmp_path, QUESTIONS["box"])
    (tmp_path / "model.onnx").write_bytes(model())
    put(tmp_path, fields, seal=True)
    assert verdict(tmp_path, capsys) == (1, "model.input")


LONG = 10**6
WRITE: dict[str, Callable[[Path, Fields], object]] = {
    "bytes": lambda path, _: path.write_bytes(np.random.default_rng(0).bytes(LONG)),
    "an operator": lambda path, f: put(
        path.parent, changed(f, ("question", "name"), "x" * LONG), seal=True
    ),
    "a node": lambda path, f: put(path.parent, changed(f, ("absorbed",), "x" * LONG), seal=True),
    "a field": lambda path, f: put(path.parent, {**f, "x" * LONG: 1}, seal=True),
    "a number": lambda path, _: path.write_text("1." + "0" * LONG),
}


@pytest.mark.parametrize("name", WRITE)
def test_what_a_file_says_is_quoted_in_part(tmp_path: Path, capsys: Capture, name: str) -> None:
    WRITE[name](tmp_path / "certificate.json", certified(tmp_path, QUESTIONS["box"]))
    assert main([str(tmp_path / "certificate.json")]) in (1, 2)
    printed = capsys.readouterr()
    assert 20 < len(printed.out + printed.err) < 2500
