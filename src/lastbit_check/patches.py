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
        step = np.zeros((*self.first.source, 1))
        step[0, row, column] = 1.0
        steps = self.first.conv(self.first.w, step)[..., 0]
        units = np.nonzero(np.any(steps, axis=0))
        count = units[0].size
        if not 0 < count <= MOST_UNITS:
            return None
        apart = np.zeros((*steps.shape, count))
        apart[:, *units, range(count)] = steps[:, *units]
        weights = self.second.conv(self.second.w, apart)  # products of two weights of 20 bits
        moved = np.nonzero(np.any(weights, axis=(0, 3)))
        ends1 = [_integers(s.n[:, *units, 0]) for s in self.slopes1]
        ends2 = [_integers(s.n[:, *moved, 0]) * _integers(a.n[:, *moved, 0]) for s in self.slopes2]
        most = max(_largest(_integers(weights[:, *moved]), ends1, ends2, k) for k in (1, -1))
        e = a.e + self.first.e + self.second.e + 2 * enclosure.BITS
        return most * abs(self.scale) / Fraction(2) ** e


def _largest(weights: Exact, ends1: list[Exact], ends2: list[Exact], sign: int) -> int:
    """Sum over the channels of the largest value of the formula, times ``sign``."""
    values: list[Exact] = []
    for choice in itertools.product((0, 1), repeat=weights.shape[2]):
        chosen = np.stack([ends1[k][:, q] for q, k in enumerate(choice)], axis=1)
        inner = sign * np.sum(weights * chosen[:, None], axis=2)
        values.append(np.sum(np.maximum(inner * ends2[0], inner * ends2[1]), axis=1))
    return int(np.sum(np.maximum.reduce(values)))


def _integers(n: NDArray[np.float64]) -> Exact:
    return np.vectorize(int, otypes=[object])(n)


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
        scale *= Fraction(float(w.weight[0, 0, 0, 0])) / w.norm.root[0]
    return FirstLayers(scale, first, slopes[silu1.name], second, slopes[silu2.name])
