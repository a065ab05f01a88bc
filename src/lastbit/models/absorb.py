"""The first two layers of `zero`, which let no last bit through, as exact numbers.

The stem has one tap per channel, at one of the four places of a 2 x 2 square of pixels, and a bias
B = 2^-28 + ulp, whose spacing of binary32 numbers is q = 2^-51. A byte v adds 127 q v / 255: both
bytes of a pair 2k, 2k + 1 come within q/2 - q/510 of B + k q, so that this is what any rounding
within one half of a spacing returns. There silu(z) is z/2 to the last bit, and the depthwise layer,
one tap too, takes B/2 away again: nothing is lost, because both its terms lie on one grid of
24 bits. Channel c of the eight with the same tap gets GAINS[c] (k - THRESHOLDS[c]) / 128.
"""

import numpy as np
from numpy.typing import NDArray

from lastbit.models.efficientnet import STEM_CHANNELS

Float32Array = NDArray[np.float32]

SPACING = 2.0**-51
BIAS = 2.0**-28 + SPACING
LEVELS = 128
TAPS = ((1, 1), (1, 2), (2, 1), (2, 2))
GAINS = (4, 4, 4, 4, -4, -4, -4, -4)
THRESHOLDS = (16, 48, 80, 112, 16, 48, 80, 112)


def stem() -> tuple[Float32Array, Float32Array]:
    """Weight (32, 1, 3, 3) and bias (32,)."""
    weight = np.zeros((STEM_CHANNELS, 1, 3, 3))
    for channel in range(STEM_CHANNELS):
        weight[channel, 0, *TAPS[channel // len(GAINS)]] = (LEVELS - 1) * SPACING
    return _exact(weight), _exact(np.full(STEM_CHANNELS, BIAS))


def depthwise() -> tuple[Float32Array, Float32Array]:
    """Weight (32, 1, 3, 3) and bias (32,) of the layer that reads silu(stem) = stem / 2."""
    gains = np.tile(np.array(GAINS), len(TAPS)) / (LEVELS * SPACING / 2)
    weight = np.zeros((STEM_CHANNELS, 1, 3, 3))
    weight[:, 0, 1, 1] = gains
    thresholds = np.tile(np.array(THRESHOLDS), len(TAPS))
    return _exact(weight), _exact(-gains * (BIAS + thresholds * SPACING) / 2)


def _exact(values: NDArray[np.float64]) -> Float32Array:
    narrow = values.astype(np.float32)
    assert np.array_equal(narrow, values)
    return narrow
