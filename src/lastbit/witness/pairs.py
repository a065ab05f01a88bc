"""Two images that differ by a move of a question: whether they do, and where."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import ImageArray
from lastbit_check.network import Shape
from lastbit_check.question import ITS_LAST_BIT, Question
from lastbit_check.verdict import Rejected


def told_by_pixel(question: Question, shape: Shape) -> bool:
    """Whether an image (C, H, W) and one pixel are a pair: the last bit of one place, one channel.

    Of other questions both images have to be told.
    """
    return question.move == ITS_LAST_BIT and shape[0] == 1


def whole(image: ImageArray) -> ImageArray:
    """An image (H, W) or (C, H, W) with its channels: (C, H, W)."""
    return image if image.ndim == 3 else image[None]


def changed_places(one: ImageArray, other: ImageArray) -> NDArray[np.intp]:
    """The numbers of the places that are not the same, bit for bit."""
    return np.flatnonzero(_bits(one) != _bits(other))


def changed_pixels(one: ImageArray, other: ImageArray) -> list[tuple[int, int]]:
    """(row, column) of the pixels that are not the same, in order."""
    width = one.shape[-1]
    area = one.shape[-2] * width
    pixels = sorted({place % area for place in changed_places(one, other).tolist()})
    return [divmod(pixel, width) for pixel in pixels]


def why_no_pair(one: ImageArray, other: ImageArray, question: Question) -> str:
    """Why two images do not differ by a move of the question; "" if they do.

    Args:
        one: bytes (H, W) or (C, H, W), or float32 where the question has a box.
        other: of the same shape.
        question: what may change.
    """
    shape, move = whole(one).shape, question.move
    try:
        question.fits((shape[0], shape[1], shape[2]))
    except Rejected as error:
        return error.message
    places = changed_places(one, other)
    if not places.size:
        return "the two images are the same"
    cells = question.cells((shape[0], shape[1], shape[2]))
    cell_of = np.full(one.size, -1)
    cell_of[cells] = np.arange(len(cells))[:, None]
    touched = {*cell_of[places].tolist()}
    if -1 in touched:
        return "they differ where nothing may change"
    if len(touched) > move.cells:
        return f"they differ in {len(touched)} places or pixels, not in up to {move.cells}"
    a, b = _bits(one)[places], _bits(other)[places]
    if question.box:
        ends = np.array([*question.box], np.float32)
        inside = all(np.all((v >= ends[0]) & (v <= ends[1])) for v in (one, other))
        right = inside and bool(np.all(a ^ b == 1))
    elif move.by == "bit":
        right = bool(np.all(a ^ b == 1 << move.size))
    else:
        right = bool(np.all(np.abs(a - b) <= question.step))
    return "" if right else "a place does not change by such a move"


def _bits(image: ImageArray) -> NDArray[np.int64]:
    """What is stored (places,)."""
    flat = np.ascontiguousarray(image).reshape(-1)
    return (flat.view(np.uint32) if flat.dtype == np.float32 else flat).astype(np.int64)
