"""A folder of PNGs, read with Pillow (extra `png`)."""

from __future__ import annotations

import importlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.data.stored import StoredImages, one_line, spooled
from lastbit.errors import DataError, MissingExtraError
from lastbit.progress import Progress

MAGIC = b"\x89PNG\r\n\x1a\n"
MODES = ("L", "RGB")


def read_png_folder(folder: Path, progress: Progress) -> StoredImages:
    """All PNGs of a folder and of the folders in it, in the order of their paths.

    They are decoded once, into a temporary file: 8 bits grey (H, W), or colours (H, W, 3).

    Raises:
        DataError: there is none, one is corrupt or of another kind, or their sizes differ.
        MissingExtraError: Pillow is not installed.
    """
    names = sorted(_names(folder))
    if not names:
        fix = "their names have to end in .png"
        raise DataError("there are no PNGs in this folder", where=str(folder), fix=fix)
    return spooled(_decoded(folder, names, progress), f"{len(names)} PNGs in {folder}", names)


def _names(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        message = f"the folder cannot be read: {error.strerror}"
        raise DataError(message, where=str(error.filename)) from error

    for place, _, files in os.walk(folder, onerror=fail):
        inside = Path(place).relative_to(folder)
        yield from ((inside / name).as_posix() for name in files if name.lower().endswith(".png"))


def _decoded(folder: Path, names: list[str], progress: Progress) -> Iterator[NDArray[Any]]:
    for k, name in enumerate(names):
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
        yield decode(content, str(path))[None]
        progress("reading images", k + 1, len(names))


def decode(content: bytes, where: str) -> NDArray[np.uint8]:
    """The bytes of one PNG: grey (H, W), or colours (H, W, 3).

    Raises:
        DataError: it is none, is corrupt, or has other numbers than 8 bits of grey or of colours.
        MissingExtraError: Pillow is not installed.
    """
    image = _image()
    try:
        with warnings.catch_warnings(), image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            warnings.simplefilter("error")
            mode, found = opened.mode, np.asarray(opened)
    # Pillow raises all of these on spoilt files, and warns of some that it reads all the same.
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, Warning,
            struct.error, zlib.error, image.DecompressionBombError) as error:  # fmt: skip
        reason = one_line(error).replace(f"{type(content).__name__} object", "it")
        raise DataError(f"a corrupt PNG: {reason}", where=where, fix="mend or remove it") from error
    if mode not in MODES:
        raise DataError(
            f"a PNG of mode {mode} is neither 8-bit grey nor 8-bit RGB",
            where=where,
            fix="convert it: what its numbers mean is for a person to say",
        )
    return found


def _image() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtraError("reading PNGs", "png") from error
