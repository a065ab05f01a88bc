"""Rows of numbers in a temporary file, so that memory does not grow with their number."""

from __future__ import annotations

import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.data.stored import no_space, unpacked

PART = 4096


class Table:
    """So many equal rows in a temporary file without a name; it is gone with this object.

    Args:
        rows: how many.
        fill: one row, an array (...) of any type, which every row is at first.

    Raises:
        OutputError: there is no space.
    """

    def __init__(self, rows: int, fill: NDArray[Any]) -> None:
        self._fill = np.array(fill, order="C")
        with unpacked() as stream:
            self._stream = stream
        weakref.finalize(self, stream.close)
        for start in range(0, rows, PART):
            part = np.broadcast_to(self._fill, (min(PART, rows - start), *self._fill.shape))
            self.write(start, part)

    def read(self, start: int, count: int) -> NDArray[Any]:
        """Some rows (count, ...)."""
        size = count * self._fill.nbytes
        content = os.pread(self._stream.fileno(), size, start * self._fill.nbytes)
        assert len(content) == size
        return np.frombuffer(bytearray(content), self._fill.dtype).reshape(count, *self._fill.shape)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Replace some rows.

        Raises:
            OutputError: there is no space.
        """
        content = np.ascontiguousarray(rows, self._fill.dtype).tobytes()
        position = start * self._fill.nbytes
        try:
            while content:
                written = os.pwrite(self._stream.fileno(), content, position)
                content, position = content[written:], position + written
        except OSError as error:
            raise no_space(error) from error
