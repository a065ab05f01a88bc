"""A Parquet file with a column of images, read with PyArrow (extra `parquet`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.data.png import decode
from lastbit.data.stored import StoredImages, one_line, spooled
from lastbit.errors import DataError, MissingExtraError
from lastbit.progress import Progress

MAGIC = b"PAR1"
ROWS = 256
NAMES = ("image", "images")
FIX = (
    "a column `image` of PNGs (bytes, or a struct with `bytes`, as Hugging Face writes them) or of "
    "lists of numbers (H, W), (C, H, W) or (H, W, C)"
)


def read_parquet(path: Path, progress: Progress) -> StoredImages:
    """The images of a Parquet file, in the order of its rows, decoded into a temporary file.

    Raises:
        DataError: it cannot be read, has no such column, or a row holds something else.
        MissingExtraError: PyArrow is not installed, or Pillow where the images are PNGs.
    """
    try:
        arrow, tables = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise MissingExtraError("reading Parquet files", "parquet") from error
    try:
        table = tables.ParquetFile(path)
        names = [name for name in NAMES if name in table.schema_arrow.names]
        if not names:
            found = ", ".join(table.schema_arrow.names)
            raise DataError(f"no column of images; there are {found}", where=str(path), fix=FIX)
        return spooled(_rows(table, names[0], str(path), progress), str(path))
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"a corrupt Parquet file: {one_line(error)}", where=str(path)) from error


def _rows(table: Any, column: str, where: str, progress: Progress) -> Iterator[NDArray[Any]]:
    done, total = 0, table.metadata.num_rows
    for batch in table.iter_batches(ROWS, columns=[column]):
        for value in batch.column(0).to_pylist():
            yield _image(value, f"{where}, row {done}")[None]
            done += 1
        progress("reading images", done, total)


def _image(value: Any, where: str) -> NDArray[Any]:
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return decode(value, where)
    try:
        found = np.array(value)
    except ValueError:  # lists of different lengths
        found = np.array(None)
    if found.dtype.kind not in "uif" or found.ndim < 1:
        raise DataError("this row holds no image", where=where, fix=FIX)
    return found
