"""Images in the files of NumPy."""

import lzma
import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from lastbit.data.stored import FIX, StoredImages, closed_on_error, one_line, unpacked, write
from lastbit.errors import DataError

NPY, ZIP = b"\x93NUMPY", b"PK"
PART = 1 << 20
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

SPOILT = (OSError, KeyError, EOFError, NotImplementedError, RuntimeError, UnicodeError,
          zipfile.BadZipFile, zlib.error, lzma.LZMAError)  # fmt: skip
"""What Python's zipfile raises of a spoilt archive, or of one with a password."""


def read_npy(path: Path) -> StoredImages:
    """The array of an .npy file.

    Raises:
        DataError: it cannot be read, holds objects, or stands in Fortran's order.
    """
    try:
        with closed_on_error(path.open("rb")) as stream:
            return _array(stream, str(path))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), fix=FIX) from error


def read_npz(path: Path) -> StoredImages:
    """The array `images` of an .npz file, or its only one, unpacked into a temporary file.

    Raises:
        DataError: it cannot be read, or it has several arrays of which none is called so.
    """
    try:
        with zipfile.ZipFile(path) as archive, unpacked() as stream:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = "images" if "images" in names else names[0] if len(names) == 1 else None
            if chosen is None:
                raise DataError(
                    f"no array is called `images`; there are {', '.join(names) or 'none'}",
                    where=str(path),
                    fix="save it with np.savez(FILE, images=...)",
                )
            with archive.open(f"{chosen}.npy") as member:
                while part := member.read(PART):
                    write(stream, part)
            stream.seek(0)
            return _array(stream, str(path))
    except SPOILT as error:
        raise DataError(f"not an .npz: {one_line(error)}", where=str(path), fix=FIX) from error


def _array(stream: BinaryIO, source: str) -> StoredImages:
    try:
        header = HEADERS.get(npy.read_magic(stream))
        if header is None:
            raise ValueError("a version that is not known")
        shape, fortran, dtype = header(stream)
    # A spoilt header is taken for Python, and fails as such.
    except (ValueError, EOFError, SyntaxError, TypeError, tokenize.TokenError, Warning) as error:
        message = f"not an array of NumPy: {one_line(error)}"
        raise DataError(message, where=source, fix=FIX) from error
    if dtype.hasobject or dtype.fields is not None or not shape:
        raise DataError(f"an array of {dtype} {shape} holds no images", where=source, fix=FIX)
    if fortran and len(shape) > 1:
        fix = "save np.ascontiguousarray(images)"
        raise DataError("the array stands in Fortran's order", where=source, fix=fix)
    offset = stream.tell()
    if min(shape) < 0 or stream.seek(0, os.SEEK_END) != offset + math.prod(shape) * dtype.itemsize:
        message = f"an array of {dtype} {shape} is of another size than the file"
        raise DataError(message, where=source, fix=FIX)
    return StoredImages(stream, offset, np.dtype(dtype), shape, source)
