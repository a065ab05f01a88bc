"""What a sweep has others do: run images, each by itself, by a named program.

Every execution is of a batch of one, so that what a program makes of an image depends on nothing
else. A task about neighbours runs its image first, and compares bit by bit with what the first pass
made of it: if a machine or a process computes other bits, the two are not one program, and a sweep
of them would have no meaning.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import LastbitError, ModelError, PlatformError
from lastbit.graph import Asked
from lastbit.runtimes import Run, named_runtime
from lastbit.sweep.changes import largest
from lastbit_check.question import Question

BATCH = 1


@dataclass(frozen=True, eq=False)
class Program:
    """A model, and the runtime that executes it.

    Attributes:
        model: the bytes of the ONNX file, as an array (so that they are shared where they can be).
        question: what its inputs are.
        sha256: of that file.
        runtime: the runtime's name on the command line.
        name: its own name, with its version.
    """

    model: NDArray[np.uint8]
    question: Question
    sha256: str
    runtime: str
    name: str

    def load(self) -> Run:
        """What executes it here.

        Raises:
            ModelError: it cannot be loaded.
            PlatformError: the runtime here has another version.
        """
        runtime = named_runtime(self.runtime)
        if runtime.name != self.name:
            raise PlatformError(
                f"{runtime.name} is installed here, {self.name} where the sweep began",
                fix="install the same versions everywhere",
            )
        with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(self.model.tobytes())
            return runtime.load(Asked(path, self.question))


@dataclass(frozen=True, eq=False)
class Task:
    """Images to run; or one image, and places whose neighbours are to be run.

    Attributes:
        number: of the first image.
        images: (n, C, H, W).
        places: numbers of places (m,), of one image; None if the images themselves are meant.
        before: what the image's probabilities were in the first pass (classes,), if there are
            places.
    """

    number: int
    images: NDArray[Any]
    places: NDArray[np.int32] | None = None
    before: NDArray[np.float32] | None = None

    @property
    def executions(self) -> int:
        """How many images are run for it."""
        return len(self.images) if self.places is None else 1 + len(self.places)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a task came to.

    Attributes:
        probabilities: (n, classes) of images; of neighbours (m, 1), each of the class that changed
            most.
        classes: (m,) these classes; none of images.
    """

    probabilities: NDArray[np.float32]
    classes: NDArray[np.int32]


_loaded: dict[str, Run] = {}


def perform(program: Program, task: Task) -> Answer:
    """Run the images of a task.

    Raises:
        ModelError: the program returns no number, or does not return the same bits again.
        PlatformError: as `Program.load`.
    """
    run = _run_of(program)
    found = np.concatenate([run(image[None]) for image in task.images])
    _check_numbers(program, found, task.number)
    if task.places is None or task.before is None:
        return Answer(found, np.empty(0, np.int32))
    if found[0].tobytes() != task.before.tobytes():
        raise ModelError(
            f"{program.name} does not return the same bits for the same image",
            where=f"image {task.number}",
            fix="run it on machines of one kind, with one number of threads",
        )
    after = np.concatenate([run(flipped(task.images[0], k)[None]) for k in task.places.tolist()])
    _check_numbers(program, after, task.number)
    chosen = largest(task.before[None], after)
    picked = np.take_along_axis(after, chosen[:, None], axis=1)
    return Answer(picked, chosen.astype(np.int32))


def answered(program: Program, task: Task) -> Answer | LastbitError:
    """What `perform` returns, or raises on purpose: for others to send back."""
    try:
        return perform(program, task)
    except LastbitError as error:
        return error


def _run_of(program: Program) -> Run:
    key = program.sha256 + program.name + repr(program.question)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = program.load()
    return _loaded[key]


def _check_numbers(program: Program, found: NDArray[np.float32], number: int) -> None:
    if not np.isfinite(found).all():
        raise ModelError(f"{program.name} returns no number", where=f"near image {number}")


def flipped(image: NDArray[Any], place: int) -> NDArray[Any]:
    """The image (C, H, W) with the last bit of one number flipped."""
    neighbour = image.copy()
    bits = neighbour.view(np.uint32) if image.dtype == np.float32 else neighbour
    bits.reshape(-1)[place] ^= 1
    return neighbour


def asked_places(images: NDArray[Any], question: Question) -> NDArray[np.bool_]:
    """Where (n, places) the neighbour is an input that the question is about: in its box."""
    flat = images.reshape(len(images), -1)
    if not question.box:
        return np.ones(flat.shape, bool)
    moved = (flat.view(np.uint32) ^ np.uint32(1)).view(np.float32)
    return (moved >= question.box.low) & (moved <= question.box.high)
