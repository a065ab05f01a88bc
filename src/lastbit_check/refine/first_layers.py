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

Branch and bound makes the intervals narrower: a tree divides all pairs of images by their bytes,
and each leaf has slopes of its own, by the same rules as those of all images. The tree is read in
preorder. A part is split into the images whose byte at some place is at most a threshold, and the
others; of a pixel's own byte, those that a move leads between stay together, so that both images of
a pair do: 2k and 2k + 1, where it is the last bit.

Map: first-layers <- first_layers, cover, bounded_by_leaves; argued in PROOF.md 3.7
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.enclosure import BITS, SILU_SLOPE, enclosed
from lastbit_check.arithmetic.exact import Fix, Ints
from lastbit_check.derive.frame import Frame
from lastbit_check.network import Node, product
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import nothing
from lastbit_check.operators.kernels import Products
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.sums import layer_in
from lastbit_check.question import Question
from lastbit_check.verdict import require

MOST_UNITS = 6  # of the first convolution that one pixel may move: 2^6 ends are tried
LEAF = -1  # in a tree, in the place of the number of a byte
Exact = NDArray[Any]  # of Python integers
Slopes = list[tuple[Fix, Fix]]  # of the two SiLUs, least and largest (C, H, W, 1), 2^-BITS


@dataclass(frozen=True)
class FirstLayers:
    """``nodes``, with their settings; a byte's step is ``scale`` in what the convolution reads."""

    nodes: tuple[Node, ...]
    settings: Mapping[str, Setting]
    question: Question
    scale: Fraction

    @cached_property
    def everywhere(self) -> Slopes:
        """The slopes for all images."""
        return self.slopes(*self.question.whole(self.nodes[0].shape))

    def slopes(self, low: Ints, high: Ints) -> Slopes:
        """Those for images whose bytes are from ``low`` to ``high`` (1, H, W)."""
        found, value = Slopes(), self.question.between(low, high)
        for node in self.nodes[1:]:
            if node.op == "silu":
                found.append(enclosed(SILU_SLOPE, *value.interval))
            none = nothing(Fix(np.zeros((*node.shape, 1)), 0))
            made = KINDS[node.op].value(self.settings[node.name], [value], none)
            value = made.value(none)
        return found

    @property
    def convolutions(self) -> tuple[Products, Products]:
        """The two that SiLUs follow."""
        first, second = (layer_in(self.settings[self.nodes[k].name]).parts for k in (-4, -2))
        return first[0], second[0]

    def change(self, a: Fix, pixel: Sequence[int], slopes: Slopes) -> Fraction | None:
        """Upper bound of |a . D| for dual weights a (units, 1) of the second SiLU's values.

        None where the pixel (row, column) moves no unit, or too many.
        """
        (first, second), (row, column) = self.convolutions, pixel
        one, two = (self.nodes[k].shape for k in (-4, -2))
        place = row * self.nodes[0].shape[2] + column
        steps = first.w[:, [place]].toarray().reshape(one)
        units = np.nonzero(np.any(steps, axis=0))
        count = units[0].size
        if not 0 < count <= MOST_UNITS:
            return None
        apart = np.zeros((*steps.shape, count))
        apart[:, *units, range(count)] = steps[:, *units]
        # products of two weights of 20 bits
        weights = (second.w @ apart.reshape(-1, count)).reshape(*two, count)
        moved = np.nonzero(np.any(weights, axis=(0, 3)))
        a = a.reshape(*two, 1)
        ends1 = [_integers(s.n[:, *units, 0]) for s in slopes[0]]
        ends2 = [_integers(s.n[:, *moved, 0]) * _integers(a.n[:, *moved, 0]) for s in slopes[1]]
        most = max(_largest(_integers(weights[:, *moved]), ends1, ends2, k) for k in (1, -1))
        e = a.e + first.e + second.e + 2 * BITS
        return most * abs(self.scale) * self.question.distance / Fraction(2) ** e

    def leaves(
        self, a: Fix, pixel: Sequence[int], splits: Sequence[Sequence[int]]
    ) -> list[Fraction]:
        """The bounds of |a . D| for the leaves of a tree.

        Rule tree.cover: every part is a leaf, or split in two.
        """
        shape, found = self.nodes[0].shape, list[Fraction]()
        inside = len(pixel) == 2 and 0 <= pixel[0] < shape[1] and 0 <= pixel[1] < shape[2]
        inside = inside and pixel[0] * shape[2] + pixel[1] in self.question.cells(shape)
        require(inside and {*map(len, splits)} <= {2}, "tree.shape", f"{pixel} or a split")
        parts = [self.question.whole(shape)]
        for place, threshold in splits:
            require(parts, "tree.cover", "a leaf too many")
            low, high = parts.pop()
            if place == LEAF:
                bound = self.change(a, pixel, self.slopes(low, high))
                require(bound is not None, "tree.pixel", f"{pixel} moves no unit, or too many")
                found.append(bound or Fraction(0))
                continue
            least, most = low.copy(), high.copy()
            within = 0 <= place < low.size and low.item(place) <= threshold < high.item(place)
            require(within, "tree.cover", f"byte {place} is not split by {threshold}")
            own = place == pixel[0] * shape[2] + pixel[1]
            splits_pair = own and self.question.splits_pair(threshold)
            require(not splits_pair, "tree.pair", "two images of a pair are split")
            least.flat[place], most.flat[place] = threshold + 1, threshold
            parts += [(least, high), (low, most)]
        require(not parts, "tree.cover", "a part is missing")
        return found


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


def first_layers(frame: Frame) -> FirstLayers | None:
    """The first layers of a network, if they are of that form."""
    early = frame.early
    chained = all(
        node.inputs == (before.name,) and len(frame.network.readers[before.name]) == 1
        for before, node in itertools.pairwise(early)
    )
    kinds = [node.op for node in early]
    if not chained or kinds[-4:] != ["sum", "silu", "sum", "silu"] or not frame.question.step:
        return None
    *scaled, one, two = [node.sum.parts for node in early if node.sum]
    if frame.question.box or any(part.view for parts in (*scaled, one, two) for part in parts):
        return None
    plain = len(scaled) == len(early) - 5 and all(len(p) == p[0].copies for p in scaled)
    if not plain or len(one) != 1 or len(two) != 1 or early[0].shape[0] != 1:
        return None
    (first,), (second,) = one, two
    one_each = second.weight.shape[1] == 1 and second.groups == len(second.weight)
    whole = first.groups == 1 and len(first.weight) == len(second.weight)
    read = [layer_in(frame.settings[early[k].name]).parts[0] for k in (-4, -2)]
    if not one_each or not whole or any(part.off.any() for part in read):
        return None
    scale = math.prod((product(p[0].factors, 1)[0] for p in scaled), start=Fraction(1))
    return FirstLayers(early, frame.settings, frame.question, scale)
