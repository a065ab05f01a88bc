"""Numbers in a file, image after image: any of them are read when they are asked for.

However many images there are, no more of them are in memory than are being looked at. What cannot
be read in place (compressed files, pictures, tables) is unpacked into a temporary file first.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import DataError, OutputError

FIX = (
    "give `test`, `train` or `all` (of MNIST), an IDX file (gzipped or not), an .npy or .npz of "
    "images (N, H, W), (N, C, H, W) or (N, H, W, C), a folder of PNGs, or a Parquet file"
)


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images in one file.

    Attributes:
        stream: the file, open for reading; it is closed with the last use of this object.
        offset: where the first image begins, in bytes.
        dtype: of one number.
        shape: (N, ...): how many images, and the shape of each.
        source: where they are from, for people.
        names: of each image, where they have any: a file's path within its folder.
    """

    stream: BinaryIO
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    source: str
    names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.stream.close)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, numbers: Sequence[int] | range) -> NDArray[Any]:
        """Some images (n, ...), by number.

        Raises:
            DataError: the file has become shorter, or cannot be read any more.
        """
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        if isinstance(numbers, range) and numbers.step == 1:
            parts = [(found, numbers.start)] if numbers else []
        else:
            parts = [(found[k : k + 1], number) for k, number in enumerate(numbers)]
        for part, number in parts:
            self._fill(part, self.offset + number * size)
        return found

    def _fill(self, part: NDArray[Any], position: int) -> None:
        view = part.reshape(-1).view(np.uint8).data
        try:
            while len(view):
                read = os.preadv(self.stream.fileno(), [view], position)
                if not read:
                    raise DataError("the file has become shorter", where=self.source)
                view, position = view[read:], position + read
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            raise DataError(message, where=self.source) from error


def spooled(parts: Iterable[NDArray[Any]], source: str, names: Sequence[str] = ()) -> StoredImages:
    """Images (n, ...) of one shape and type, part by part, in a temporary file without a name.

    Raises:
        DataError: there are none, or they are of different shapes or types.
        OutputError: there is no space for them.
    """
    row, dtype, count = None, None, 0
    with unpacked() as stream:
        for part in parts:
            if row is None or dtype is None:
                row, dtype = part.shape[1:], part.dtype
            if part.shape[1:] != row or part.dtype != dtype:
                raise DataError(
                    f"image {count} is {part.dtype} of shape {part.shape[1:]}, those before it "
                    f"{dtype} of shape {row}",
                    where=source,
                    fix="give images of one size and type",
                )
            write(stream, np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
            count += len(part)
        if row is None or dtype is None or not count:
            raise DataError("there are no images in it", where=source, fix=FIX)
    return StoredImages(stream, 0, dtype, (count, *row), source, names)


@contextmanager
def closed_on_error(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The same stream, which stays open if all goes well."""
    try:
        yield stream
    except BaseException:
        stream.close()
        raise


@contextmanager
def unpacked() -> Iterator[BinaryIO]:
    """A temporary file without a name, to be written: it is gone when it is closed.

    Raises:
        OutputError: there is no space.
    """
    try:
        made = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the images
    except OSError as error:
        raise no_space(error) from error
    with closed_on_error(made) as stream:
        yield stream
        try:
            stream.flush()
        except OSError as error:
            raise no_space(error) from error


def write(stream: BinaryIO, content: bytes | memoryview) -> None:
    """Write to a temporary file.

    Raises:
        OutputError: there is no space.
    """
    try:
        stream.write(content)
    except OSError as error:
        raise no_space(error) from error


def one_line(error: BaseException) -> str:
    """What another library says, on one line."""
    return " ".join(str(error).split())


def no_space(error: OSError) -> OutputError:
    """What a temporary file that cannot be written means."""
    return OutputError(
        f"images cannot be unpacked: {error.strerror}",
        where=tempfile.gettempdir(),
        fix="set TMPDIR to a folder that is writable and has space",
    )
