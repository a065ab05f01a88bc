"""Tensors of a file: the numbers of a node, in sizes and in an order of their own.

Reshapes and transposes compute nothing: what they make is the same node, seen otherwise. What
works on every number by itself works on the node, and what it makes is seen in the same way; so
the layout in which a file keeps its channels makes no difference to the normal form.

Map: normal-form
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lastbit_check.network import F32, Node, Shape, Units, View
from lastbit_check.verdict import require


@dataclass(frozen=True, eq=False)
class Seen:
    """``sizes`` are those of the tensor, the batch left out.

    ``order`` (units,) is a permutation: which unit of the node stands in each place; None where
    they stand as in the node.
    """

    node: Node
    sizes: tuple[int, ...]
    order: Units | None = None

    @property
    def rank(self) -> int:
        """The number of axes, with the batch."""
        return 1 + len(self.sizes)

    @property
    def count(self) -> int:
        """How many numbers there are, for one image."""
        return math.prod(self.sizes)

    @property
    def units(self) -> Units:
        """The node's unit in each place (sizes)."""
        order = np.arange(self.count) if self.order is None else self.order
        return order.reshape(self.sizes)

    def sized(self, sizes: tuple[int, ...]) -> Seen:
        """The same numbers in other sizes."""
        require(math.prod(sizes) == self.count, "model.shape", f"{self.sizes} as {sizes}")
        return replace(self, sizes=sizes)

    def arranged(self, units: Units) -> Seen:
        """The same numbers in another order: ``units``, in the shape of the sizes."""
        return replace(self, sizes=units.shape, order=_own_order(units))

    def view(self, shape: Shape) -> View | None:
        """How the node is read as a tensor of this shape; None if it is one as it is."""
        same = self.order is None and shape == self.node.shape
        return None if same else View(shape, self.order)

    def inside(self, values: F32) -> F32:
        """Constants beside the tensor, as they stand beside the node (C, H, W).

        Raises Rejected (rule model.shape) where they would make it larger, or differ by image.
        """
        shape, full = values.shape, (1, *self.sizes)
        fits = len(shape) <= len(full) and all(
            n in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False)
        )
        require(fits, "model.shape", f"with a constant of shape {shape} beside {full}")
        found = np.empty(self.count, np.float32)
        found[self.units.ravel()] = np.broadcast_to(values, full).ravel()
        return found.reshape(self.node.shape)

    def beside(self, other: Seen) -> View | None:
        """How another tensor's node is read beside this one's; None if both stand alike.

        Raises Rejected (rule model.shape) where that would make this one larger.
        """
        shape, full = other.sizes, self.sizes
        fits = len(shape) <= len(full) and all(
            n in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False)
        )
        require(fits, "model.shape", f"of shapes {full} and {shape}")
        found = np.empty(self.count, np.intp)
        found[self.units.ravel()] = np.broadcast_to(other.units, full).ravel()
        order = _own_order(found) if other.count == self.count else found
        same = order is None and other.node.shape == self.node.shape
        return None if same else View(self.node.shape, order)


def of_node(node: Node, sizes: tuple[int, ...] | None = None) -> Seen:
    """A node as it is, in other sizes perhaps."""
    return Seen(node, node.shape if sizes is None else sizes)


def shape_of(sizes: tuple[int, ...]) -> Shape:
    """The shape of a node whose numbers are seen in these sizes: a vector if they are many."""
    if len(sizes) > 3:
        return math.prod(sizes), 1, 1
    channels, height, width, *_ = (*sizes, 1, 1, 1)
    return channels, height, width


def image_shape(sizes: tuple[int, ...]) -> Shape:
    """The shape of an input: an image of one channel, if it has two axes of several numbers."""
    long = tuple(n for n in sizes if n > 1)
    if len(long) > 2:
        return shape_of(sizes)
    height, width = (1, 1, *long)[-2:]
    return 1, height, width


def larger(a: Seen, b: Seen) -> tuple[Seen, Seen]:
    """The one beside which the other stands first; the first of two that are alike."""
    return (b, a) if (b.rank, b.count) > (a.rank, a.count) else (a, b)


def _own_order(units: Units) -> Units | None:
    flat = units.ravel()
    return None if np.array_equal(flat, np.arange(flat.size)) else flat
