"""What executions attain at given images: the lower ends of their brackets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.asked import Model
from lastbit.runtimes import OnnxRuntime, Reference, Run
from lastbit_check.around.at_image import neighbours
from lastbit_check.around.images import numbers
from lastbit_check.question import Question


@dataclass(frozen=True)
class Attained:
    """What was seen at an image.

    Attributes:
        change: the largest change of a probability that ONNX Runtime makes between the image and a
            neighbour that it may move to; None where its moves are too many to be run.
        place: the number of the place where the neighbour differs, or -1.
        drift: the largest difference of a probability between two programs on the image itself.
    """

    change: float | None
    place: int
    drift: float


def attained(model: Model, images: NDArray[Any], question: Question) -> Iterator[Attained]:
    """Run each image and all its neighbours (ONNX Runtime), and the image by other programs.

    The others are ONNX Runtime without its rewriting of the graph, and each order of sums of our
    own execution.

    Args:
        model: an ONNX file, with what is said of its inputs.
        images: (N, C, H, W).
        question: how an image may move.
    """
    main = OnnxRuntime().load(model)
    others = [OnnxRuntime(optimise=False), Reference(), Reference("reversed")]
    runs = [other.load(model) for other in others]
    for image in images:
        before = _alone(main, image)
        programs = [before, *(_alone(run, image) for run in runs)]
        drift = float(np.max(np.ptp(np.stack(programs).astype(np.float64), axis=0)))
        moves = neighbours(numbers(image), question, image.shape)
        moves = moves[:, np.any(moves, axis=0)]
        change, place = (0.0, -1) if moves.size or not question.step else (None, -1)
        if moves.size:
            moved = (numbers(image)[:, None] + moves).T.reshape(-1, *image.shape)
            apart = np.abs(main(moved.astype(image.dtype)).astype(np.float64) - before).max(axis=1)
            change, place = float(apart.max()), int(np.argmax(moves[:, apart.argmax()] != 0))
        yield Attained(change, place, drift)


def _alone(run: Run, image: NDArray[Any]) -> NDArray[np.float32]:
    return run(image[None])[0]
