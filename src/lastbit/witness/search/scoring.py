"""How far the answer moves for many pairs of images at once, in float64.

float64 keeps the noise of rounding out of comparisons, so that the search climbs what every runtime
will show. Only replay says what that is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lastbit.graph import ByteArray, ImageArray, Network, flip_last_bit
from lastbit.runtimes.torch_network import TorchNetwork

BATCH = 256

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair of images: `image` is (H, W), `pixel` an index into its H * W numbers.

    `score` is the change of the probability of `class_index` in float64.
    """

    image: ImageArray
    pixel: int
    class_index: int
    score: float

    @classmethod
    def of(cls, image: ByteArray, pixel: int, changes: Float64Array) -> "Candidate":
        """With the class that moves most, of the changes (classes,)."""
        class_index = int(changes.argmax())
        return cls(image.copy(), pixel, class_index, float(changes[class_index]))

    @property
    def position(self) -> tuple[int, int]:
        """(row, column) of the pixel."""
        row, col = divmod(self.pixel, self.image.shape[1])
        return row, col

    @property
    def other(self) -> ImageArray:
        """The second image (H, W)."""
        return flip_last_bit(self.image, *self.position)


class Scorer:
    """The network in float64. Images are bytes (N, H, W), pixels indices (N,) into H * W."""

    def __init__(self, network: Network) -> None:
        self._network = TorchNetwork(network, torch.float64)

    def changes(self, images: ByteArray, pixels: IntArray) -> Float64Array:
        """|change of each class's probability| (N, classes), 0 where it is not a number."""
        flipped = images.copy()
        flat = flipped.reshape(len(images), -1)
        flat[np.arange(len(images)), pixels] ^= 1
        moved = self._probabilities(np.concatenate([images, flipped]))
        return _finite(np.abs(moved[len(images) :] - moved[: len(images)]))

    def all_pixels(
        self, image: ByteArray, lasts: Callable[[], bool] = lambda: True
    ) -> Float64Array:
        """The same (H * W, classes) for every pixel of one image (H, W).

        It ends early, after some hundred pixels at least, where `lasts` says so: the others are 0.
        """
        flipped = np.repeat(image[None], image.size, 0)
        flat = flipped.reshape(image.size, -1)
        flat[np.arange(image.size), np.arange(image.size)] ^= 1
        before, parts = self._probabilities(image[None]), list[Float64Array]()
        for i in range(0, len(flipped), BATCH):
            if parts and not lasts():
                parts.append(np.repeat(before, len(flipped) - i, 0))
                break
            parts.append(self._probabilities(flipped[i : i + BATCH]))
        return _finite(np.abs(np.concatenate(parts) - before))

    def candidate(self, image: ByteArray, pixel: int) -> Candidate:
        """The pair with the class that moves most."""
        return Candidate.of(image, pixel, self.changes(image[None], np.array([pixel]))[0])

    def over_pixels(self, image: ByteArray, lasts: Callable[[], bool] = lambda: True) -> Candidate:
        """The best pixel and class for one image, of those there was time for."""
        changes = self.all_pixels(image, lasts)
        pixel = int(changes.max(1).argmax())
        return Candidate.of(image, pixel, changes[pixel])

    def _probabilities(self, images: ByteArray) -> Float64Array:
        with torch.inference_mode():
            pixels = torch.from_numpy(images).unsqueeze(1)
            parts = [self._network.probabilities(part.double()) for part in pixels.split(BATCH)]
        return torch.cat(parts).numpy()


def best_of(images: ByteArray, pixels: IntArray, changes: Float64Array) -> Candidate:
    """The best of N pairs, given the changes (N, classes)."""
    row = int(changes.max(1).argmax())
    return Candidate.of(images[row], int(pixels[row]), changes[row])


def _finite(changes: Float64Array) -> Float64Array:
    return np.where(np.isfinite(changes), changes, 0.0)
