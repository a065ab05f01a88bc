"""Spectral norms of at most 1, in integers: c 1 - X X^T = L L^T + E, E diagonally dominant."""

import math
from typing import cast

import numpy as np

from lastbit_check.exact import Ints
from lastbit_check.verdict import require

BITS = 25  # of an entry of X: products of two rows are exact below 2^53
CLOSE = 1 + 2.0**-30  # more than float64 arithmetic on positive numbers can be off by here


def contracts(x: Ints) -> None:
    """Rule norm.spectral: |X|_2 <= 1 for every X within one unit of the integers x 2^-BITS."""
    rows, columns = x.shape
    unit = 2**BITS
    limit = float((unit - math.isqrt(rows * columns) - 1) ** 2)
    require(bool(np.max(np.sum(x * x, axis=1)) < limit), "norm.spectral", "a row is too long")
    one: Ints = np.eye(rows)
    gap: Ints = limit * one - x @ x.T
    try:
        factor = cast("Ints", np.linalg.cholesky(gap - 2.0 * unit * rows * one))
    except np.linalg.LinAlgError:
        factor = 0 * one
    factor = np.rint(factor)
    short = bool(np.max(np.sum(factor * factor, axis=1)) < 2.0**52)
    require(short, "norm.spectral", "a factor is too large")
    left: Ints = gap - factor @ factor.T
    own = np.sum(left * one, axis=1)
    others: Ints = np.sum(np.abs(left), axis=1) - np.abs(own)
    require(bool(np.all(own >= others * CLOSE)), "norm.spectral", "the norm may exceed 1")
