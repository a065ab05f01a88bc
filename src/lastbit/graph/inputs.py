"""The inputs: images of bytes, and the neighbours of an image."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.errors import UsageError
from lastbit.operators.base import Shape

ByteArray = NDArray[np.uint8]


def as_batch(images: ArrayLike, shape: Shape) -> ByteArray:
    """`images` as uint8 (N, C, H, W).

    Args:
        images: integers 0..255, (H, W) or (C, H, W) for one image, (N, H, W) where C is 1, or
            (N, C, H, W).
        shape: (C, H, W) of the network's input.

    Raises:
        UsageError: another shape, another kind of number, or a value that is not a byte.
    """
    values = np.asarray(images)
    channels, height, width = shape
    allowed = [(height, width), (channels, height, width)] if channels == 1 else [shape]
    if values.shape not in allowed and values.shape[1:] not in allowed:
        raise UsageError(
            f"images of shape {values.shape} do not fit a network that reads {shape}",
            fix=f"pass an array of shape (N, {channels}, {height}, {width})",
        )
    if values.dtype.kind not in "ui":
        raise UsageError(
            f"images of type {values.dtype} are not bytes",
            fix="pass unsigned 8-bit integers; the network itself divides by 255",
        )
    if values.size and (values.min() < 0 or values.max() > 255):
        raise UsageError("an image holds values outside 0..255", fix="pass bytes")
    return np.ascontiguousarray(values.astype(np.uint8).reshape(-1, channels, height, width))


def flip_last_bit(image: ByteArray, row: int, col: int) -> ByteArray:
    """A copy of `image`, (H, W) or (1, H, W), with the last bit of one pixel flipped.

    Raises:
        UsageError: the pixel lies outside the image, or the image has several channels.
    """
    if image.ndim < 2 or image.size != image.shape[-2] * image.shape[-1]:
        raise UsageError(f"an image of shape {image.shape} has more than one byte per pixel")
    height, width = image.shape[-2:]
    if not (0 <= row < height and 0 <= col < width):
        raise UsageError(f"pixel ({row}, {col}) lies outside an image of {height} x {width}")
    neighbour = image.copy()
    neighbour[..., row, col] ^= 1
    return neighbour


def neighbours(image: ByteArray) -> Iterator[tuple[tuple[int, int], ByteArray]]:
    """Every image that differs from `image` in the last bit of one pixel, with that pixel."""
    for row in range(image.shape[-2]):
        for col in range(image.shape[-1]):
            yield (row, col), flip_last_bit(image, row, col)
