"""The inputs: images of bytes, or of float32 numbers, and the neighbours of an image."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.errors import UsageError
from lastbit.operators.base import Float32Array, Shape
from lastbit_check.question import LAST_BIT, Box, Question

ByteArray = NDArray[np.uint8]
ImageArray = NDArray[Any]
"""uint8, or float32 where a question is about such numbers."""


def as_batch(images: ArrayLike, shape: Shape, question: Question = LAST_BIT) -> ImageArray:
    """`images` as uint8 (N, C, H, W), or as float32 where the question is about such numbers.

    Args:
        images: integers 0..255, (H, W) or (C, H, W) for one image, (N, H, W) where C is 1, or
            (N, C, H, W); or numbers of binary32.
        shape: (C, H, W) of the network's input.
        question: what the network's inputs are.

    Raises:
        UsageError: another shape, another kind of number, or a value that is no byte, or outside of
            the question's box.
    """
    values = np.asarray(images)
    channels, height, width = shape
    allowed = [(height, width), (channels, height, width)] if channels == 1 else [shape]
    if values.shape not in allowed and values.shape[1:] not in allowed:
        raise UsageError(
            f"images of shape {values.shape} do not fit a network that reads {shape}",
            fix=f"pass an array of shape (N, {channels}, {height}, {width})",
        )
    values = _numbers(values, question.box) if question.box else _bytes(values)
    return np.ascontiguousarray(values).reshape(-1, channels, height, width)


def _bytes(values: NDArray[Any]) -> ImageArray:
    if values.dtype.kind not in "ui":
        raise UsageError(
            f"images of type {values.dtype} are not bytes",
            fix="pass unsigned 8-bit integers; the network itself divides by 255",
        )
    if values.size and (values.min() < 0 or values.max() > 255):
        raise UsageError("an image holds values outside 0..255", fix="pass bytes")
    return values.astype(np.uint8)


def _numbers(values: NDArray[Any], box: Box) -> ImageArray:
    if values.dtype != np.float32:
        raise UsageError(f"images of type {values.dtype} are not float32", fix="pass float32")
    if not np.all((values >= box.low) & (values <= box.high)):
        raise UsageError(
            f"an image holds numbers outside {box.low:g} to {box.high:g}",
            fix="say with --box between which numbers the model's inputs are",
        )
    return values


def pixels(images: ImageArray, question: Question) -> Float32Array:
    """What the network reads (N, C, H, W), in float32: each step of the question's rounds once."""
    x = images.astype(np.float32)
    made = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
    for step in question.pixels:
        by = np.array(step.constants, np.float32).reshape(1, -1, 1, 1)
        x = made[step.op](x, by)
    return x


def between(grey: NDArray[Any], question: Question) -> ImageArray:
    """Grey levels 0..255 as inputs: bytes, or as far between the ends of the question's box."""
    if not question.box:
        return grey.astype(np.uint8)
    low, high = question.box
    return np.clip(low + grey * ((high - low) / 255), low, high).astype(np.float32)


def flip_last_bit(image: ImageArray, row: int, col: int) -> ImageArray:
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
    bits = neighbour.view(np.uint32) if image.dtype == np.float32 else neighbour
    bits[..., row, col] ^= 1
    return neighbour


def neighbours(image: ImageArray) -> Iterator[tuple[tuple[int, int], ImageArray]]:
    """Every image that differs from `image` in the last bit of one pixel, with that pixel."""
    for row in range(image.shape[-2]):
        for col in range(image.shape[-1]):
            yield (row, col), flip_last_bit(image, row, col)
