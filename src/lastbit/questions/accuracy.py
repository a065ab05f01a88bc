"""Certified accuracy: how many test images get the right label from every allowed execution."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from lastbit.around import answers_at
from lastbit.data import LabelledImages
from lastbit.errors import ModelError, UsageError
from lastbit.graph import Network, as_batch, narrowed, read_onnx
from lastbit.hints import hints_for
from lastbit.hints.fitting import Say, quiet
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, counted, silent
from lastbit.questions import absorbed_node
from lastbit.questions.decisions import Decisions
from lastbit.questions.sets import Sets
from lastbit_check.around.at_image import AtImage
from lastbit_check.around.images import drawn
from lastbit_check.assumptions import STORED, assumptions
from lastbit_check.check import proved
from lastbit_check.question import ANY_TWO, SAME_PROGRAM
from lastbit_check.verdict import Rejected, Unreadable

HOPELESS = 1000
"""A drift in the logits, for all images, that tells that sets of images are not worth a try."""
SAMPLE = 100
"""Images, if nothing is said, where all would have to be looked at one by one."""


@dataclass(frozen=True)
class CertifiedAccuracy:
    """What `certify_accuracy` found.

    Attributes:
        name, sha256: the model.
        images: how many were looked at.
        right: how many the reference execution labels rightly.
        by_bound: how many of these the drift bound for all images decides.
        by_set: how many more a bound for some images of the same label decides.
        by_image: the numbers of those that this bound, for the image alone, decides.
        at_image: the numbers of those that only the bound at the image decides (docs/images.md).
        undecided: the numbers of those that none decides: some execution may label them wrongly.
        steady: how many of the decided ones keep their label where the question's move is made.
        unsteady: the numbers of the right ones of which that is not known.
        change: the bound, for all images, on the drift of a difference of two logits, if there is
            one.
        moved: likewise, of what the question's moves do within one program.
        assumptions: what is assumed, by name.
        of_moves: what is assumed of a program that runs an image and what it moves to.
        seconds: what it took.
        refused: the rule by which no drift can be bounded for all images, if it is so.
        drawn: whether the images are a sample.
    """

    name: str
    sha256: str
    images: int
    right: int
    by_bound: int
    by_set: int
    by_image: tuple[int, ...]
    at_image: tuple[int, ...]
    undecided: tuple[int, ...]
    steady: int
    unsteady: tuple[int, ...]
    change: Fraction | None
    moved: Fraction | None
    assumptions: tuple[str, ...]
    of_moves: tuple[str, ...]
    seconds: float
    refused: Rejected | None = None
    drawn: bool = False

    @property
    def verdict(self) -> str:
        """Certified; or not decided, where that is so of none of those that are right."""
        return "not decided" if self.right and not self.certified else "certified"

    @property
    def certified(self) -> int:
        """How many images every allowed execution labels rightly."""
        return self.by_bound + self.by_set + len(self.by_image) + len(self.at_image)


def certify_accuracy(
    files: ModelFiles,
    test: LabelledImages,
    *,
    images: Sequence[int] | None = None,
    sample: int | None = None,
    seed: int = 0,
    processes: int = 1,
    certificate: Path | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> CertifiedAccuracy:
    """Count the images whose right label no allowed execution can change.

    And of these the ones that keep it on every image that a move of the question makes of them. The
    execution whose margins count is our own in float64, every tensor stored in float32; it is
    one of those that are allowed. What the bound for all images leaves undecided, by itself or for
    sets of images, the bound at the image is asked.

    Args:
        files: the model.
        test: images and labels.
        images: the numbers of those to look at; all by default.
        sample: so many of them, drawn; `SAMPLE` by default where the bound for all images says
            nothing.
        seed: of the sample.
        processes: how many work side by side.
        certificate: the folder for that of the bound at images; none is written by default.
        say: told how many images are drawn, and what the bound at an image takes.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read.
        UsageError: the images do not fit the model, or are fewer than are to be drawn.
    """
    start = time.monotonic()
    whole = read_onnx(files.asked)
    as_batch(test.images[:1], whole.input_shape, whole.question)  # raises where they do not fit
    if whole.classes <= test.labels.max():
        message = f"these images do not fit the model: it has {whole.classes} classes"
        raise UsageError(message, where=f"label {test.labels.max()}")
    try:
        network, decisions, refused, stored = _bounded(files, whole, progress)
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    chosen = range(len(test.images)) if images is None else images
    useful = decisions is not None and decisions.everywhere <= HOPELESS
    if sample is None and images is None and not useful and len(chosen) > SAMPLE:
        sample = SAMPLE
        say(f"the bound for all images says nothing of this model: {SAMPLE} of {len(chosen)} "
            "images are looked at, one by one")  # fmt: skip
    numbers = _drawn(chosen, sample, seed)
    sets = _run(network, decisions if useful else None, test, numbers, progress)
    left = sorted(k for k, level in sets.levels.items() if level < 2)
    at_image = list[int]()
    if left:
        batch = as_batch(test.images[left], whole.input_shape, whole.question)
        found: list[AtImage | None] = [None] * len(left)
        try:
            found = answers_at(files.model.read_bytes(), whole.question, batch, out=certificate,
                               processes=processes, say=say, progress=progress)  # fmt: skip
        except Rejected as error:  # of no image does anything follow
            refused = refused or error
        for k, one in zip(left, found, strict=True):
            level = one.decided if one is not None and one.label == test.labels[k] else 0
            at_image += [k] if level > 0 == sets.levels[k] else []
            sets.levels[k] = max(sets.levels[k], level)
    normal, any_two = network.normal, {*assumptions(network.normal, ANY_TWO)}
    more = {STORED} if stored else set[str]()
    of_moves = {*assumptions(normal, SAME_PROGRAM)} if useful else any_two
    return CertifiedAccuracy(
        files.name, whole.sha256, len(numbers), len(sets.levels), sets.by_bound, sets.by_set,
        (*sorted(sets.by_image),), (*at_image,), sets.below(1), sets.above(2), sets.below(2),
        decisions.everywhere if decisions else None, decisions.moved if decisions else None,
        (*sorted(any_two | more),), (*sorted(of_moves | more),), time.monotonic() - start,
        refused, sample is not None,
    )  # fmt: skip


def _drawn(chosen: Sequence[int], sample: int | None, seed: int) -> Sequence[int]:
    if sample is None:
        return chosen
    try:
        return [chosen[k] for k in drawn(len(chosen), sample, seed)]
    except Unreadable as error:
        fix = f"a number from 1 to {len(chosen)}, and a seed that is not negative"
        raise UsageError(str(error), fix=fix) from error


def _bounded(
    files: ModelFiles, whole: Network, progress: Progress
) -> tuple[Network, Decisions | None, Rejected | None, bool]:
    """The narrow network; its drift, or why it has no bound; whether it is read off tables."""
    network, model = _narrow(whole, files.model)
    question = replace(whole.question, pixels=network.question.pixels)  # a narrow file has them
    moved, absorbed = None, ""
    try:
        absorbed = absorbed_node(model, question)
        hints = replace(hints_for(network), absorbed=absorbed)
        moved = proved(model, question, hints).claims[SAME_PROGRAM].logits
    except Rejected:  # of the moves nothing is known for all images
        pass
    observe = counted(progress, "bounding the drift")
    try:
        found = Decisions(model, hints_for(network), observe, network.question, moved)
    except Rejected as error:
        return network, None, error, False
    return network, found, None, bool(absorbed)


def _run(
    network: Network,
    decisions: Decisions | None,
    test: LabelledImages,
    chosen: Sequence[int],
    progress: Progress,
) -> Sets:
    """What is decided of each image that is labelled rightly, by one bound or by one for a set."""
    sets = Sets(network, decisions, test)
    for done, k in enumerate(chosen):
        values, label = sets.run(k)
        z = values[network.logits].ravel()
        if z.argmax() == label and np.count_nonzero(z == z[label]) == 1:
            sets.add(k, values, label)
        progress("all images by one bound", done + 1, len(chosen))
    close = sets.waiting
    while sets.waiting:
        sets.decide()
        progress("the others in sets", close - sets.waiting, close)
    return sets


def _narrow(network: Network, path: Path) -> tuple[Network, bytes]:
    """The network without the channels that nothing reads, and its file."""
    narrow = narrowed(network)
    if narrow is None:
        return network, path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_bytes(narrow)
        return read_onnx(file), narrow
