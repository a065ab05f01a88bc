"""witness.json: a pair of images, a class, and how far each runtime's answer moves.

Numbers are hexadecimal floats, so that reading gives back what was written, bit for bit. Where the
last bit of one place moves and there is one channel, the second image is not stored: it is the
first with the last bit of that pixel flipped. Of other moves it is, and held against the question.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.errors import CertificateError
from lastbit.files import write_whole
from lastbit.graph import Asked, ImageArray, Model, flip_last_bit
from lastbit.witness.pairs import changed_pixels, told_by_pixel, why_no_pair
from lastbit_check.certificate import question_as_data, question_from
from lastbit_check.question import LAST_BIT, Question
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True, eq=False)
class Witness:
    """A pair of images that shows a lower bound.

    Attributes:
        model_sha256: the model's name.
        image: uint8 (H, W), or (C, H, W) of several channels; float32 if the question has a box.
        pixel: (row, column) of the flipped bit; of several pixels that change, of the first.
        class_index: whose probability moves.
        lower: a lower bound on the move, at most the smallest that any runtime shows.
        runtimes: the move on each runtime, by its name and version.
        apart: two programs, one for each image, and how far their answers are apart.
        question: what the model's inputs are, and what may change.
        other: the second image, if the pixel does not say what it is (`pairs.told_by_pixel`).
    """

    model_sha256: str
    image: ImageArray
    pixel: tuple[int, int]
    class_index: int
    lower: float
    runtimes: Mapping[str, float]
    apart: tuple[str, str, float] | None = None
    question: Question = LAST_BIT
    other: ImageArray | None = None

    def asked(self, model: Path) -> Model:
        """A model's file with what the witness says of its inputs."""
        return model if self.question == LAST_BIT else Asked(model, self.question)

    @property
    def pair(self) -> ImageArray:
        """Both images (2, H, W) or (2, C, H, W)."""
        flipped = flip_last_bit(self.image, *self.pixel) if self.other is None else self.other
        return np.stack([self.image, flipped])

    @property
    def changed(self) -> list[tuple[int, int]]:
        """(row, column) of every pixel that changes, in order."""
        return changed_pixels(*self.pair)


def write_witness(path: str | Path, witness: Witness) -> None:
    """Write a witness; an existing file is replaced as a whole.

    Raises:
        OutputError: `path` cannot be written.
    """
    content = {
        "model_sha256": witness.model_sha256,
        "shape": list(witness.image.shape),
        "image": base64.b64encode(witness.image.tobytes()).decode("ascii"),
        "pixel": list(witness.pixel),
        "class": witness.class_index,
        "lower": float(witness.lower).hex(),
        "runtimes": {name: float(move).hex() for name, move in witness.runtimes.items()},
    }
    if witness.other is not None:
        content["other"] = base64.b64encode(witness.other.tobytes()).decode("ascii")
    if witness.question != LAST_BIT:
        content["question"] = question_as_data(witness.question)
    if witness.apart:
        first, second, lower = witness.apart
        content["apart"] = {"first": first, "second": second, "lower": float(lower).hex()}
    write_whole(Path(path), (json.dumps(content, indent=2) + "\n").encode())


