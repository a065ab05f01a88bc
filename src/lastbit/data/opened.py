"""The images that a person names: MNIST's, or those in a file or a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from lastbit.data import numpy_files, parquet, png
from lastbit.data.idx import read_idx
from lastbit.data.mnist import load_mnist
from lastbit.data.stored import FIX, StoredImages, spooled
from lastbit.errors import DataError
from lastbit.progress import Progress, silent

SPLITS: dict[str, tuple[Literal["train", "test"], ...]] = {
    "test": ("test",),
    "train": ("train",),
    "all": ("train", "test"),
}
"""Names of MNIST's images: `all` are those for training, and behind them those for testing."""


def open_images(data: str, progress: Progress = silent) -> StoredImages:
    """Images by name or path; what a file holds is told by how it begins, not by its name.

    Args:
        data: `test`, `train` or `all`; else a file in the format IDX (gzipped or not), .npy, .npz,
            PNG or Parquet, or a folder of PNGs. A file called `test` is `./test`.
        progress: told of images that have to be decoded.

    Raises:
        DataError: there is no such file, or it is none of these.
        MissingExtraError: what reads it is not installed.
    """
    if data in SPLITS:
        return _mnist(data, progress)
    path = Path(data).expanduser()
    if path.is_dir():
        return png.read_png_folder(path, progress)
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=data, fix=FIX) from error
    readers: dict[bytes, Callable[[], StoredImages]] = {
        numpy_files.NPY: lambda: numpy_files.read_npy(path),
        numpy_files.ZIP: lambda: numpy_files.read_npz(path),
        parquet.MAGIC: lambda: parquet.read_parquet(path, progress),
        png.MAGIC: lambda: spooled(iter([png.decode(path.read_bytes(), data)[None]]), data),
    }
    for magic, read in readers.items():
        if start.startswith(magic):
            return read()
    return read_idx(path)


def _mnist(name: str, progress: Progress) -> StoredImages:
    found = [load_mnist(split, progress=progress) for split in SPLITS[name]]
    sources = ", ".join(dict.fromkeys(part.source for part in found))
    return spooled((np.asarray(part.images) for part in found), f"MNIST {name}, from {sources}")
