"""A model and what is asked of it: its file, and the question that says what its inputs are."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lastbit.errors import UsageError
from lastbit_check.onnxfile import FLOAT, OnnxGraph
from lastbit_check.question import LAST_BIT, Box, Question, Step

UNIT = (Step("Div", (255.0,)),)
"""A byte b becomes b / 255, as most programs make pixels."""
AS_IT_IS = (Step("Mul", (1.0,)),)
"""A byte as a number of binary32: of a model that scales it itself."""
NAMED = {"unit": UNIT, "bytes": AS_IT_IS}
"""By what `--pixels` calls them."""
ANY_NUMBERS = Box(0.0, 1.0)
"""Of a model that reads float32, where nothing is said."""


@dataclass(frozen=True)
class Asked(os.PathLike[str]):
    """A model's file, and the question that is asked of it. It stands wherever a path does."""

    path: Path
    question: Question

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


Model = str | os.PathLike[str]
"""The path of an ONNX file, or an `Asked`."""


def question_of(model: Model, graph: OnnxGraph) -> Question:
    """What is asked of a model; of a path, the last bit of its bytes or of its float32 numbers."""
    if isinstance(model, Asked):
        return model.question
    return replace(LAST_BIT, box=ANY_NUMBERS) if graph.image.element == FLOAT else LAST_BIT


def pixels_of(text: str) -> tuple[Step, ...]:
    """The steps from a byte to a pixel: "bytes", "unit", or "mean=...,std=..." after the latter.

    mean and std hold one number, or one for each channel, with ":" between them: mean=0.5:0.4:0.4.

    Raises:
        UsageError: anything else.
    """
    if text in NAMED:
        return NAMED[text]
    fix = (
        "--pixels unit, --pixels bytes, or --pixels mean=0.1307,std=0.3081 (0.5:0.4:0.3 for three "
        "channels)"
    )
    steps, named = [*UNIT], dict[str, str]()
    for part in text.split(","):
        name, _, numbers = part.partition("=")
        named[name] = numbers
    if not named.keys() <= {"mean", "std"} or "" in named.values():
        raise UsageError(f"--pixels {text!r} is not understood", fix=fix)
    for name, op in (("mean", "Sub"), ("std", "Div")):
        if name in named:
            try:
                each = [float(np.float32(part)) for part in named[name].split(":")]
            except ValueError as error:
                raise UsageError(f"--pixels {text!r}: {error}", fix=fix) from error
            if not all(np.isfinite(each)) or (op == "Div" and 0.0 in each):
                raise UsageError(f"--pixels {text!r}: {name} is not a number to use", fix=fix)
            steps.append(Step(op, (*each,)))
    return (*steps,)


def box_of(text: str) -> Box:
    """The least and the largest number, as "LOW,HIGH", rounded to float32.

    Raises:
        UsageError: anything else, or a box that is empty.
    """
    try:
        low, high = (float(np.float32(part)) for part in text.split(","))
    except ValueError as error:
        fix = "--box LOW,HIGH, for instance --box 0,1"
        raise UsageError(f"--box {text!r} is no pair of numbers", fix=fix) from error
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(f"--box {text!r} holds no numbers", fix="the lower one first, both finite")
    return Box(low, high)


def question_said(pixels: str | None = None, box: str | None = None) -> Question | None:
    """The question about a model, with what is said of its inputs; None if nothing is.

    Raises:
        UsageError: both are said, or one that is not understood.
    """
    if pixels is not None and box is not None:
        raise UsageError("--pixels and --box say two things of one input", fix="give one of them")
    if pixels is not None:
        return replace(LAST_BIT, pixels=pixels_of(pixels))
    return None if box is None else replace(LAST_BIT, box=box_of(box))


def described(question: Question) -> str:
    """What the inputs are, for people."""
    if question.box:
        return f"float32 numbers from {question.box.low:g} to {question.box.high:g}"
    if question.pixels == AS_IT_IS:
        return "bytes, as float32 numbers"
    signs = {"Add": "+", "Div": "/", "Mul": "*", "Sub": "-"}
    steps = (f" {signs[op]} {':'.join(f'{n:.7g}' for n in by)}" for op, by in question.pixels)
    return "bytes" + "".join(steps)


def described_move(question: Question) -> dict[str, object]:
    """What may change, for programs and for people."""
    move = question.move
    runs = [[*run] for run in move.mask]
    return {**move._asdict(), "mask": runs, "text": move.told}


def with_inputs(path: Path, pixels: str | None = None, box: str | None = None) -> Model:
    """A model with what is said of its inputs; the path itself, if nothing is.

    Raises:
        UsageError: as `question_said`.
    """
    question = question_said(pixels, box)
    return path if question is None else Asked(path, question)
