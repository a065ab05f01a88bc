"""What holds at each of some images, by the checker's rules, in processes side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from numpy.typing import NDArray

from lastbit_check.around.at_image import AtImage, at_image
from lastbit_check.around.images import numbers
from lastbit_check.around.linear import Prepared, prepared
from lastbit_check.check import network_in
from lastbit_check.question import Question
from lastbit_check.verdict import Rejected

Outcome = tuple[AtImage | tuple[str, str, str], float]
"""What holds, or the rule that fails; and the seconds."""


def outcomes(
    content: bytes, known: Prepared, question: Question, bases: tuple[str, ...],
    images: NDArray[Any], processes: int,
) -> Iterator[Outcome]:  # fmt: skip
    """What holds at each image, in their order.

    Args:
        content: an ONNX file.
        known: what is prepared of it.
        question: how images may move.
        bases: the hint.
        images: (N, C, H, W).
        processes: how many work side by side.
    """
    if processes == 1 or len(images) == 1:
        yield from (_at(known, question, bases, image) for image in images)
        return
    made = (content, question, bases)
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, made) as pool:
        yield from pool.map(_at_one, images)


_held: list[Any] = []
"""What a process works on."""


def _begin(content: bytes, question: Question, bases: tuple[str, ...]) -> None:
    _held[:] = [prepared(network_in(content, question)), question, bases]


def _at_one(image: NDArray[Any]) -> Outcome:
    known, question, bases = _held
    return _at(known, question, bases, image)


def _at(
    known: Prepared, question: Question, bases: tuple[str, ...], image: NDArray[Any]
) -> Outcome:
    start = time.monotonic()
    try:
        made = at_image(known, numbers(image), question, frozenset(bases))
    except Rejected as error:
        made = error.rule, error.message, error.node
    return made, time.monotonic() - start
