"""Linear nodes in float64: the map, its transpose, its absolute value. For hints, not for proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastbit.graph.network import Affine, Linear, Mean, Shape

Float64Array = NDArray[np.float64]
LinearNode = Affine | Linear | Mean


class LinearMap:
    """weight (O, I / groups, kh, kw) and bias (O,) of a linear node, batch norm folded.

    Arrays that it maps are (C, H, W, K): K vectors side by side.
    """

    def __init__(self, node: LinearNode, source: Shape) -> None:
        self.node, self.source, self.shape = node, source, node.shape
        self.strides, self.pads, self.groups = (1, 1), (0, 0, 0, 0), source[0]
        channels = source[0]
        ones = np.ones((channels, 1, 1, 1))
        self.bias = np.zeros(node.shape[0])
        match node:
            case Affine(kind="div"):
                self.weight = ones / node.constant.astype(np.float64)[:, None, None, None]
            case Affine(kind="mul"):
                self.weight = ones * node.constant.astype(np.float64)[:, None, None, None]
            case Affine():
                self.weight = ones
                self.bias = node.constant * (1.0 if node.kind == "add" else -1.0)
            case Mean():
                count = source[1] * source[2]
                self.weight = np.full((channels, 1, *source[1:]), 1.0 / count)
            case Linear():
                self.weight, self.bias = _folded(node)
                self.strides, self.pads, self.groups = node.strides, node.pads, node.group

    def __call__(self, x: Float64Array, *, absolute: bool = False) -> Float64Array:
        """The map without bias; with ``absolute`` its elementwise absolute value."""
        weight = np.abs(self.weight) if absolute else self.weight
        top, left, bottom, right = self.pads
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        out = np.zeros((*self.shape, x.shape[3]))
        grouped = out.reshape(self.groups, -1, self.shape[1] * self.shape[2] * x.shape[3])
        for i, j, part in self._taps(padded):
            tap = weight[:, :, i, j].reshape(self.groups, -1, weight.shape[1])
            if tap.any():
                grouped += tap @ part.reshape(self.groups, weight.shape[1], -1)
        return out

    def transposed(self, a: Float64Array) -> Float64Array:
        """The adjoint map, (O, Ho, Wo, K) -> (I, H, W, K)."""
        channels, height, width = self.source
        top, left, bottom, right = self.pads
        out = np.zeros((channels, height + top + bottom, width + left + right, a.shape[3]))
        flat = a.reshape(self.groups, -1, a[0].size)
        for i, j, part in self._taps(out):
            tap = self.weight[:, :, i, j].reshape(self.groups, -1, self.weight.shape[1])
            part += (tap.transpose(0, 2, 1) @ flat).reshape(part.shape)
        return out[:, top : top + height, left : left + width]

    def _taps(self, x: Float64Array) -> list[tuple[int, int, Float64Array]]:
        _, height, width = self.shape
        sh, sw = self.strides
        return [
            (i, j, x[:, i : i + sh * height : sh, j : j + sw * width : sw][:, :height, :width])
            for i in range(self.weight.shape[2])
            for j in range(self.weight.shape[3])
        ]


def _folded(node: Linear) -> tuple[Float64Array, Float64Array]:
    weight, bias = node.weight.astype(np.float64), node.bias.astype(np.float64)
    if node.bn is None:
        return weight, bias
    bn = node.bn
    scale = bn.gamma / np.sqrt(bn.variance.astype(np.float64) + bn.epsilon)
    return weight * scale[:, None, None, None], (bias - bn.mean) * scale + bn.beta
