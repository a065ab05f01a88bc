"""Convolution as sums of products: which inputs each output reads, in the order of the weights."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import Linear

Real = TypeVar("Real", bound=np.floating)


def patches(x: NDArray[Real], node: Linear) -> NDArray[Real]:
    """What each output reads: x (C, H, W) to (group, terms, outputs of one channel).

    The terms come in the order (channel, row, column) of the weights. Padding is an exact zero.
    """
    top, left, bottom, right = node.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    kernel = node.weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    windows = windows[:, :: node.strides[0], :: node.strides[1]]
    columns = windows.transpose(0, 3, 4, 1, 2)
    terms = node.weight.shape[1] * kernel[0] * kernel[1]
    return np.ascontiguousarray(columns).reshape(node.group, terms, -1)


def grouped_weight(node: Linear) -> NDArray[np.float32]:
    """The weights as (group, output channels of a group, terms)."""
    outputs = len(node.weight)
    return node.weight.reshape(node.group, outputs // node.group, -1)
