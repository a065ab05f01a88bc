"""Certified accuracy: how many test images get the right label from every allowed execution."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.data import LabelledImages
from lastbit.errors import ModelError, UsageError
from lastbit.float32.executor import execute_float64
from lastbit.graph import Network, as_batch, narrowed, read_onnx
from lastbit.hints import hints_for
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, counted, silent
from lastbit.questions import absorbed_node
from lastbit.questions.decisions import Decisions, Reached, Values
from lastbit_check.assumptions import STORED, assumptions
from lastbit_check.check import proved
from lastbit_check.question import ANY_TWO, SAME_PROGRAM
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True)
class CertifiedAccuracy:
    """What `certify_accuracy` found.

    Attributes:
        name, sha256: the model.
        images: how many were looked at.
        right: how many the reference execution labels rightly.
        by_bound: how many of these the drift bound for all images decides.
        by_set: how many more a bound for some images of the same label decides.
        by_image: the numbers of those that only the bound for their own image decides.
        undecided: the numbers of those that neither decides: some execution may label them wrongly.
        change: the bound, for all images, on the drift of a difference of two logits, if there is
            one.
        moved: likewise, of what the question's moves do within one program; 0 where none is asked.
        assumptions: what is assumed, by name.
        seconds: what it took.
        refused: the rule by which no drift can be bounded, if it is so; then no image was run.
    """

    name: str
    sha256: str
    images: int
    right: int
    by_bound: int
    by_set: int
    by_image: tuple[int, ...]
    undecided: tuple[int, ...]
    change: Fraction | None
    assumptions: tuple[str, ...]
    seconds: float
    refused: Rejected | None = None
    moved: Fraction = Fraction(0)

    @property
    def verdict(self) -> str:
        """Certified; or not decided, where that is so of none of those that are right."""
        nothing = self.refused is not None or (self.right and not self.certified)
        return "not decided" if nothing else "certified"

    @property
    def certified(self) -> int:
        """How many images every allowed execution labels rightly."""
        return self.by_bound + self.by_set + len(self.by_image)


def certify_accuracy(
    files: ModelFiles,
    test: LabelledImages,
    *,
    images: Sequence[int] | None = None,
    moving: bool = False,
    progress: Progress = silent,
) -> CertifiedAccuracy:
    """Count the images whose right label no allowed execution can change.

    With `moving`, nor any that is run on an image that a move of the question makes of it. The
    execution whose margins count is our own in float64, every tensor stored in float32; it is
    one of those that are allowed.

    Args:
        files: the model.
        test: images and labels.
        images: the numbers of those to look at; all by default.
        moving: whether images may change as the question says.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read.
        UsageError: the images do not fit the model.
    """
    start = time.monotonic()
    whole = read_onnx(files.asked)
    as_batch(test.images[:1], whole.input_shape, whole.question)  # raises where they do not fit
    if whole.classes <= test.labels.max():
        message = f"these images do not fit the model: it has {whole.classes} classes"
        raise UsageError(message, where=f"label {test.labels.max()}")
    chosen = range(len(test.images)) if images is None else images
    network, model = _narrow(whole, files.model)
    question = replace(whole.question, pixels=network.question.pixels)  # a narrow file has them
    assumed = {*assumptions(network.normal, SAME_PROGRAM if moving else ANY_TWO)}
    try:
        absorbed, moved = absorbed_node(model, question), Fraction(0)
        if moving:
            hints = replace(hints_for(network), absorbed=absorbed)
            moved = proved(model, question, hints).claims[SAME_PROGRAM].logits
        observe = counted(progress, "bounding the drift")
        decisions = Decisions(model, hints_for(network), observe, network.question, moved)
    except Rejected as error:
        return CertifiedAccuracy(files.name, whole.sha256, len(chosen), 0, 0, 0, (), (), None,
                                 (*sorted(assumed),), time.monotonic() - start,
                                 error)  # fmt: skip
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    right, sets = _run(network, decisions, test, chosen, progress)
    close = sets.waiting
    while sets.waiting:
        sets.decide()
        progress("the others in sets", close - sets.waiting, close)
    assumed.update({STORED} if absorbed else ())
    return CertifiedAccuracy(
        files.name, whole.sha256, len(chosen), right, right - close, sets.by_set,
        tuple(sorted(sets.by_image)), tuple(sorted(sets.undecided)), decisions.everywhere,
        tuple(sorted(assumed)), time.monotonic() - start, moved=moved,
    )  # fmt: skip


def _run(
    network: Network,
    decisions: Decisions,
    test: LabelledImages,
    chosen: Sequence[int],
    progress: Progress,
) -> tuple[int, _Sets]:
    """How many are labelled rightly; and of these, in sets, those that no one bound decides."""
    right, sets = 0, _Sets(network, decisions, test)
    for done, k in enumerate(chosen):
        values, label = sets.run(k)
        z = values[network.logits].ravel()
        if z.argmax() == label and np.count_nonzero(z == z[label]) == 1:
            right += 1
            if not decisions.certified(values, label):
                sets.add(k, values, label)
        progress("all images by one bound", done + 1, len(chosen))
    return right, sets


def _narrow(network: Network, path: Path) -> tuple[Network, bytes]:
    """The network without the channels that nothing reads, and its file."""
    narrow = narrowed(network)
    if narrow is None:
        return network, path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_bytes(narrow)
        return read_onnx(file), narrow


@dataclass
class _Set:
    """Images of one label, and what was reached when they were run, if they were."""

    label: int
    numbers: list[int]
    reached: Reached | None = None


class _Sets:
    """Images to be decided: in sets of one label, those that are left in smaller ones."""

    def __init__(self, network: Network, decisions: Decisions, test: LabelledImages) -> None:
        self.network, self.decisions, self.test = network, decisions, test
        self.sets: list[_Set] = []
        self.logits: dict[int, NDArray[np.float64]] = {}
        self.by_set, self.by_image, self.undecided = 0, list[int](), list[int]()

    def run(self, number: int) -> tuple[Values, int]:
        """The values that an execution of an image has, and its label."""
        values = execute_float64(self.network, self.test.images[number], stored=True)[1]
        return values, int(self.test.labels[number])

    def add(self, number: int, values: Values, label: int) -> None:
        """Put an image that has these values into the first set of its label."""
        found = [s for s in self.sets if s.label == label] or [_Set(label, [], Reached())]
        if not found[0].numbers:
            self.sets.append(found[0])
        found[0].numbers.append(number)
        assert found[0].reached is not None
        found[0].reached.add(values)
        self.logits[number] = values[self.network.logits]

    @property
    def waiting(self) -> int:
        """How many images are in sets."""
        return sum(len(some.numbers) for some in self.sets)

    def decide(self) -> None:
        """Decide the images of one set; those that are left make a smaller set, or two."""
        some = self.sets.pop()
        reached = some.reached or Reached(*(self.run(k)[0] for k in some.numbers))
        changes = self.decisions.changes(reached, some.label)
        left = [
            k
            for k in some.numbers
            if not self.decisions.certified(
                {self.network.logits: self.logits[k]}, some.label, changes
            )
        ]
        if len(some.numbers) == 1:
            (self.undecided if left else self.by_image).extend(some.numbers)
            return
        self.by_set += len(some.numbers) - len(left)
        middle = len(left) if 2 * len(left) <= len(some.numbers) else len(left) // 2
        self.sets += [_Set(some.label, part) for part in (left[:middle], left[middle:]) if part]
