"""Sigmoid and exp: one instance each, as accurate as float32 allows.

Runtimes differ here, so that the statement assumes only an error bound; tests replace these
functions by ones that use the bound up.
"""

from collections.abc import Callable

import numpy as np

from lastbit.graph import Float32Array

Function = Callable[[Float32Array], Float32Array]
"""Elementwise, float32 to float32 of the same shape."""


def correctly_rounded_sigmoid(z: Float32Array) -> Float32Array:
    """1 / (1 + exp(-z)), computed in float64 and rounded once more."""
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-z.astype(np.float64)))).astype(np.float32)


def correctly_rounded_exp(z: Float32Array) -> Float32Array:
    """Compute exp(z) in float64 and rounded once more."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(z.astype(np.float64)).astype(np.float32)