def read_witness(path: str | Path) -> Witness:
    """Read a witness and hold it against its own rules.

    Raises:
        CertificateError: missing, not JSON, or with a field that is missing or makes no sense.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"cannot read the witness: {error.strerror}", where=str(path)) from (
            error
        )
    except (ValueError, RecursionError) as error:
        raise CertificateError(f"the witness is not JSON: {error}", where=str(path)) from error
    return witness_from(content, str(path))


def witness_from(content: Any, where: str) -> Witness:
    """The witness in an object that was read from the file `where`.

    Raises:
        CertificateError: a field is missing or makes no sense.
    """
    if not isinstance(content, dict):
        raise CertificateError("the witness is not a JSON object", where=where)
    try:
        return _witness(content)
    except _FieldError as error:
        raise CertificateError(
            f"the witness's field {error.field!r} {error.problem}",
            where=where,
            fix="make a new one with `lastbit search`",
        ) from error


class _FieldError(Exception):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem


def _witness(content: dict[str, Any]) -> Witness:
    digest = _field(content, "model_sha256", str)
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise _FieldError("model_sha256", "is not a SHA-256 in lower case")
    shape, question = _shape(content), _question(content)
    image = _image(content, "image", shape, question)
    row, col = _pair(content, "pixel")
    if not (0 <= row < shape[-2] and 0 <= col < shape[-1]):
        raise _FieldError("pixel", "lies outside the image")
    other = _other(content, image, (row, col), question)
    class_index = _field(content, "class", int)
    if class_index < 0:
        raise _FieldError("class", "is negative")
    lower = _probability(content, "lower", "lower")
    moves = _field(content, "runtimes", dict)
    runtimes = {name: _probability(moves, name, f"runtimes.{name}") for name in moves}
    if any(move < lower for move in runtimes.values()):
        raise _FieldError("lower", "is more than one of its own runtimes shows")
    apart = _apart(_field(content, "apart", dict)) if "apart" in content else None
    return Witness(digest, image, (row, col), class_index, lower, runtimes, apart, question, other)


def _other(
    content: dict[str, Any], image: ImageArray, pixel: tuple[int, int], question: Question
) -> ImageArray | None:
    """The second image, which has to be told where the pixel does not do so, and nowhere else."""
    channels = image.shape[0] if image.ndim == 3 else 1
    if told_by_pixel(question, (channels, *image.shape[-2:])):
        if "other" in content:
            raise _FieldError("other", "is told by the pixel")
        return None
    other = _image(content, "other", image.shape, question)
    reason = why_no_pair(image, other, question)
    if reason:
        raise _FieldError("other", f"is not made by such a change: {reason}")
    if pixel != changed_pixels(image, other)[0]:
        raise _FieldError("pixel", "is not the first that changes")
    return other


def _question(content: dict[str, Any]) -> Question:
    """What the inputs are; bytes if nothing is said."""
    if "question" not in content:
        return LAST_BIT
    try:
        return question_from(content["question"])
    except (Rejected, Unreadable) as error:
        raise _FieldError("question", f"is not understood: {error}") from None


def _apart(content: dict[str, Any]) -> tuple[str, str, float]:
    first, second = (_field(content, name, str) for name in ("first", "second"))
    return first, second, _probability(content, "lower", "apart.lower")


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    if name not in content:
        raise _FieldError(name, "is missing")
    if not isinstance(content[name], kind) or isinstance(content[name], bool):
        raise _FieldError(name, f"is not of type {kind.__name__}")
    return content[name]


def _pair(content: dict[str, Any], name: str) -> tuple[int, int]:
    values = _field(content, name, list)
    if len(values) != 2 or not _small(values):
        raise _FieldError(name, "is not a pair of small integers")
    return values[0], values[1]


def _shape(content: dict[str, Any]) -> tuple[int, ...]:
    """(H, W), or (C, H, W) of several channels."""
    if "shape" not in content:
        return (28, 28)
    values = _field(content, "shape", list)
    if not _small(values) or not (len(values) == 2 or (len(values) == 3 and values[0] > 1)):
        raise _FieldError("shape", "is not two small integers, or three of several channels")
    return (*values,)


def _small(values: list[Any]) -> bool:
    return all(type(v) is int and 0 <= v < 2**16 for v in values)


def _image(
    content: dict[str, Any], name: str, shape: tuple[int, ...], question: Question
) -> ImageArray:
    try:
        data = base64.b64decode(_field(content, name, str), validate=True)
    except (binascii.Error, ValueError):
        raise _FieldError(name, "is not base64") from None
    kind = np.dtype("<f4" if question.box else np.uint8)
    if len(data) != math.prod(shape) * kind.itemsize:
        sizes = " x ".join(map(str, shape))
        raise _FieldError(name, f"holds {len(data)} bytes, not {sizes} numbers")
    return np.frombuffer(data, kind).reshape(shape)


def _probability(holder: dict[str, Any], name: str, where: str) -> float:
    text = holder.get(name)
    if not isinstance(text, str):
        raise _FieldError(where, "is missing" if text is None else "is not a text")
    try:
        value = float.fromhex(text)
    except (ValueError, OverflowError):
        raise _FieldError(where, "is not a hexadecimal float") from None
    if not (0.0 <= value <= 1.0):
        raise _FieldError(where, "is not between 0 and 1")
    return value
