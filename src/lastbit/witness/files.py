"""witness.json: an image, a pixel, a class, and how far each runtime's answer moves.

Numbers are hexadecimal floats, so that reading gives back what was written, bit for bit. The second
image is not stored: it is the first with the last bit of that pixel flipped.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.errors import CertificateError
from lastbit.files import write_whole
from lastbit.graph import ByteArray, flip_last_bit


@dataclass(frozen=True, eq=False)
class Witness:
    """A pair of images that shows a lower bound.

    Attributes:
        model_sha256: the model's name.
        image: uint8 (H, W).
        pixel: (row, column) of the flipped bit.
        class_index: whose probability moves.
        lower: a lower bound on the move, at most the smallest that any runtime shows.
        runtimes: the move on each runtime, by its name and version.
        apart: two programs, one for each image, and how far their answers are apart.
    """

    model_sha256: str
    image: ByteArray
    pixel: tuple[int, int]
    class_index: int
    lower: float
    runtimes: Mapping[str, float]
    apart: tuple[str, str, float] | None = None

    @property
    def pair(self) -> ByteArray:
        """Both images, uint8 (2, H, W)."""
        return np.stack([self.image, flip_last_bit(self.image, *self.pixel)])


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
    height, width = _pair(content, "shape", (28, 28))
    image = _image(content, height, width)
    row, col = _pair(content, "pixel")
    if not (0 <= row < height and 0 <= col < width):
        raise _FieldError("pixel", "lies outside the image")
    class_index = _field(content, "class", int)
    if class_index < 0:
        raise _FieldError("class", "is negative")
    lower = _probability(content, "lower", "lower")
    moves = _field(content, "runtimes", dict)
    runtimes = {name: _probability(moves, name, f"runtimes.{name}") for name in moves}
    if any(move < lower for move in runtimes.values()):
        raise _FieldError("lower", "is more than one of its own runtimes shows")
    apart = _apart(_field(content, "apart", dict)) if "apart" in content else None
    return Witness(digest, image, (row, col), class_index, lower, runtimes, apart)


def _apart(content: dict[str, Any]) -> tuple[str, str, float]:
    first, second = (_field(content, name, str) for name in ("first", "second"))
    return first, second, _probability(content, "lower", "apart.lower")


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    if name not in content:
        raise _FieldError(name, "is missing")
    if not isinstance(content[name], kind) or isinstance(content[name], bool):
        raise _FieldError(name, f"is not of type {kind.__name__}")
    return content[name]


def _pair(
    content: dict[str, Any], name: str, default: tuple[int, int] | None = None
) -> tuple[int, int]:
    if default is not None and name not in content:
        return default
    values = _field(content, name, list)
    if len(values) != 2 or not all(type(v) is int and 0 <= v < 2**16 for v in values):
        raise _FieldError(name, "is not a pair of small integers")
    return values[0], values[1]


def _image(content: dict[str, Any], height: int, width: int) -> ByteArray:
    try:
        data = base64.b64decode(_field(content, "image", str), validate=True)
    except (binascii.Error, ValueError):
        raise _FieldError("image", "is not base64") from None
    if len(data) != height * width:
        raise _FieldError("image", f"holds {len(data)} bytes, not {height} x {width}")
    return np.frombuffer(data, np.uint8).reshape(height, width)


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
