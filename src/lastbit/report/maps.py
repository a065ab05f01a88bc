"""Numbers by place, as a picture has them: one number for each row and column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lastbit.report.contents import Map

WIDE = 28
"""Columns of the map of a vector."""
MOST_CELLS = 64
"""Rows or columns of a map; of larger inputs, blocks are drawn."""


def map_of(title: str, kind: str, values: Sequence[float], shape: tuple[int, ...]) -> Map:
    """A map of the input's places (C, H, W), of which there are as many as values, or (H, W).

    Of several channels, and of the places of a block, the largest number is drawn; a vector is
    drawn in rows.
    """
    height, width = shape[-2:]
    grid = np.array(values, np.float64)
    if height * width == 1:
        height, width = -(-grid.size // WIDE), min(WIDE, grid.size)
        padded = np.full(height * width, np.nan)
        padded[: grid.size] = grid
        return Map(title, kind, padded.reshape(height, width))
    grid = grid.reshape(-1, height, width).max(axis=0)
    block = math.ceil(max(height, width) / MOST_CELLS)
    rows, columns = -(-height // block), -(-width // block)
    padded = np.full((rows * block, columns * block), -np.inf)
    padded[:height, :width] = grid
    parts = padded.reshape(rows, block, columns, block)
    return Map(title, kind, parts.max(axis=(1, 3)), block)
