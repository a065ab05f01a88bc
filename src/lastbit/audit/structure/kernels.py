"""Operations of rewritten graphs in float64: convolutions, and numbers in blocks of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
