"""What one pixel does to the first two SiLUs, channel by channel, in real arithmetic.

Where the network begins with affine steps, a convolution, SiLU, a depthwise convolution and SiLU,
and nothing after them reads anything before, one pixel moves few units q of the first convolution
and few units r of the second. With the mean slopes s1 and s2 of the two SiLUs, the step of the
pixel moves the sum of dual weight a times value, within one channel, by exactly

    sum_r a_r s2_r sum_q w2_rq s1_q d_q,        d_q = w1_q times the step.

It is linear in every slope, so its largest value over the intervals of the slopes is attained where
each is at an end: all 2^Q ends of the s1 are tried, and of each s2 the better end for them. Signs
are kept, unlike by |b . D_0| with what the slopes add to it; and in both senses of the step, which
are those of the two images in either order. Python's integers: nothing is rounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check import enclosure
from lastbit_check.exact import Fix
from lastbit_check.layers import Layer
from lastbit_check.network import Node

MOST_UNITS = 6  # of the first convolution that one pixel may move: 2^6 ends are tried
Exact = NDArray[Any]  # of Python integers
Slopes = tuple[Fix, Fix]  # least and largest (C, H, W, 1), units of 2^-enclosure.BITS


@dataclass(frozen=True)
class FirstLayers:
    """The step of a byte is ``scale`` in what ``first`` reads; the slopes are those after it."""

    scale: Fraction
    first: Layer
    slopes1: Slopes
    second: Layer
    slopes2: Slopes

    def change(self, a: Fix, row: int, column: int) -> Fraction | None:
        """Upper bound of |a . D| for dual weights a (C, H, W, 1) of the second SiLU's values.

        ``row`` and ``column`` are those of the pixel. None where it moves too many units.
        """
        taps = list(_reached(self.first, row, column))
        units = [(v, w) for _, _, v, w in taps]
        moved = {r: i for i, r in enumerate({
            r[2:]: 0 for v, w in units for r in _reached(self.second, v, w)
        })}  # fmt: skip
        if len(units) > MOST_UNITS:
            return None
        channels = self.first.shape[0]
        steps = np.zeros((channels, len(units)), dtype=object)
        weights = np.zeros((channels, len(moved), len(units)), dtype=object)
        for q, (i, j, v, w) in enumerate(taps):
            steps[:, q] = _integers(self.first.w[:, 0, i, j])
            for k, m, *r in _reached(self.second, v, w):
                weights[:, moved[r[0], r[1]], q] = _integers(self.second.w[:, 0, k, m])
        duals = _at(a, list(moved))
        ends1 = [_at(s, units) * steps for s in self.slopes1]
        ends2 = [_at(s, list(moved)) * duals for s in self.slopes2]
        most = max(_largest(weights, ends1, ends2, sign) for sign in (1, -1))
        e = a.e + self.first.e + self.second.e + 2 * enclosure.BITS
        return most * abs(self.scale) / Fraction(2) ** e


def _largest(weights: Exact, ends1: list[Exact], ends2: list[Exact], sign: int) -> int:
    """Sum over the channels of the largest value of the formula, times ``sign``."""
    best: Exact | None = None
    for choice in itertools.product((0, 1), repeat=weights.shape[2]):
        chosen = np.stack([ends1[k][:, q] for q, k in enumerate(choice)], axis=1)
        inner = sign * np.sum(weights * chosen[:, None], axis=2)
        value = np.sum(np.maximum(inner * ends2[0], inner * ends2[1]), axis=1)
        best = value if best is None else np.maximum(best, value)
    return int(np.sum(best)) if best is not None else 0


def _reached(layer: Layer, row: int, column: int) -> Iterator[tuple[int, int, int, int]]:
    """(i, j, v, w) for each unit (v, w) that reads the place, through the kernel's tap (i, j)."""
    (_, height, width), (down, across) = layer.shape, layer.strides
    for i, j in itertools.product(*map(range, layer.w.shape[2:])):
        v, left_v = divmod(row + layer.pads[0] - i, down)
        w, left_w = divmod(column + layer.pads[1] - j, across)
        if left_v == left_w == 0 and 0 <= v < height and 0 <= w < width:
            yield i, j, v, w


def _at(x: Fix, places: list[tuple[int, int]]) -> Exact:
    """The integers of x (C, H, W, 1) at the places (C, places)."""
    return np.stack([_integers(x.n[:, v, w, 0]) for v, w in places], axis=1)


def _integers(n: NDArray[np.float64]) -> Exact:
    return np.array([int(v) for v in n.tolist()], dtype=object)


def first_layers(
    early: list[Node],
    readers: dict[str, list[Node]],
    layers: dict[str, Layer],
    slopes: dict[str, Slopes],
) -> FirstLayers | None:
    """The first layers, if ``early``, the nodes up to the last of them, are of that form."""
    chained = all(
        node.inputs == (before.name,) and len(readers[before.name]) == 1
        for before, node in itertools.pairwise(early)
    )
    kinds = [node.op for node in early]
    if not chained or kinds[-4:] != ["linear", "silu", "linear", "silu"]:
        return None
    steps, (conv, silu1, depthwise, silu2) = early[1:-4], early[-4:]
    first, second = layers[conv.name], layers[depthwise.name]
    one_each = second.w.shape[1] == 1 and second.groups == len(second.w) == first.shape[0]
    plain = first.w.shape[1] == 1 == first.groups and all(node.op == "affine" for node in steps)
    if not one_each or not plain or first.inexact.any() or second.inexact.any():
        return None
    scale = Fraction(1)
    for w in [node.weights for node in steps if node.weights]:
        scale *= Fraction(float(w.weight[0, 0, 0, 0]))
        scale /= 1 if w.divisor is None else Fraction(float(w.divisor[0]))
    return FirstLayers(scale, first, slopes[silu1.name], second, slopes[silu2.name])
