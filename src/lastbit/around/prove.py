"""Derive what holds at given images, write the certificate, and let the checker read it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.around.bases import bases_of
from lastbit.files import write_whole
from lastbit.progress import Progress, silent
from lastbit_check.around.at_image import AtImage, at_image
from lastbit_check.around.images import FORMAT, images_as_data, numbers, of_network
from lastbit_check.around.linear import Prepared, prepared
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import digest, question_as_data
from lastbit_check.check import network_in
from lastbit_check.question import ANY_TWO, Question
from lastbit_check.verdict import Rejected

CERTIFICATE, IMAGES = "certificate.json", "images.npy"
BITS = 12
"""Claims are rounded up to so many: what float64 derives elsewhere differs in the last ones."""


@dataclass(frozen=True)
class ImagesProof:
    """What `prove_images` found.

    Attributes:
        sha256: of the model.
        found: what holds at each image, by its number.
        refused: the rule by which nothing follows, at the other images.
        bases: the hint.
        question: how images may move, and what inputs are.
        assumptions: what is assumed, by name.
        certificate: where it was written.
        seconds: what it took, in all; ``each`` of one process for one image.
    """

    sha256: str
    found: dict[int, AtImage]
    refused: dict[int, Rejected]
    bases: tuple[str, ...]
    question: Question
    assumptions: tuple[str, ...]
    certificate: Path
    seconds: float
    each: float

    def share(self, right: Sequence[int], decided: int) -> float:
        """Of some images, how many all executions agree on (1), neighbours included (2)."""
        agreed = sum(k in self.found and self.found[k].decided >= decided for k in right)
        return agreed / len(right)


def prove_images(
    model: Path,
    question: Question,
    images: NDArray[Any],
    out: Path,
    *,
    processes: int = 1,
    progress: Progress = silent,
) -> ImagesProof:
    """Bound what any two allowed executions do at each image, and write the certificate.

    Args:
        model: an ONNX file.
        question: what its inputs are, and how an image may move.
        images: (N, C, H, W), uint8, or float32 where the question has a box.
        out: the folder of certificate.json and images.npy.
        processes: how many work side by side.
        progress: told of images that are done.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered.
    """
    start, content = time.monotonic(), model.read_bytes()
    network = network_in(content, question)
    of_network(images, network.input.shape, question)
    question.fits(network.input.shape)
    known = prepared(network)
    bases = bases_of(known)
    found, refused, spent = dict[int, AtImage](), dict[int, Rejected](), 0.0
    outcomes = _outcomes(content, known, question, bases, images, processes)
    for k, (outcome, seconds) in enumerate(outcomes):
        spent += seconds
        if isinstance(outcome, AtImage):
            found[k] = outcome
        else:
            refused[k] = Rejected(*outcome)
        progress("bounds at images", k + 1, len(images))
    named = assumptions(network, ANY_TWO, question)
    fields: dict[str, Any] = {
        "format": FORMAT,
        "model_sha256": sha256(content).hexdigest(),
        "question": question_as_data(question),
        "assumptions": [*named],
        "bases": [*bases],
        "images": {**images_as_data(images), "shape": [*images.shape]},
        "claim": {str(k): _claim(one) for k, one in found.items()},
    }
    fields["digest"] = digest(fields)
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / IMAGES, images)
    write_whole(out / CERTIFICATE, (json.dumps(fields, indent=1) + "\n").encode())
    return ImagesProof(
        fields["model_sha256"], found, refused, bases, question, named, out / CERTIFICATE,
        time.monotonic() - start, spent / len(images),
    )  # fmt: skip


Outcome = tuple[AtImage | tuple[str, str, str], float]
"""What holds, or the rule that fails; and the seconds."""


def _outcomes(
    content: bytes, known: Prepared, question: Question, bases: tuple[str, ...],
    images: NDArray[Any], processes: int,
) -> Iterator[Outcome]:  # fmt: skip
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


def _claim(one: AtImage) -> dict[str, Any]:
    bounds = {"drift": one.drift, "upper": one.upper, "logits": one.logits}
    numbers = {name: _rounded_up(bound).hex() for name, bound in bounds.items()}
    return {"label": one.label, "decided": one.decided, **numbers}


def _rounded_up(x: float) -> float:
    """To `BITS` bits, from a little above."""
    mantissa, exponent = math.frexp(x * (1 + 2.0**-BITS))
    return math.ldexp(math.ceil(math.ldexp(mantissa, BITS)), exponent - BITS)
