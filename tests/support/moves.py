"""Pairs of images that a question's move leads between: at random, or the worst for a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.question import Question

Image = NDArray[Any]


def neighbour(image: Image, question: Question, seed: int, cells: list[int] | None = None) -> Image:
    """An image (C, H, W) that differs in as many cells as may, or in these, by the farthest moves.

    In each sense at random, and within the bytes; nothing here is taken from what is tested.
    """
    random, move, other = np.random.default_rng(seed), question.move, image.copy()
    together = image.shape[0] if move.channels == "all" else 1
    every = np.arange(image.size).reshape(together, -1).T
    allowed = [k for first, end in move.mask for k in range(first, end)] or range(len(every))
    some = random.choice(allowed, move.cells, replace=False).tolist() if cells is None else cells
    assert {*some} <= {*allowed} and len(some) <= move.cells
    flat = other.reshape(-1)
    for place in every[some].ravel().tolist():
        flat[place] = _moved(int(flat[place]), question, int(random.choice([-1, 1])))
    return other


def _moved(byte: int, question: Question, sign: int) -> int:
    move = question.move
    if move.by == "bit":
        return byte ^ (1 << move.size)
    assert move.by == "levels"
    return min(255, max(0, byte + sign * move.size))
