"""The format of MNIST's files: a header, and an array of bytes."""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lastbit.data.canonical import idx_header
from lastbit.data.stored import FIX, StoredImages, closed_on_error, unpacked, write
from lastbit.errors import DataError

GZIP = b"\x1f\x8b"
PART = 1 << 20


def read_idx(path: Path, fix: str = FIX) -> StoredImages:
    """The array of bytes in an IDX file; a gzipped one is unpacked into a temporary file.

    Args:
        path: of the file.
        fix: what to do about a file that is none.

    Raises:
        DataError: it cannot be read, or is not an IDX file of bytes.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with closed_on_error(_unpacked(path) if packed else path.open("rb")) as stream:
            return _array(stream, path, fix)
    except (OSError, EOFError, zlib.error) as error:
        message = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read: {message}", where=str(path), fix=fix) from error


def _array(stream: BinaryIO, path: Path, fix: str) -> StoredImages:
    stream.seek(0)
    head = stream.read(4)
    axes = head[3] if len(head) > 3 else 0
    head += stream.read(4 * axes)
    size = stream.seek(0, os.SEEK_END)
    complete = axes > 0 and len(head) == 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", head[4:]) if complete else ()
    if not complete or head != idx_header(shape) or size != len(head) + math.prod(shape):
        raise DataError("not an IDX file of bytes", where=str(path), fix=fix)
    return StoredImages(stream, len(head), np.dtype(np.uint8), shape, str(path))


def _unpacked(path: Path) -> BinaryIO:
    with unpacked() as stream:
        for part in _parts(path):
            write(stream, part)
    return stream


def _parts(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as packed:
        while part := packed.read(PART):
            yield part
