"""Derive what holds at given images, write the certificate, and let the checker read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lastbit.around.attained import Attained, attained
from lastbit.around.bases import bases_of
from lastbit.around.outcomes import outcomes
from lastbit.around.written import IMAGES, claim_of, write
from lastbit.asked import Model
from lastbit.progress import Progress, silent
from lastbit_check.around.at_image import AtImage
from lastbit_check.around.images import (
    FORMS,
    check_images,
    drawn,
    load_images,
    of_network,
)
from lastbit_check.around.linear import prepared
from lastbit_check.certificate import load
from lastbit_check.check import network_in
from lastbit_check.question import Question
from lastbit_check.verdict import Rejected

CHECKED = 2
"""Images that the checker looks at again when a certificate has been written."""


@dataclass(frozen=True)
class Bracket:
    """At one image: L <= Q <= U, any two executions, one of them where the image may move to.

    Attributes:
        label: the answer, of all executions where it is ``decided`` (`AtImage`).
        upper, drift, logits: what the certificate claims; 1 and infinity where it claims nothing.
        lower: what is attained between the image and a neighbour; None if that was not run.
        place: where the neighbour differs.
        seen: what is attained between two programs on the image.
        refused: the rule by which nothing follows.
    """

    label: int
    decided: int
    upper: float
    drift: float
    logits: float
    lower: float | None
    place: int
    seen: float
    refused: Rejected | None = None

    @property
    def says(self) -> bool:
        """Whether a bound is below 1."""
        return min(self.upper, self.drift) < 1

    @property
    def refuted(self) -> bool:
        """Whether executions exceed a bound: then an assumption does not hold here."""
        return (self.lower or 0.0) > self.upper or self.seen > self.drift


@dataclass(frozen=True)
class ImagesProof:
    """What `prove_images` found.

    Attributes:
        sha256: of the model.
        brackets: one for each image.
        bases: the hint.
        question: how images may move, and what inputs are.
        assumptions: what is assumed, by name.
        certificate: where it was written.
        checked: the numbers of the images whose claims the checker has derived again.
        each: the seconds of one process for the bound at one image.
    """

    sha256: str
    brackets: tuple[Bracket, ...]
    bases: tuple[str, ...]
    question: Question
    assumptions: tuple[str, ...]
    certificate: Path
    checked: tuple[int, ...]
    each: float

    @property
    def verdict(self) -> str:
        """Refuted by what was seen; else proved, or not decided where no bound is below 1."""
        if any(bracket.refuted for bracket in self.brackets):
            return "refuted"
        return "proved" if any(bracket.says for bracket in self.brackets) else "not decided"

    @property
    def answers(self) -> list[int]:
        """The label of each image."""
        return [one.label for one in self.brackets]

    def agreed(self, some: Sequence[int], level: int) -> int:
        """Of some images, how many all executions agree on (1), neighbours included (2)."""
        return sum(self.brackets[k].decided >= level for k in some)


def prove_images(
    model: Model,
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
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered,
            or the checker does not accept what was derived.
    """
    content = Path(model).read_bytes()
    network = network_in(content, question)
    of_network(images, network.input.shape, question)
    question.fits(network.input.shape)
    known = prepared(network)
    bases, spent, claims = bases_of(known), 0.0, dict[int, dict[str, Any]]()
    brackets, runs = list[Bracket](), attained(model, images, question)
    found = outcomes(content, known, question, bases, images, processes)
    for k, ((outcome, seconds), seen) in enumerate(zip(found, runs, strict=True)):
        spent += seconds
        if isinstance(outcome, AtImage):
            claims[k] = claim_of(outcome)
        brackets.append(_bracket(outcome, claims.get(k), seen))
        progress("brackets at images", k + 1, len(images))
    certificate = write(out, content, question, bases, images, claims)
    which = drawn(len(images), min(CHECKED, len(images)), 0)
    manifest = load(certificate, FORMS)
    checked = check_images(content, manifest, load_images(out / IMAGES), which)
    return ImagesProof(
        manifest["model_sha256"], (*brackets,), bases, question, (*manifest["assumptions"],),
        certificate, (*checked,), spent / len(images),
    )  # fmt: skip


def _bracket(
    outcome: AtImage | tuple[str, str, str], claim: dict[str, Any] | None, seen: Attained
) -> Bracket:
    if claim is None:
        assert not isinstance(outcome, AtImage)
        nothing = (0, 1.0, 1.0, math.inf)
        return Bracket(-1, *nothing, seen.change, seen.place, seen.drift, Rejected(*outcome))
    bounds = (claim["decided"], claim["upper"], claim["drift"], claim["logits"])
    return Bracket(claim["label"], *bounds, seen.change, seen.place, seen.drift)
