"""The exact largest change over a set of images, as one program executes the model.

First every image is run. What is known of the model (`Limits`) then says of every image how far the
last bit of any place can move a probability, and the neighbours are run from the largest of these
down, as long as one may be among what is asked for. Everything that is run goes to a journal before
it counts; a sweep that was interrupted reads it, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lastbit
from lastbit.data import ImageSet
from lastbit.errors import DataError, ModelError, UsageError
from lastbit.graph import Network, read_onnx
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, silent
from lastbit.runtimes import named_runtime
from lastbit.sweep.engines import Answers, Engine
from lastbit.sweep.everywhere import Stored, limits_everywhere, stored_certificate
from lastbit.sweep.journal import Journal, Record
from lastbit.sweep.limits import Limits, Nothing
from lastbit.sweep.result import Swept
from lastbit.sweep.table import Table
from lastbit.sweep.tally import Found, Ran, Tally, beyond
from lastbit.sweep.work import BATCH, Answer, Program, Task, asked_places
from lastbit_check.question import ITS_LAST_BIT

IMAGES = 64
"""Images of a task of the first pass."""
FEW, MANY = 8, 98
"""Neighbours of one image in its first task, and in a later one at most: twice as many each time,
because what the first ones change may exclude the others."""
BOUNDED = 256
"""Images that are bounded at a time."""

LimitsOf = Callable[[ModelFiles, Network, Stored, Path, Progress], Limits]


@dataclass(frozen=True)
class Goals:
    """What is asked for besides the ten largest: the largest of each image, or of each place."""

    each: bool = False
    by_place: bool = False


def sweep(
    files: ModelFiles,
    images: ImageSet,
    folder: Path,
    *,
    engine: Engine,
    runtime: str = "onnxruntime",
    goals: Goals = Goals(),
    limits: LimitsOf = limits_everywhere,
    progress: Progress = silent,
) -> Swept:
    """Find the largest changes over all images, places and classes; journalled in ``folder``.

    Args:
        files: the model, with what is said of its inputs.
        images: what is swept.
        folder: of the journal; a sweep of the same things that was begun there is continued.
        engine: who runs the model.
        runtime: what executes it, by its name on the command line.
        goals: what is asked for.
        limits: makes the limits; `no_limits` for brute force.
        progress: told of every stage.

    Raises:
        DataError: the images have changed, or the folder holds a sweep of something else.
        ModelError: the model cannot be read or run.
        OutputError: the folder cannot be written, or another sweep is writing there.
        PlatformError: workers fail.
        UsageError: something else is asked about than the last bit of one place.
    """
    network = read_onnx(files.asked)
    if network.question.move != ITS_LAST_BIT:
        raise UsageError(
            f"a sweep is of the last bit of one place, and of no other change: "
            f"{network.question.move.told}",
            where=str(files.model),
            fix="`lastbit search` looks for pairs of such images",
        )
    program = _program(files, network, runtime)
    certificate = stored_certificate(files, network)
    subject = _subject(files, network, images, program)
    journal = Journal(folder, subject)
    try:
        state = _State(network, images, goals, journal, progress)
        with engine.start(program) as answers:
            _run_images(state, answers)
            state.bound(limits(files, network, certificate, folder, progress))
            state.hold_journal_to_limits()
            _run_neighbours(state, answers)
        if images.changed(progress):
            raise DataError(
                "the images have changed while they were swept, so that nothing is known",
                where=images.stored.source,
                fix=f"sweep them again with another --out; {folder} holds what is of no use now",
            )
        return state.result(subject, certificate)
    finally:
        journal.close()


def no_limits(
    files: ModelFiles,  # noqa: ARG001 - it is called as others that make limits
    network: Network,
    certificate: Stored,  # noqa: ARG001
    folder: Path,  # noqa: ARG001
    progress: Progress,  # noqa: ARG001
) -> Limits:
    """Brute force: every neighbour is run."""
    return Nothing(prod(network.input_shape), "brute force was asked for")


def _program(files: ModelFiles, network: Network, runtime: str) -> Program:
    name = named_runtime(runtime).name
    model = np.fromfile(files.model, np.uint8)
    if sha256(model.data).hexdigest() != network.sha256:
        raise ModelError("the model has just been changed", where=str(files.model))
    return Program(model, network.question, network.sha256, runtime, name)


def _subject(
    files: ModelFiles, network: Network, images: ImageSet, program: Program
) -> dict[str, Any]:
    question = network.question
    return {
        "model": {"name": files.name, "sha256": network.sha256},
        "question": {
            "name": question.name,
            "pixels": [{"op": step.op, "constants": [*step.constants]} for step in question.pixels],
            "box": [*(question.box or ())],
        },
        "images": {"sha256": images.sha256, "count": len(images), "shape": [*images.shape]},
        "runtime": program.name,
        "batch": BATCH,
        "lastbit": lastbit.__version__,
    }


class _State:
    """What has been run, and what it comes to."""

    def __init__(
        self, network: Network, images: ImageSet, goals: Goals, journal: Journal, progress: Progress
    ) -> None:
        places = prod(network.input_shape)
        self.images, self.goals, self.journal, self.progress = images, goals, journal, progress
        self.probabilities = Table(len(images), np.zeros(network.classes, np.float32))
        self.ran = bytearray(len(images))
        self.places = places
        self.done = Table(len(images), np.zeros(-(-places // 8), np.uint8))
        self.tally = Tally(len(images), places, each=goals.each, by_place=goals.by_place)
        self.most = np.zeros(len(images))
        self.limits: Limits = Nothing(places, "nothing is known yet")
        self.beyond: Found | None = None
        self.pairs = self.executions = self.resumed = 0
        for record in journal.records():
            self.take(record)
        self.resumed = self.executions

    def take(self, record: Record) -> None:
        """Count what stands in the journal."""
        start, self.executions = int(record["number"]), self.executions + int(record["executions"])
        if "places" not in record:
            found = record["probabilities"]
            self.probabilities.write(start, found)
            self.ran[start : start + len(found)] = b"\1" * len(found)
            return
        ran = self.ran_of(start, record["places"], record["classes"], record["after"])
        bits = self.done_at(start)
        bits[ran.places] = True
        self.done.write(start, np.packbits(bits)[None])
        self.tally.add(ran)

    def keep(self, task: Task, answer: Answer) -> None:
        """Write an answer to the journal, and count it."""
        record: dict[str, NDArray[Any]] = {
            "number": np.array(task.number), "executions": np.array(task.executions)
        }  # fmt: skip
        if task.places is None:
            record |= {"probabilities": answer.probabilities}
        else:
            after = answer.probabilities.reshape(-1)
            record |= {"places": task.places, "classes": answer.classes, "after": after}
        self.journal.append(**record)
        self.take(record)

    def ran_of(
        self,
        number: int,
        places: NDArray[np.int32],
        classes: NDArray[np.int32],
        after: NDArray[np.float32],
    ) -> Ran:
        before = self.probabilities.read(number, 1)[0]
        return Ran(number, places, classes, before[classes], after)

    def done_at(self, number: int) -> NDArray[np.bool_]:
        """Which places of an image have been run (places,)."""
        return np.unpackbits(self.done.read(number, 1)[0], count=self.places).astype(bool)

    def bound(self, limits: Limits) -> None:
        """Find the largest limit of each image, over the places that are asked about."""
        self.limits, total = limits, len(self.images)
        for start in range(0, total, BOUNDED):
            count = min(BOUNDED, total - start)
            images = self.images.take(range(start, start + count))
            asked = asked_places(images, self.images.question)
            found = limits.of(images, self.probabilities.read(start, count))
            self.most[start : start + count] = np.where(asked, found, -1.0).max(axis=1)
            self.pairs += int(np.count_nonzero(asked))
            self.progress("bounding the images", start + count, total)

    def hold_journal_to_limits(self) -> None:
        """What earlier runs have left is held against the limits, too."""
        if not self.resumed:
            return
        for record in self.journal.records():
            if "places" in record:
                number = int(record["number"])
                ran = self.ran_of(number, record["places"], record["classes"], record["after"])
                limits = self.limits_of(number)
                self.beyond = self.beyond or beyond(ran, limits[ran.places])

    def limits_of(self, number: int) -> NDArray[np.float64]:
        """Limits of one image (places,)."""
        probabilities = self.probabilities.read(number, 1)
        return self.limits.of(self.images.take([number]), probabilities)[0]

    def result(self, subject: dict[str, Any], certificate: Stored) -> Swept:
        return Swept(
            subject, self.images, self.pairs, self.tally.largest, self.tally.by_place,
            self.tally.each, certificate.upper, certificate.sha256, self.beyond, self.executions,
            self.resumed, self.limits.says,
        )  # fmt: skip


def _run_images(state: _State, answers: Answers) -> None:
    """The first pass: every image itself."""
    total = len(state.images)
    missing = (n for n in range(total) if not state.ran[n])

    def tasks() -> Iterator[Task]:
        for start in missing:
            stop = start + 1
            while stop < min(start + IMAGES, total) and not state.ran[stop]:
                stop += 1
            for _ in range(stop - start - 1):
                next(missing)
            yield Task(start, state.images.take(range(start, stop)))

    done = sum(state.ran)
    for task, answer in answers(tasks()):
        state.keep(task, answer)
        done += len(task.images)
        state.progress("running the images", done, total)
    if sum(state.ran) != total:
        raise ModelError("not every image was run")


def _run_neighbours(state: _State, answers: Answers) -> None:
    """The second pass: the neighbours that may count, the most promising images first."""
    promised: dict[int, NDArray[np.float64]] = {}
    for task, answer in answers(_neighbours(state, promised)):
        assert task.places is not None
        state.keep(task, answer)
        if state.beyond is None:
            after = answer.probabilities.reshape(-1)
            ran = state.ran_of(task.number, task.places, answer.classes, after)
            state.beyond = beyond(ran, promised[id(task)])
        del promised[id(task)]


def _neighbours(state: _State, promised: dict[int, NDArray[np.float64]]) -> Iterator[Task]:
    order = np.argsort(-state.most, kind="stable")
    for k, number in enumerate(order.tolist()):
        if not state.tally.still_open(state.most[[number]], order[[k]])[0]:
            break  # nor is any image after it
        images, before = state.images.take([number]), state.probabilities.read(number, 1)
        limits = state.limits_of(number)
        asked = asked_places(images, state.images.question)[0] & ~state.done_at(number)
        chosen = np.flatnonzero(asked)
        chosen = chosen[np.argsort(-limits[chosen], kind="stable")]
        size = FEW
        while len(chosen):
            chosen = chosen[state.tally.may_enter(number, chosen, limits[chosen])]
            part, chosen, size = chosen[:size], chosen[size:], min(2 * size, MANY)
            if len(part):
                task = Task(number, images, part.astype(np.int32), before[0])
                promised[id(task)] = limits[part]
                yield task
        open_ones = int(np.count_nonzero(state.tally.still_open(state.most[order[k:]], order[k:])))
        state.progress("running neighbours", k + 1, k + max(1, open_ones))
    total = len(state.images)
    state.progress("running neighbours", total, total)
