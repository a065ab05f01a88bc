"""Let the checker read a certificate for given images, in this process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lastbit.around.written import IMAGES
from lastbit.errors import CertificateError
from lastbit.models.place import model_of
from lastbit.progress import Progress, silent
from lastbit_check.around.images import FORMAT, FORMS, check_images, drawn, load_images
from lastbit_check.certificate import load, read_bytes
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True, repr=False)
class CheckedAt:
    """What the checker says of a certificate for given images, of those that it looked at.

    Attributes:
        accepted: every claim about them follows.
        drift, upper: the largest claims; ``decided``, at how many images all executions give one
            label, and those on what the image may move to.
        checked: the images, by their place in the certificate, which has ``count``.
        rule, reason: why not; empty if it is accepted.
    """

    accepted: bool
    drift: float
    upper: float
    decided: tuple[int, int]
    checked: tuple[int, ...]
    count: int
    assumptions: tuple[str, ...]
    rule: str
    reason: str
    seconds: float

    def __repr__(self) -> str:
        if not self.accepted:
            return f"CheckedAt(REJECTED by rule {self.rule}: {self.reason})"
        one, both = self.decided
        return (
            f"ACCEPTED for {len(self.checked)} of {self.count} images: no two executions of one of "
            f"them differ by more than {self.drift!r}, of it and of what it may move to by more "
            f"than {self.upper!r}; all give one label at {one}, and on what it may move to at "
            f"{both}; assuming {', '.join(self.assumptions)}"
        )


def is_at_images(certificate: Path) -> bool:
    """Whether a file says that it is a certificate for given images."""
    try:
        said = json.loads(certificate.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and cast("dict[str, Any]", said).get("format") == FORMAT


def check_at(
    certificate: Path,
    model: Path | None = None,
    images: Path | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> CheckedAt:
    """Check a certificate for given images in this process.

    Args:
        certificate: its file.
        model: where the model is; by default it is looked for (`lastbit.models.place`).
        images: a .npy; by default images.npy beside the certificate.
        sample: the claims about so many of the images, drawn; about all by default.
        seed: of the sample.
        progress: told of images that are done.

    Raises:
        CertificateError: the certificate or its images cannot be read.
        UsageError: there is no model.
    """
    start = time.monotonic()
    try:
        manifest = load(certificate, FORMS)
        files = model_of(certificate, manifest["model_sha256"], model)
        given = load_images(images or certificate.with_name(IMAGES))
        which = drawn(len(given), sample, seed)
        done = iter(range(1, len(which) + 1))
        found = check_images(
            read_bytes(files.model), manifest, given, which,
            lambda _: progress("checking the claims at images", next(done), len(which)),
        )  # fmt: skip
    except Rejected as error:
        spent = time.monotonic() - start
        return CheckedAt(False, 1.0, 1.0, (0, 0), (), 0, (), error.rule, error.message, spent)
    except Unreadable as error:
        raise CertificateError(str(error), where=str(certificate)) from error
    said = [manifest["claim"][str(k)] for k in found]
    drift, upper = (max((one[name] for one in said), default=0.0) for name in ("drift", "upper"))
    decided = (sum(one["decided"] >= 1 for one in said), sum(one["decided"] >= 2 for one in said))
    return CheckedAt(
        True, drift, upper, decided, (*sorted(found),), len(given), (*manifest["assumptions"],),
        "", "", time.monotonic() - start,
    )  # fmt: skip
