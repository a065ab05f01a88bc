"""The certificate for given images, as it is written."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.files import write_whole
from lastbit_check.around.at_image import AtImage
from lastbit_check.around.images import FORMAT, images_as_data
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import digest, question_as_data
from lastbit_check.check import network_in
from lastbit_check.question import ANY_TWO, Question

CERTIFICATE, IMAGES = "certificate.json", "images.npy"
BITS = 12
"""Claims are rounded up to so many: what float64 derives elsewhere differs in the last ones."""

Claim = dict[str, Any]


def claim_of(one: AtImage) -> Claim:
    """What is claimed of an image: what holds, bounds rounded up to `BITS`."""
    drift, upper = (min(1.0, _rounded_up(bound)) for bound in (one.drift, one.upper))
    return {"label": one.label, "decided": one.decided, "drift": drift, "upper": upper,
            "logits": _rounded_up(one.logits)}  # fmt: skip


def write(
    out: Path,
    content: bytes,
    question: Question,
    bases: Sequence[str],
    images: NDArray[Any],
    claims: Mapping[int, Claim],
) -> Path:
    """Write certificate.json and images.npy to a folder; the path of the former.

    Args:
        out: the folder, which is made.
        content: the ONNX file.
        question: how images may move.
        bases: the hint.
        images: (N, C, H, W).
        claims: by the number of the image (`claim_of`).
    """
    named = assumptions(network_in(content, question), ANY_TWO, question)
    fields: dict[str, Any] = {
        "format": FORMAT,
        "model_sha256": sha256(content).hexdigest(),
        "question": question_as_data(question),
        "assumptions": [*named],
        "bases": [*bases],
        "images": {**images_as_data(images), "shape": [*images.shape]},
        "claim": {
            str(k): {name: x.hex() if isinstance(x, float) else x for name, x in claim.items()}
            for k, claim in claims.items()
        },
    }
    fields["digest"] = digest(fields)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / IMAGES, _npy(images))
    write_whole(out / CERTIFICATE, (json.dumps(fields, indent=1) + "\n").encode())
    return out / CERTIFICATE


def _npy(images: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, images, allow_pickle=False)
    return stream.getvalue()


def _rounded_up(x: float) -> float:
    """To `BITS` bits, from a little above."""
    mantissa, exponent = math.frexp(x * (1 + 2.0**-BITS))
    return math.ldexp(math.ceil(math.ldexp(mantissa, BITS)), exponent - BITS)
