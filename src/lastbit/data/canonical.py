"""The four canonical files of MNIST and the format they are written in.

A file is known by the SHA-256 of its *uncompressed* bytes, because mirrors compress differently.
"""

import gzip
import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import DataError


@dataclass(frozen=True)
class CanonicalFile:
    """One of the four files.

    `shape` is that of the array of bytes inside, (N, 28, 28) for images and (N,) for labels.
    """

    name: str
    sha256: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Uncompressed size in bytes: the IDX header and the array."""
        return len(idx_header(self.shape)) + int(np.prod(self.shape))


def idx_header(shape: tuple[int, ...]) -> bytes:
    """Return the IDX header of an array of unsigned bytes (type 8) of this shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


TRAIN_IMAGES = CanonicalFile(
    "train-images-idx3-ubyte",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    (60_000, 28, 28),
)
TRAIN_LABELS = CanonicalFile(
    "train-labels-idx1-ubyte",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    (60_000,),
)
TEST_IMAGES = CanonicalFile(
    "t10k-images-idx3-ubyte",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    (10_000, 28, 28),
)
TEST_LABELS = CanonicalFile(
    "t10k-labels-idx1-ubyte",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    (10_000,),
)
CANONICAL_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def verify(file: CanonicalFile, content: bytes, where: str) -> bytes:
    """Return `content` if it is, byte for byte, the canonical file.

    Raises:
        DataError: it is not; `where` says whose content it was.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{file.name} is not the canonical file: its SHA-256 is {found}, not {file.sha256}",
            where=where,
        )
    return content


def gunzip(file: CanonicalFile, compressed: bytes, where: str) -> bytes:
    """Decompress, never beyond the known size of the file.

    Raises:
        DataError: truncated, not gzip, or longer than the canonical file.
    """
    try:
        with gzip.open(io.BytesIO(compressed)) as stream:
            content = stream.read(file.size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{file.name}.gz cannot be decompressed: {error}", where=where) from error
    if len(content) > file.size:
        raise DataError(f"{file.name}.gz holds more than {file.size} bytes", where=where)
    return content


def read_from_folder(file: CanonicalFile, folder: Path) -> tuple[bytes, Path] | None:
    """Return the verified file from `folder`, and its path; None if `folder` has neither form.

    The uncompressed file is taken before the one that ends in .gz.

    Raises:
        DataError: it is there, but unreadable or not the canonical file.
    """
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(
                f"{file.name} cannot be read: {error.strerror}", where=f"{path}"
            ) from error
        if path.suffix == ".gz":
            content = gunzip(file, content, f"{path}")
        return verify(file, content, f"{path}"), path
    return None


def to_array(file: CanonicalFile, content: bytes) -> NDArray[np.uint8]:
    """Return the array inside a verified file, writable, of shape `file.shape`."""
    offset = len(idx_header(file.shape))
    return np.frombuffer(content, np.uint8, offset=offset).reshape(file.shape).copy()
