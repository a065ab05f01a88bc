"""Images with their labels: MNIST's, or those that a person has."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.data.idx import read_idx
from lastbit.errors import DataError

FIX = (
    "give an .npz with the arrays `images`, bytes (N, H, W) or (N, C, H, W), and `labels` (N,), or "
    "two IDX files, gzipped or not: --data IMAGES --labels LABELS"
)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and what they show.

    `images` are bytes (N, H, W) or (N, C, H, W), `labels` the numbers of their classes (N,);
    `source` says where they are from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.integer]
    source: str


def read_labelled(images: Path, labels: Path | None = None) -> LabelledImages:
    """Read images with their labels: one .npz, or two files in the format of MNIST's (IDX).

    Raises:
        DataError: a file is missing, is neither, or holds something else.
    """
    found = _npz(images) if labels is None else {"images": _idx(images), "labels": _idx(labels)}
    pictures, classes = found["images"], found["labels"]
    where = str(images)
    if pictures.ndim not in (3, 4) or classes.shape != pictures.shape[:1] or not classes.size:
        shapes = f"images of shape {pictures.shape} and labels of shape {classes.shape}"
        raise DataError(f"{shapes} do not belong together", where=where, fix=FIX)
    if not (pictures.dtype.kind in "ui" and pictures.min() >= 0 and pictures.max() <= 255):
        raise DataError("the images are not bytes, 0 to 255", where=where, fix=FIX)
    if not (classes.dtype.kind in "ui" and classes.min() >= 0):
        raise DataError("the labels are not numbers of classes", where=where, fix=FIX)
    return LabelledImages(pictures.astype(np.uint8), classes.astype(np.int64), where)


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.is_file() and not zipfile.is_zipfile(path):
            raise DataError("not an .npz", where=str(path), fix=FIX)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("images", "labels")}
    except OSError as error:
        message = error.strerror or f"{error}"
        raise DataError(f"cannot be read: {message}", where=str(path), fix=FIX) from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"not such an .npz: {error}", where=str(path), fix=FIX) from error


def _idx(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file."""
    stored = read_idx(path, FIX)
    return stored.read(range(len(stored)))
