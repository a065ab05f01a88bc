"""What a page says of a certificate for given images: a row for each, the worst first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import NDArray

from lastbit.around.attained import Attained, attained
from lastbit.around.written import IMAGES
from lastbit.asked import described
from lastbit.errors import CertificateError, ModelError
from lastbit.models.place import model_of
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, silent
from lastbit.report.collect import facts_of
from lastbit.report.pictures import picture
from lastbit_check.around.images import FORMAT, FORMS, check_images, drawn, load_images
from lastbit_check.certificate import Manifest, load, question_of, read_bytes
from lastbit_check.question import ANY_TWO, Question
from lastbit_check.verdict import Unreadable

DECIDED = ("no", "on the image", "and what it moves to")
"""Where all executions agree on the label."""
NOT_RUN = Attained(None, -1, 0.0)


@dataclass(frozen=True)
class Row:
    """An image, as its certificate and this machine have it.

    Attributes:
        number: in the data, or in the certificate.
        picture: a data URI.
        label: what is decided, or None.
        decided: a number of `DECIDED`.
        lower: the largest change that was seen; None if it was not run.
        upper: of a change, between any two executions; 1 where nothing is claimed.
        seen, drift: likewise, of two executions on the image itself.
        checked: whether the claim was derived again for this page.
    """

    number: int
    picture: str
    label: int | None
    decided: int
    lower: float | None
    upper: float
    seen: float | None
    drift: float
    checked: bool

    @property
    def refuted(self) -> bool:
        """Whether more was seen than is claimed to be possible."""
        return not ((self.lower or 0.0) <= self.upper and (self.seen or 0.0) <= self.drift)


@dataclass(frozen=True)
class ImagesPage:
    """A page about given images; the attributes that `Page` has, too, mean the same.

    ``rows`` has the largest upper end first.
    """

    model: str
    sha256: str
    inputs: str
    rows: tuple[Row, ...]
    assumptions: Mapping[str, tuple[str, ...]]
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> str:
        """Refuted by what was seen, or accepted by the checker's rules."""
        return "refuted" if any(row.refuted for row in self.rows) else "accepted"

    @property
    def checked(self) -> int:
        """How many claims were derived again."""
        return sum(row.checked for row in self.rows)

    @property
    def silent(self) -> int:
        """At how many images U = 1."""
        return sum(row.upper >= 1 for row in self.rows)

    @property
    def middle(self) -> float:
        """The median of U."""
        return median(row.upper for row in self.rows)

    def agreed(self, level: int) -> int:
        """Of how many images all executions agree on the label, as `DECIDED` numbers it."""
        return sum(row.decided >= level for row in self.rows)


def is_of_images(said: Mapping[str, Any]) -> bool:
    """Whether this is a certificate for given images."""
    return said.get("format") == FORMAT


def of_images(
    certificate: Path,
    model: Path | None = None,
    *,
    run: bool = True,
    sample: int | None = None,
    stated: Sequence[Mapping[str, Any]] | None = None,
    progress: Progress = silent,
) -> ImagesPage:
    """Check a certificate for given images, and run them.

    Args:
        certificate: its file; images.npy is beside it.
        model: where the model is; by default it is looked for (`lastbit.models.place`).
        run: run the images and their neighbours; else there is no L.
        sample: check so many of the claims, drawn with seed 0; all by default.
        stated: what a verdict says of each image, of which ``number`` is taken.
        progress: told of the check and the runs.

    Raises:
        lastbit_check.verdict.Rejected: a claim is rejected.
        CertificateError: the certificate or its images cannot be read, or the verdict says
            something else.
        UsageError: there is no model.
        ModelError: the model cannot be read.
    """
    try:
        manifest = load(certificate, FORMS)
        images = load_images(certificate.parent / IMAGES)
        which = drawn(len(images), sample, 0)
    except Unreadable as error:
        fix = f"{IMAGES} has to be beside the certificate, and --sample not more than it holds"
        raise CertificateError(str(error), where=str(certificate), fix=fix) from error
    files = model_of(certificate, manifest["model_sha256"], model)
    done = list[int]()

    def told(k: int) -> None:
        done.append(k)
        progress("checking the claims at images", len(done), len(which))

    try:
        checked = check_images(read_bytes(files.model), manifest, images, which, told)
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    question = question_of(manifest)
    seen = [NOT_RUN] * len(images)
    if run:
        runs = attained(replace(files, question=question).asked, images, question)
        for k, one in enumerate(runs):
            seen[k] = one
            progress("running the images", k + 1, len(images))
    numbers = _numbers(stated, manifest, len(images), certificate)
    rows = [
        _row(numbers[k], images[k], manifest["claim"].get(str(k)), seen[k] if run else None,
             k in checked, question)
        for k in range(len(images))
    ]  # fmt: skip
    return ImagesPage(
        model=files.name,
        sha256=manifest["model_sha256"],
        inputs=f"{described(question)}; {question.move.told}",
        rows=(*sorted(rows, key=lambda row: (-row.upper, -row.drift, row.number)),),
        assumptions={ANY_TWO: (*manifest["assumptions"],)},
        facts=(*facts_of(certificate, manifest), ("images, SHA-256", manifest["images"]["sha256"])),
        commands=_commands(certificate, files),
        missing=() if run else (("L, and what is seen on the images", "nothing was to be run"),),
    )


def _row(
    number: int, image: NDArray[Any], claim: Mapping[str, Any] | None, seen: Attained | None,
    checked: bool, question: Question,
) -> Row:  # fmt: skip
    said = claim or {"label": None, "decided": 0, "upper": 1.0, "drift": 1.0}
    return Row(
        number, picture(image, question.box), said["label"], said["decided"],
        seen.change if seen else None, min(said["upper"], 1.0),
        seen.drift if seen else None, min(said["drift"], 1.0), checked,
    )  # fmt: skip


def _numbers(
    stated: Sequence[Mapping[str, Any]] | None, manifest: Manifest, count: int, certificate: Path
) -> list[int]:
    """Of the images in the data, if a verdict has them; it has to say what the certificate says."""
    if stated is None:
        return [*range(count)]
    claims = manifest["claim"]
    bounds = [claims[str(k)]["upper"] if str(k) in claims else 1.0 for k in range(count)]
    if [one["upper"] for one in stated] != bounds:
        raise CertificateError(
            "the verdict says something else than the certificate that it names",
            where=str(certificate),
            fix="make both anew with `lastbit prove --images --json`",
        )
    return [int(one["number"]) for one in stated]


def _commands(certificate: Path, files: ModelFiles) -> tuple[str, ...]:
    model, written = shlex.quote(str(files.model)), shlex.quote(str(certificate))
    return (
        f"sha256sum {model}",
        f"lastbit-check {written} {model}",
        f"lastbit report {written} --model {model}",
    )
