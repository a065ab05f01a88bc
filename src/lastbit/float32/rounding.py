"""Single operations in binary32, with or without flush-to-zero.

NumPy rounds each float32 operation to nearest, ties to even, and keeps subnormals. With
`flush_to_zero`, subnormal operands and results become zeros of their sign, as on processors in
that mode. Overflow gives infinities and NaN silently: that none occurs is for a theorem to say.
"""

from dataclasses import dataclass

import numpy as np

from lastbit.graph import Float32Array

SMALLEST_NORMAL = np.float32(2.0**-126)


@dataclass(frozen=True)
class Arithmetic:
    """How every operation of one execution rounds."""

    flush_to_zero: bool = False

    def flush(self, x: Float32Array) -> Float32Array:
        """`x` as this arithmetic sees it."""
        if not self.flush_to_zero:
            return x
        return np.where(np.abs(x) < SMALLEST_NORMAL, np.copysign(np.float32(0), x), x)

    def add(self, x: Float32Array, y: Float32Array) -> Float32Array:
        return self.flush(self.flush(x) + self.flush(y))

    def subtract(self, x: Float32Array, y: Float32Array) -> Float32Array:
        return self.flush(self.flush(x) - self.flush(y))

    def multiply(self, x: Float32Array, y: Float32Array) -> Float32Array:
        return self.flush(self.flush(x) * self.flush(y))

    def divide(self, x: Float32Array, y: Float32Array) -> Float32Array:
        return self.flush(self.flush(x) / self.flush(y))

    def sqrt(self, x: Float32Array) -> Float32Array:
        return self.flush(np.sqrt(self.flush(x)))
