"""What deviations are made of: columns in groups, and one ellipsoid for many of them.

A block of columns X (units, G k) has G groups of k columns each; it stands for all X z with
|z_g| <= 1 for the 2-norm of each group's part of z, of which up to ``few`` groups are not 0, or
with |z| <= ``each``, if that is said. No unit deviates by more than the sum over the groups, or
over the few largest, of the 2-norms of its part of the row, nor by more than |row| ``each``.

Map: ellipsoids; argued in PROOF.md 6
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from lastbit_check.around.binary64 import F64, SURE, TINY_SINGLE, V, gamma, upper
from lastbit_check.network import F32
from lastbit_check.verdict import require

LEAST, LARGEST = 2.0**-300, 2.0**200
ROWS = 64  # that are looked at at a time
WIDER = 2.0**-24  # by which an ellipsoid is widened, of its own extent along each axis


@dataclass(frozen=True)
class Block:
    """Columns (units, groups * k) in binary32; how many make a group, how many groups may be."""

    x: F32
    k: int
    few: int | None = None
    each: F64 | None = None

    def on(self, x: F32) -> Block:
        """The same groups with other columns."""
        return replace(self, x=x)

    @cached_property
    def radius(self) -> F64:
        """Upper bound of how far each unit deviates (units,)."""
        return self._largest(self.x)

    def along(self, directions: F64) -> F64:
        """Upper bound of |d^T X z| for directions (units, P)."""
        return self._largest(directions.T @ self.x.astype(np.float64))

    def _largest(self, rows: F32 | F64) -> F64:
        pieces = range(0, len(rows), ROWS)
        found = [self._sizes(rows[start : start + ROWS].astype(np.float64)) for start in pieces]
        return upper(np.concatenate(found))

    def _sizes(self, rows: F64) -> F64:
        if self.k == 1:
            sizes = np.abs(rows)
        else:
            grouped = rows.reshape(len(rows), -1, self.k)
            sizes = np.sqrt(np.einsum("ugk,ugk->ug", grouped, grouped))
        if self.few is not None and self.few < sizes.shape[1]:
            sizes = np.partition(sizes, -self.few, axis=1)[:, -self.few :]
        found = np.sum(sizes, axis=1)
        return found if self.each is None else np.minimum(found, np.abs(rows) @ self.each)


def ellipsoid(columns: F64, k: int = 1, scale: F64 | None = None) -> F64:
    """L (n, n) such that {L z: |z| <= 1} holds what columns (n, groups * k) stand for.

    For any w > 0 with sum w <= 1, (sum_g d^T X_g z_g)^2 <= sum_g |d^T X_g|^2 / w_g if |z_g| <= 1
    (Cauchy-Schwarz), so L L^T >= S = sum_g X_g X_g^T / w_g is enough; w is taken in the ratio of
    the groups' lengths, of rows times ``scale``. With the rows scaled so that S has the diagonal 1,
    L is the Cholesky factor of S + WIDER I, and it is verified: L L^T - S - WIDER I has no row
    whose magnitudes add up to more than half of WIDER (so no eigenvalue below it), rounding
    included, which is what ``lost`` bounds: rows of S are products of rows of length 1 with m
    columns, those of L L^T with n, so that no entry of their difference is off by more than
    1.25 (m + n + 8) v, in whatever order it is summed (Higham, section 3.1).
    """
    n = len(columns)
    require(np.all(np.abs(columns) < LARGEST), "around.ellipsoid", "columns out of range")
    measured = columns if scale is None else columns * scale[:, None]
    squares = np.sum(measured * measured, axis=0)
    lengths = np.sqrt(np.sum(squares.reshape(-1, k), axis=1))
    kept = lengths > 0
    if not np.any(kept):
        return np.zeros((n, n))
    lengths = lengths[kept]
    x = columns[:, kept.repeat(k)]
    weighted = x * (np.sqrt(np.sum(lengths) * SURE / lengths) * SURE).repeat(k)
    extent = np.sqrt(np.sum(weighted * weighted, axis=1))
    extent += np.max(extent) * 2.0**-60
    scaled = weighted / extent[:, None]
    s = scaled @ scaled.T
    factor = cast("F64", np.linalg.cholesky(s + WIDER * np.eye(n)))
    lost = 1.25 * n * (x.shape[1] + n + 8) * V
    off = np.sum(np.abs(factor @ factor.T - s - WIDER * np.eye(n)), axis=1)
    require(np.all(off + lost <= WIDER / 2), "around.ellipsoid", "its factor is too far off")
    return factor * (extent * SURE)[:, None]


def places_apart(columns: Sequence[F64], own: F64) -> tuple[Block, F64]:
    """One ellipsoid for each place, of what sums make there of numbers in a box.

    Besides, what each unit (C H W,) loses as the columns are rounded to binary32.

    ``columns`` are weights (C, I) times half widths (I, H W), of ``own`` (C, H W) each unit has its
    own: units of different places share none of them.
    """
    channels, places = own.shape
    found = np.zeros((channels * places, channels * places))
    for place in range(places):
        held = [*(x[:, :, place] for x in columns), np.diag(own[:, place])]
        at = slice(place * channels, (place + 1) * channels)
        found[place::places, at] = ellipsoid(np.concatenate(held, axis=1))
    return single(found, channels, np.zeros(len(found)))


def each_apart(box: F64) -> tuple[Block, F64]:
    """A column for each unit, of its own box (units,), and what is lost of it."""
    return single(np.diag(box), 1, np.zeros(len(box)))


def merged(blocks: Sequence[Block], box: F64) -> tuple[Block, F64]:
    """One ellipsoid for all that blocks stand for, and each unit's box with what is lost.

    Each block becomes one first; so the factors of their sum have few columns.
    """
    n = len(box)
    scale = 1 / np.maximum(sum(block.radius for block in blocks), LEAST)
    each = [ellipsoid(block.x.astype(np.float64), block.k, scale) for block in blocks]
    return single(ellipsoid(np.concatenate(each, axis=1), n, scale), n, box)


def together(block: Block, box: F64, weight: F64) -> float:
    """Upper bound of sum_k (weight_k D_k)^2 if D = X z + b with one group z, and |b| <= box.

    It is no more than (sigma + |weight box|)^2, with sigma^2 the largest eigenvalue of G = N^T N or
    of N N^T, N = weight X: at most the square root of the Frobenius norm of G^2. What float64 loses
    of a product of matrices of n terms is below n v times the product of their Frobenius norms
    (Higham, section 3.5), and binary32's rows are exact in float64.
    """
    n = block.x.astype(np.float64) * weight[:, None]
    g = n.T @ n if n.shape[1] < n.shape[0] else n @ n.T
    lost = gamma(max(n.shape)) * float(np.sum(n * n))
    square = g @ g
    fourth = math.sqrt(float(np.sum(square * square))) + gamma(len(g)) * float(np.sum(g * g))
    sigma = math.sqrt((math.sqrt(fourth) + lost) * SURE)
    return (sigma + math.sqrt(float(np.sum((weight * box) ** 2)))) ** 2 * SURE


def single(columns: F64, k: int, box: F64) -> tuple[Block, F64]:
    """A block in binary32: each unit's row is off by 2^-24 of its length at most."""
    block = Block(columns.astype(np.float32), k)
    return block, upper(box + block.radius * 2.0**-23 + TINY_SINGLE)
