"""Where a search starts: images of many kinds, and variations on the best ones so far."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from lastbit.graph import ByteArray
from lastbit.witness.search.scoring import Candidate

T = TypeVar("T")

SHIFT = 2
"""Images are moved by multiples of this many pixels: a strided first layer then sees the same."""


def fresh(
    random: np.random.Generator, count: int, shape: tuple[int, int], images: ByteArray | None
) -> ByteArray:
    """Images (count, H, W), each of a kind chosen at random; `images` (N, H, W) are drawn from."""
    kinds = [_bytes, _extremes, _smooth]
    if images is not None and len(images):
        drawn = images

        def example() -> ByteArray:
            return drawn[int(random.integers(len(drawn)))]

        kinds += [
            lambda *_: example().copy(),
            lambda *_: _blend(random, example(), example()),
            lambda *_: np.where(random.random(shape) < 0.2, _bytes(random, shape), example()),
        ]
    chosen = random.integers(len(kinds), size=count)
    return np.stack([kinds[kind](random, shape) for kind in chosen]).astype(np.uint8)


def varied(
    random: np.random.Generator, count: int, best: Sequence[Candidate]
) -> tuple[ByteArray, np.ndarray]:
    """Images (count, H, W) and pixels (count,): the best ones moved, mixed and disturbed."""
    made = [
        _any(random, _VARIATIONS)(random, _any(random, best), _any(random, best))
        for _ in range(count)
    ]
    return np.stack([image for image, _ in made]), np.array([pixel for _, pixel in made])


def _any(random: np.random.Generator, things: Sequence[T]) -> T:
    return things[int(random.integers(len(things)))]


def _bytes(random: np.random.Generator, shape: tuple[int, int]) -> ByteArray:
    return random.integers(0, 256, shape, dtype=np.uint8)


def _extremes(random: np.random.Generator, shape: tuple[int, int]) -> ByteArray:
    """Only 0 and 255, each image with its own share of them."""
    return np.where(random.random(shape) < random.random(), 255, 0).astype(np.uint8)


def _smooth(random: np.random.Generator, shape: tuple[int, int]) -> ByteArray:
    """Coarse noise: squares of 4 x 4 of one value."""
    rows, cols = -(-shape[0] // 4), -(-shape[1] // 4)
    coarse = random.integers(0, 256, (rows, cols), dtype=np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)[: shape[0], : shape[1]]


def _blend(random: np.random.Generator, one: ByteArray, other: ByteArray) -> ByteArray:
    share = random.random()
    return np.rint(share * one + (1 - share) * other).astype(np.uint8)


def _moved(random: np.random.Generator, one: Candidate, _: Candidate) -> tuple[ByteArray, int]:
    """The whole image moved, with the pixel; what leaves on one side comes in on the other."""
    height, width = one.image.shape
    row, col = one.position
    down = SHIFT * int(random.integers(0, max(1, height // SHIFT)))
    right = SHIFT * int(random.integers(0, max(1, width // SHIFT)))
    image = np.roll(one.image, (down, right), (0, 1))
    return image, (row + down) % height * width + (col + right) % width


def _mixed(random: np.random.Generator, one: Candidate, other: Candidate) -> tuple[ByteArray, int]:
    """The surroundings of one's pixel, and the other's image elsewhere."""
    height, width = one.image.shape
    row, col = one.position
    reach = int(random.integers(2, 8))
    near = (abs(np.arange(height) - row) <= reach)[:, None] & (abs(np.arange(width) - col) <= reach)
    return np.where(near, one.image, other.image), one.pixel


def _disturbed(random: np.random.Generator, one: Candidate, _: Candidate) -> tuple[ByteArray, int]:
    """Some bytes of it at random."""
    noise = _bytes(random, one.image.shape)
    return np.where(random.random(one.image.shape) < 0.3, noise, one.image), one.pixel


_VARIATIONS = (_moved, _mixed, _disturbed)
