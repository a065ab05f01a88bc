"""Which answers at given images no allowed execution changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lastbit.around.bases import bases_of
from lastbit.around.outcomes import outcomes
from lastbit.around.written import claim_of, write
from lastbit.hints.fitting import Say, quiet
from lastbit.progress import Progress, silent
from lastbit_check.around.at_image import AtImage
from lastbit_check.around.linear import prepared
from lastbit_check.check import network_in
from lastbit_check.question import Question

STAGE = "the others, each by the bound at it"


def answers_at(
    content: bytes,
    question: Question,
    images: NDArray[Any],
    *,
    processes: int = 1,
    out: Path | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> list[AtImage | None]:
    """What holds at each image by the checker's rules; None where nothing follows.

    Args:
        content: an ONNX file.
        question: what its inputs are, and how an image may move.
        images: (N, C, H, W), uint8, or float32 where the question has a box.
        processes: how many work side by side.
        out: write the certificate of it to this folder, if there is one.
        say: told how long it takes, when the first image is done.
        progress: told of images that are done.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered.
    """
    known = prepared(network_in(content, question))
    bases, found, start = bases_of(known), list[AtImage | None](), time.monotonic()
    progress(STAGE, 0, len(images))
    for outcome, _ in outcomes(content, known, question, bases, images, processes):
        found.append(outcome if isinstance(outcome, AtImage) else None)
        if len(found) == 1:
            say(_estimate(len(images), time.monotonic() - start, min(processes, len(images))))
        progress(STAGE, len(found), len(images))
    if out is not None:
        claims = {k: claim_of(one) for k, one in enumerate(found) if one is not None}
        write(out, content, question, bases, images, claims)
    return found


def _estimate(count: int, first: float, processes: int) -> str:
    """From the first image: what it took is about what each takes."""
    minutes = count * first / processes / 60
    whole = f"{minutes:.0f} minutes" if minutes >= 1 else "less than a minute"
    return f"the bound at an image takes {first:.1f} s, that at {count} images about {whole}"
