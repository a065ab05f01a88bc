"""A patch of an image around the pixel whose last bit flips."""

from dataclasses import dataclass

import numpy as np

from lastbit.errors import UsageError
from lastbit.graph import ByteArray


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of bytes, and how far it lets one bit move the difference of two logits.

    Attributes:
        pixel: (row, column) of the flipped bit, in the image.
        classes: (c, j), the two classes.
        corner: (row, column) of the image where the rectangle begins.
        values: uint8 (h, w), all of it in the image.
        change: |change of logit_c - logit_j| in real arithmetic; for a patch that is handed in, any
            number.
    """

    pixel: tuple[int, int]
    classes: tuple[int, int]
    corner: tuple[int, int]
    values: ByteArray
    change: float = 0.0

    @property
    def limit(self) -> float:
        """The most that a change of so much can move a probability: tanh(change / 4)."""
        return float(np.tanh(self.change / 4))

    def pasted(self, images: ByteArray) -> ByteArray:
        """Copies of images (..., H, W) with the patch in its place.

        Raises:
            UsageError: the patch or its pixel lies outside them.
        """
        images = images.copy()
        (top, left), (height, width) = self.corner, self.values.shape
        inside = 0 <= top <= images.shape[-2] - height and 0 <= left <= images.shape[-1] - width
        row, col = self.pixel[0] - top, self.pixel[1] - left
        if not (inside and 0 <= row < height and 0 <= col < width):
            raise UsageError(
                f"a patch of {height} x {width} at ({top}, {left}) with the pixel {self.pixel} "
                f"does not fit an image of {images.shape[-2]} x {images.shape[-1]}",
                fix="give the part of the patch that is in the image, and a pixel of it",
            )
        images[..., top : top + height, left : left + width] = self.values
        return images
