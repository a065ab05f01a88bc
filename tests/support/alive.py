"""Small networks with all of their nonlinearity at work, whose layers have gain 1 by construction.

A tensor of the file is a variable of gain 1 times a number that the next weights take back, so that
SiLUs are read where they bend and shortcuts weigh less than they add. ``T`` is the temperature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder

F64 = NDArray[np.float64]
STEEPEST = 1.0998
MIDDLE = 1.6  # where SiLUs are read, about


class AliveNetwork:
    """Stem, blocks as in EfficientNet, head. `b` holds the finished model."""

    def __init__(
        self, seed: int, *, side: int = 10, width: int = 6, blocks: int = 3, expand: int = 2,
        terms: int = 0, temperature: float = 60.0, shortcut: float = 0.2, squeeze: float = 0.02,
        classes: int = 4,
    ) -> None:  # fmt: skip
        self.random, self.b = np.random.default_rng(seed), OnnxBuilder()
        self.terms, self.shortcut, self.squeeze, b = terms, shortcut, squeeze, self.b
        self.images = self.random.integers(0, 256, (6, 1, side, side)).astype(float) / 255
        x, values, scale = b.div(b.input_bytes((1, side, side)), 255), self.images, 1.0
        stem = self.random.normal(size=(width, 1, 3, 3))
        phases = [np.sum(stem[:, :, a::2, c::2] ** 2) for a in (0, 1) for c in (0, 1)]
        x, values, scale = self._active(x, values, scale, stem / np.sqrt(max(phases)), 2, 1)
        for k in range(blocks):
            x, values, scale = self._block(x, values, scale, width, expand, 2 if k == 1 else 1)
        x, values, scale = self._active(x, values, scale, self._dense(2 * width, width))
        x, values = b.mean(x), values.mean(axis=(2, 3))
        places = np.sqrt(self._places)
        last = self.random.normal(size=(classes, 2 * width))
        apart = np.linalg.norm(last[:, None] - last, axis=2).max()
        last *= temperature * places / (scale * apart)
        b.softmax(b.dense(x, last, -np.mean(values @ last.T, axis=0)))

    def _block(
        self, x: str, values: F64, scale: float, width: int, expand: int, stride: int
    ) -> tuple[str, F64, float]:
        b, inner = self.b, expand * width
        y, v, a = self._active(x, values, scale, self._dense(inner, width))
        kernel = self.random.normal(size=(inner, 1, 3, 3)) * 0.15
        kernel[:, :, 1, 1] += 1
        kernel /= transform_peak(kernel, stride)[:, None, None, None]
        y, v, a = self._active(y, v, a, kernel, stride, inner)
        y, v = self._squeezed(y, v, a, inner)
        g = self.shortcut
        rate = scale * g / (1 - g) if stride == 1 else 1.0
        weight = self._dense(width, inner) * rate / a
        y, v = b.conv(y, weight[:, :, None, None]), np.einsum("oi,nihw->nohw", weight, v)
        if stride > 1:
            return y, v, rate
        return b.add(y, x), v + values, scale / (1 - g)

    def _squeezed(self, x: str, values: F64, scale: float, channels: int) -> tuple[str, F64]:
        b, few = self.b, max(2, channels // 4)
        one = self._dense(few, channels) * self.squeeze / scale
        two = self._dense(channels, few)
        s = b.silu(b.conv(b.mean(x), one[:, :, None, None], np.zeros(few)))
        inner = values.mean(axis=(2, 3)) @ one.T
        z = (inner / (1 + np.exp(-inner))) @ two.T
        s = b.sigmoid(b.conv(s, two[:, :, None, None], np.full(channels, 3.0)))
        return b.gate(x, s), values / (1 + np.exp(-z - 3))[:, :, None, None]

    def _active(
        self, x: str, values: F64, scale: float, weight: F64, stride: int = 1, pad: int = 0
    ) -> tuple[str, F64, float]:
        """A layer of gain 1 and a SiLU that is read with deviation 1 about MIDDLE."""
        weight = weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))
        group = len(weight) if weight.shape[1] == 1 and pad > 1 else 1
        made = convolved(values, weight, stride, group) / scale
        rate = 1 / np.std(made - made.mean(axis=(0, 2, 3), keepdims=True))
        bias = MIDDLE - rate * made.mean(axis=(0, 2, 3))
        z = rate * made + bias[:, None, None]
        self._places = z.shape[2] * z.shape[3]
        y = self.b.conv(x, weight * rate / scale, bias, stride=stride,
                        padding=weight.shape[2] // 2, group=group)  # fmt: skip
        return self.b.silu(y), z / (1 + np.exp(-z)), float(rate * STEEPEST)

    def _dense(self, outputs: int, inputs: int) -> F64:
        """Of norm 1: orthogonal, or of a few terms in each row."""
        weight = self.random.normal(size=(outputs, inputs))
        if self.terms:
            kept = np.argsort(self.random.random(weight.shape), axis=1) < self.terms
            weight = weight * kept
            return weight / np.linalg.norm(weight, 2)
        u, _, v = np.linalg.svd(weight, full_matrices=False)
        return u @ v


def convolved(values: F64, weight: F64, stride: int, group: int) -> F64:
    """A convolution of images (N, I, H, W) with half of a kernel's sides as pads."""
    pad = weight.shape[2] // 2
    padded = np.pad(values, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    seen = seen[:, :, ::stride, ::stride]
    if group > 1:
        return np.einsum("nchwab,cab->nchw", seen, weight[:, 0])
    return np.einsum("nihwab,oiab->nohw", seen, weight)


def transform_peak(kernel: F64, stride: int, points: int = 24) -> F64:
    """The largest root of the sums of squares of the phases' transforms, channel by channel."""
    found = np.zeros((len(kernel), points, points))
    for a in range(stride):
        for c in range(stride):
            phase = np.fft.fft2(kernel[:, 0, a::stride, c::stride], (points, points))
            found += np.abs(phase) ** 2
    return np.sqrt(found.max(axis=(1, 2)))
