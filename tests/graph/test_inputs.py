"""Images of bytes and their neighbours."""

import numpy as np
import pytest

from lastbit.errors import UsageError
from lastbit.graph import as_batch, flip_last_bit, neighbours

SHAPE = (1, 2, 3)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (1, 1, 2, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_one_image_in_any_form(shape: tuple[int, ...], dtype: type):
    batch = as_batch(np.full(shape, 255, dtype), SHAPE)
    assert batch.shape == (1, *SHAPE)
    assert batch.dtype == np.uint8
    assert (batch == 255).all()


def test_many_images():
    assert as_batch(np.zeros((5, 2, 3), np.uint8), SHAPE).shape == (5, *SHAPE)
    assert as_batch(np.zeros((5, 1, 2, 3), np.uint8), SHAPE).shape == (5, *SHAPE)
    assert as_batch(np.zeros((0, 2, 3), np.uint8), SHAPE).shape == (0, *SHAPE)
    assert as_batch(np.zeros((5, 3, 2, 2), np.uint8), (3, 2, 2)).shape == (5, 3, 2, 2)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 2), np.uint8), "do not fit"),
        (np.zeros((), np.uint8), "do not fit"),
        (np.zeros((2, 2, 2, 3), np.uint8), "do not fit"),
        (np.zeros((2, 3)), "are not bytes"),
        (np.zeros((2, 3), bool), "are not bytes"),
        (np.full((2, 3), 256), "outside 0..255"),
        (np.full((2, 3), -1), "outside 0..255"),
    ],
)
def test_what_is_no_image(images: np.ndarray, message: str):
    with pytest.raises(UsageError, match=message):
        as_batch(images, SHAPE)


def test_flipping_twice_is_nothing_and_leaves_the_original_alone():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    flipped = flip_last_bit(image, 1, 2)
    assert flipped.tolist() == [[0, 1, 2], [3, 4, 4]]
    assert image[1, 2] == 5
    assert (flip_last_bit(flipped, 1, 2) == image).all()
    assert flip_last_bit(image[None], 0, 0)[0, 0, 0] == 1


@pytest.mark.parametrize("pixel", [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_no_such_pixel(pixel: tuple[int, int]):
    with pytest.raises(UsageError, match="outside"):
        flip_last_bit(np.zeros((2, 3), np.uint8), *pixel)


def test_one_byte_per_pixel():
    with pytest.raises(UsageError, match="more than one byte"):
        flip_last_bit(np.zeros((3, 2, 3), np.uint8), 0, 0)


def test_neighbours_are_all_pixels_once():
    image = np.random.default_rng(0).integers(0, 256, (2, 3), dtype=np.uint8)
    found = dict(neighbours(image))
    assert list(found) == [(row, col) for row in range(2) for col in range(3)]
    for pixel, neighbour in found.items():
        assert np.argwhere(neighbour != image).tolist() == [list(pixel)]
