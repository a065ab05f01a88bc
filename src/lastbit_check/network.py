"""The normal form of a network: sums, curves and products, with static shapes.

A runtime may rewrite the graph of a file (docs/bound.md, section 2), so a node here is not an
operator of the file but what every allowed rewriting leaves of some of them: one sum of products
holds a convolution, the biases and constants that are added to it, the factors that multiply it,
its batch norm, and the residual that is added to it alone. A node is named by the output tensor
of its last operator.

Map: normal-form
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Shape = tuple[int, int, int]
Units = NDArray[np.intp]
Exact = Any  # an array of fractions


class Factor(NamedTuple):
    """Constants, one a channel, by which all that stands before them is multiplied.

    ``roundings`` (C,) says how often each may round: a power of two never does, a division may
    take the rounded reciprocal. No part of it is larger, nor smaller, than ``growth``. The value is
    within 2^-49 of itself where it is not ``known`` exactly.
    """

    value: Exact
    roundings: NDArray[np.int64]
    growth: Fraction
    known: bool = True


class View(NamedTuple):
    """The numbers of a node in another shape, and another order.

    ``order`` (units seen,) names the unit that stands in each place, -1 for a 0; None where the
    order is the node's own.
    """

    shape: Shape
    order: Units | None = None


class Part(NamedTuple):
    """Products of weights and the values of one node: a convolution, or copies (``weight`` 1).

    ``weight`` (O, I / groups, kh, kw), its strides (down, across) and pads (top, left, bottom,
    right); then ``factors``. ``moved`` are the factors of what is read: they may be taken from it
    and be applied here. What is read is seen by a ``view``, if there is one.
    """

    source: str
    weight: F32
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    groups: int = 1
    factors: tuple[Factor, ...] = ()
    moved: tuple[Factor, ...] = ()
    copies: bool = False
    view: View | None = None


class Constant(NamedTuple):
    """Numbers (C,), or (C, H, W), that are added, times ``factors``."""

    value: F32
    factors: tuple[Factor, ...] = ()


class Sum(NamedTuple):
    """Parts and constants, in any order, by any tree, each factor applied to any part of it."""

    parts: tuple[Part, ...]
    constants: tuple[Constant, ...] = ()

    def scaled(self, factor: Factor) -> Sum:
        """Everything times a factor."""
        parts = [part._replace(factors=(*part.factors, factor)) for part in self.parts]
        constants = [c._replace(factors=(*c.factors, factor)) for c in self.constants]
        return Sum((*parts,), (*constants,))

    def plus(self, other: Sum) -> Sum:
        """Both together."""
        return Sum(self.parts + other.parts, self.constants + other.constants)


@dataclass(frozen=True)
class Node:
    """``op`` is the name of a kind (operators/): input, sum, silu, sigmoid, gate, softmax, ...

    A vector (N, C) has the shape (C, 1, 1). ``trailing`` are the factors by which the whole value
    is multiplied last; ``parameters`` (C,) are those of a curve. A node that is no sum reads its
    inputs by ``views``, where there are some; ``window`` are the units of which it takes the
    largest.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    sum: Sum | None = None
    trailing: tuple[Factor, ...] = ()
    parameters: tuple[F32, ...] = ()
    views: tuple[View | None, ...] = ()
    window: Part | None = None

    @property
    def weighing(self) -> tuple[str, ...]:
        """What its rounding is a multiple of, besides its own value: of a gate, what is scaled."""
        return self.inputs if self.sum else self.inputs[:1]


@dataclass(frozen=True)
class Network:
    """Nodes in an order in which they can be computed: the input first, the softmax last."""

    nodes: tuple[Node, ...]

    @property
    def input(self) -> Node:
        return self.nodes[0]

    @property
    def logits(self) -> str:
        """The name of the node that softmax reads."""
        return self.nodes[-1].inputs[0]

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    @property
    def computed(self) -> tuple[Node, ...]:
        """All nodes but the softmax."""
        return self.nodes[:-1]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """Which nodes read a node, each once."""
        found = {node.name: list[Node]() for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found


def exact(x: F32) -> Exact:
    """The same numbers as fractions."""
    return np.array([Fraction(v) for v in x.tolist()], object)


def product(factors: Sequence[Factor], channels: int) -> Exact:
    """All factors multiplied, channel by channel (C,)."""
    found = exact(np.ones(channels, np.float32))
    for factor in factors:
        found = found * factor.value
    return found


def made_of(constant: Constant, shape: Shape) -> Exact:
    """A constant times its factors: a number for each channel (C,), or for each unit (units,)."""
    repeats = math.prod(shape[1:]) if constant.value.ndim == 3 else 1
    return exact(constant.value.ravel()) * product(constant.factors, shape[0]).repeat(repeats)


def growth(factors: Sequence[Factor]) -> Fraction:
    """No product of some of them is larger, nor smaller, than this."""
    found = Fraction(1)
    for factor in factors:
        found *= factor.growth
    return found
