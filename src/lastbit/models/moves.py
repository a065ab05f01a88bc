"""What a person says may change between two images: which bit or how far, where, and how often."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import MissingExtraError, UsageError
from lastbit_check.network import Shape
from lastbit_check.question import LAST_BIT, Move, Question, asking
from lastbit_check.verdict import Rejected

Runs = tuple[tuple[int, int], ...]
ARRAYS, PICTURES = ".npy", ".png"


@dataclass(frozen=True)
class Said:
    """The options; None where nothing is said.

    Attributes:
        bit: the number of the bit that flips, 0 the last one.
        levels: by how many grey levels a byte may change.
        places: in how many places or pixels at once.
        channels: "one" or "all" of a pixel's channels.
        mask: a file with the places or pixels that may change: .npy or .png.
    """

    bit: int | None = None
    levels: int | None = None
    places: int | None = None
    channels: str | None = None
    mask: Path | None = None

    @property
    def anything(self) -> bool:
        """Whether anything is said."""
        return any(one is not None for one in astuple(self))


NOTHING_SAID = Said()


def moving(said: Said, question: Question, shape: Shape) -> Question:
    """The question about the same inputs, (C, H, W), with what is said of the move.

    Raises:
        UsageError: what is said makes no sense, or not for such inputs.
        MissingExtraError: a PNG, and there is nothing to read it with.
    """
    by, size = _size(said, question)
    cells = 1 if said.places is None else said.places
    channels = said.channels or "one"
    if channels not in ("one", "all"):
        raise UsageError(f"--channels {channels!r} is not known", fix="say one, or all")
    if cells < 1:
        raise UsageError("something has to change", where=f"--places {cells}", fix="1 or more")
    mask = _runs(said.mask, shape, channels) if said.mask else ()
    found = asking(Move(by, size, cells, channels, mask), question.pixels, question.box)
    try:
        found.fits(shape)
    except Rejected as error:
        what = "pixels" if channels == "all" else "places"
        count = len(found.cells(shape))
        raise UsageError(
            f"{cells} {what} are to change at once, and there are {count} that may",
            where=f"--places {cells}",
            fix=f"{count} or fewer",
        ) from error
    return found


def _size(said: Said, question: Question) -> tuple[str, int]:
    """How a byte changes, and by which bit or how many levels."""
    if question.box and (said.bit or said.levels is not None):
        raise UsageError(
            "the model's inputs are float32 numbers, which have no bits or grey levels to choose",
            where="--bit" if said.bit else "--levels",
            fix="say with --pixels how they are made of bytes, or leave it out: the last bit",
        )
    if said.bit is not None and said.levels is not None:
        raise UsageError("--bit and --levels say two things of one byte", fix="give one of them")
    if said.levels is not None:
        if not 1 <= said.levels <= 255:
            raise UsageError(
                f"{said.levels} grey levels", where="--levels", fix="from 1 to 255 of them"
            )
        return "levels", said.levels
    bit = said.bit or 0
    if not 0 <= bit <= 7:
        raise UsageError(
            f"a byte has no bit {bit}", where="--bit", fix="from 0, the last, to 7, the first"
        )
    return "bit", bit


def _runs(path: Path, shape: Shape, channels: str) -> Runs:
    """The places or pixels of a mask as runs (first, end); none where all may change.

    A mask of pixels (H, W) stands for all their channels.
    """
    values, where = _mask(path.expanduser()), str(path)
    plane, fits = shape[1:], [shape[1:]]
    if channels == "one":
        fits = [shape, plane]
    if values.shape not in fits:
        sizes = " or ".join(map(str, fits))
        raise UsageError(
            f"a mask of shape {values.shape} does not fit: the model reads {shape}",
            where=where,
            fix=f"make it of shape {sizes}",
        )
    if channels == "one":
        values = np.broadcast_to(values, shape)
    ends = np.flatnonzero(np.diff(np.pad(values.ravel(), 1).astype(np.int8)))
    if not ends.size:
        raise UsageError("the mask lets nothing change", where=where, fix="set what may change")
    runs = (*((int(first), int(end)) for first, end in ends.reshape(-1, 2)),)
    return () if runs == ((0, values.size),) else runs


def _mask(path: Path) -> NDArray[np.bool_]:
    """What may change: whatever is not 0."""
    where, fix = str(path), f"give a NumPy array ({ARRAYS}) or a grey picture ({PICTURES})"
    kind = path.suffix.lower()
    if kind not in (ARRAYS, PICTURES):
        raise UsageError("a mask is an array or a picture", where=where, fix=fix)
    try:
        values: NDArray[Any] = np.load(path) if kind == ARRAYS else _picture(path)
    except OSError as error:
        message = f"the mask cannot be read: {error.strerror or error}"
        raise UsageError(message, where=where, fix=fix) from error
    except (ValueError, EOFError, SyntaxError) as error:
        raise UsageError(f"this is no such file: {error}", where=where, fix=fix) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "bui":
        raise UsageError("a mask holds integers or truth values", where=where, fix=fix)
    return values != 0


def _picture(path: Path) -> NDArray[Any]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("a mask that is a picture", "images") from error
    with Image.open(path, formats=["PNG"]) as picture:
        return np.asarray(picture.convert("L"))


def folder_name(question: Question) -> str:
    """Of what is written about a question of other moves; "" for the last bit of one place."""
    move = question.move
    if move == LAST_BIT.move:
        return ""
    parts = [f"{move.by}-{move.size}"]
    parts += [f"places-{move.cells}"] * (move.cells > 1)
    parts += ["all-channels"] * (move.channels == "all")
    if move.mask:
        parts.append(f"mask-{hashlib.sha256(repr(move.mask).encode()).hexdigest()[:12]}")
    return "-".join(parts)
