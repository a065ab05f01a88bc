"""Operations of rewritten graphs in float64: convolutions, and numbers in blocks of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.sums import Float64Array


def convolved(
    x: Float64Array,
    weight: Float64Array,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    groups: int = 1,
) -> Float64Array:
    """A convolution of (N, I, H, W) by weights (O, I / groups, kh, kw), tap by tap.

    Pads that are negative take away.
    """
    outs, ins, high, wide = weight.shape
    top, left, bottom, right = (max(pad, 0) for pad in pads)
    cut = [max(-pad, 0) for pad in pads]
    x = x[:, :, cut[0] : x.shape[2] - cut[2], cut[1] : x.shape[3] - cut[3]]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows = (x.shape[2] - high) // strides[0] + 1
    columns = (x.shape[3] - wide) // strides[1] + 1
    found = np.zeros((len(x), outs, rows, columns))
    grouped = found.reshape(len(x), groups, outs // groups, rows * columns)
    for i in range(high):
        for j in range(wide):
            tap = weight[:, :, i, j].reshape(groups, outs // groups, ins)
            if not tap.any():
                continue
            part = x[:, :, i :: strides[0], j :: strides[1]][:, :, :rows, :columns]
            part = part.reshape(len(x), groups, ins, rows * columns)
            grouped += tap * part if ins == 1 else tap @ part
    return found


def spread(weight: Float64Array, dilations: Sequence[int]) -> Float64Array:
    """Weights (O, I, kh, kw), or images, with zeros between their places: (down, across)."""
    (high, wide), (down, across) = weight.shape[2:], dilations
    found = np.zeros((*weight.shape[:2], (high - 1) * down + 1, (wide - 1) * across + 1))
    found[:, :, ::down, ::across] = weight
    return found


def windows(
    x: Float64Array, sizes: Sequence[int], strides: Sequence[int],
    pads: Sequence[tuple[int, int]], fill: float,
    reduced: Callable[..., Float64Array],
) -> Float64Array:  # fmt: skip
    """What a reduction makes of every window of (...), one size, stride, pair of pads an axis."""
    filled = np.pad(x, pads, constant_values=fill)
    seen: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(filled, tuple(sizes))
    seen = seen[tuple(slice(None, None, step) for step in strides)]
    return reduced(seen, axis=tuple(range(x.ndim, 2 * x.ndim)))


def softmax(z: Float64Array, axis: int) -> Float64Array:
    """Exponentials of the differences from the largest, divided by their sum."""
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def without_blocks(x: np.ndarray, block: int) -> np.ndarray:
    """What lies as [N][C / block][H][W][block], under the shape (N, C, H, W), in that order."""
    n, c, h, w = x.shape
    return x.reshape(n, c // block, h, w, block).transpose(0, 1, 4, 2, 3).reshape(n, c, h, w)


def filter_without_blocks(w: np.ndarray, block: int) -> np.ndarray:
    """Weights of a convolution on blocks, (O, I, kh, kw) in that order.

    They lie as [O / block][I / block][kh][kw][block][block], the channel that is read first; where
    less than a block of channels is read, as [O / block][I][kh][kw][block].
    """
    outs, ins, high, wide = w.shape
    if ins % block:
        split = w.reshape(outs // block, ins, high, wide, block)
        return split.transpose(0, 4, 1, 2, 3).reshape(w.shape)
    split = w.reshape(outs // block, ins // block, high, wide, block, block)
    return split.transpose(0, 5, 1, 4, 2, 3).reshape(w.shape)
