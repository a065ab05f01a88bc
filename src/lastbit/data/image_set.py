"""Images as a network reads them, whatever they are stored as; their SHA-256 is their name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.data.stored import FIX, StoredImages
from lastbit.errors import DataError
from lastbit.progress import Progress, silent
from lastbit_check.network import Shape
from lastbit_check.question import Box, Question

PART = 1024


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images for one network.

    Attributes:
        stored: where they are.
        count: how many of them, from the first on.
        shape: (C, H, W) of each.
        question: what the network's inputs are: bytes, or float32 numbers.
        sha256: of `uint8` or `float32`, the four sizes, and the numbers (N, C, H, W), in
            little-endian order; so it does not depend on the format.
    """

    stored: StoredImages
    count: int
    shape: Shape
    question: Question
    sha256: str

    def __len__(self) -> int:
        return self.count

    def take(self, numbers: Sequence[int] | range) -> NDArray[Any]:
        """Some images (n, C, H, W), uint8 or float32.

        Raises:
            DataError: they cannot be read any more, or are no such images any more.
        """
        return _numbers(self.stored, numbers, self.shape, self.question)

    def name_of(self, number: int) -> str:
        """The name of an image, if it has one."""
        return self.stored.names[number] if self.stored.names else ""

    def changed(self, progress: Progress = silent) -> bool:
        """Whether they are others by now."""
        return _sha256(self, progress) != self.sha256


def image_set(
    stored: StoredImages,
    shape: Shape,
    question: Question,
    *,
    first: int | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """The images, every number of which has been looked at.

    Args:
        stored: (N, H, W), (N, C, H, W) or (N, H, W, C), of any type of integers 0..255; float32
            where the question has a box.
        shape: (C, H, W) that the network reads.
        question: what its inputs are.
        first: only so many, from the first on.
        progress: told how many have been looked at.

    Raises:
        DataError: another size, another type, a number out of range, NaN, or no image at all.
    """
    count = len(stored) if first is None else min(first, len(stored))
    if not count:
        raise DataError("there are no images in it", where=stored.source, fix=FIX)
    if _layout(stored.shape[1:], shape) is None:
        raise DataError(
            f"images of shape {stored.shape[1:]} do not fit a network that reads {shape}",
            where=stored.source,
            fix="give images (N, H, W), (N, C, H, W) or (N, H, W, C) of that size",
        )
    _check_type(stored, question)
    unnamed = ImageSet(stored, count, shape, question, "")
    return ImageSet(stored, count, shape, question, _sha256(unnamed, progress))


def _sha256(images: ImageSet, progress: Progress) -> str:
    kind = "float32" if images.question.box else "uint8"
    stored = np.dtype(kind).newbyteorder("<")
    found = hashlib.sha256(f"{kind} {(len(images), *images.shape)}\n".encode())
    for start in range(0, len(images), PART):
        stop = min(start + PART, len(images))
        found.update(images.take(range(start, stop)).astype(stored, copy=False).data)
        progress("looking at the images", stop, len(images))
    return found.hexdigest()


def _layout(row: tuple[int, ...], shape: Shape) -> tuple[int, ...] | None:
    """The axes of a stored image in the order (C, H, W); None if its size is another."""
    channels, height, width = shape
    if (
        row == shape
        or (channels == 1 and row == shape[1:])
        or (row == (math.prod(shape),) == shape[:1])
    ):
        return (0, 1, 2)
    return (2, 0, 1) if row == (height, width, channels) else None


def _check_type(stored: StoredImages, question: Question) -> None:
    if question.box and stored.dtype != np.float32:
        raise DataError(
            f"images of type {stored.dtype} are not float32",
            where=stored.source,
            fix="the model reads float32: save such numbers, or say with --pixels how it makes "
            "them of bytes",
        )
    if not question.box and stored.dtype.kind not in "ui":
        raise DataError(
            f"images of type {stored.dtype} are not bytes",
            where=stored.source,
            fix="give integers 0 to 255; the model, or --pixels, makes other numbers of them",
        )


def _numbers(
    stored: StoredImages, numbers: Sequence[int] | range, shape: Shape, question: Question
) -> NDArray[Any]:
    read = stored.read(numbers)
    low, high = question.box or Box(0, 255)
    inside = (read >= low) & (read <= high)
    if not np.all(inside):
        bad = numbers[int(np.argmin(inside.reshape(len(read), -1).all(axis=1)))]
        what = "NaN" if np.isnan(read).any() else f"numbers outside {low:g} to {high:g}"
        fix = "say with --box between which numbers they are" if question.box else "give bytes"
        named = f" ({stored.names[bad]})" if stored.names else ""
        raise DataError(f"image {bad}{named} holds {what}", where=stored.source, fix=fix)
    axes = _layout(stored.shape[1:], shape) or (0, 1, 2)
    stands = read.reshape(len(read), *(shape[axes.index(k)] for k in range(3)))
    kind = np.float32 if question.box else np.uint8
    return np.ascontiguousarray(stands.transpose(0, *(k + 1 for k in axes)), dtype=kind)
