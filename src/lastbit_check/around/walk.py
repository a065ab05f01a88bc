"""A reference in float64, and how far any allowed execution may be from it, node by node.

The reference is what float64 makes of an image. An execution differs from it by D, and

    D = offset + sum of blocks of columns + box,   |D| <= radius,

where nodes share the blocks of what they both depend on, and a box is each unit's own. At a node D
goes on linearly, by the weights of a sum, or by the slopes that the reference has. Four things are
added: the execution's rounding (the rules for ranges, on the range that the radius says); what
slopes leave out, of a curve, of a product of two deviations, of a maximum; what float64 loses; and
the middle of what is left out, where its sign is known, which moves the offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lastbit_check.arithmetic.binary64 import F64, TINY_SINGLE, V, centred, fixed, real, upper
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.columns import Block, merged, places_apart
from lastbit_check.around.linear import SINGLE, Prepared, Weights
from lastbit_check.around.slopes import left_out, reads
from lastbit_check.network import Node
from lastbit_check.operators.forms import Bound, Value, nothing, operands
from lastbit_check.verdict import at

MOST_COLUMNS = 4  # for each unit of a base: if there are more, they become one ellipsoid
OWN = 8 * V  # of the magnitudes: what a product of two numbers, and a sum of two of them, lose


@dataclass(frozen=True)
class Step:
    """How D goes on from a node's inputs, and what is added to it (units,).

    ``added`` bounds all that is not the ``middle``: ``noise``, the rounding of an execution;
    ``bend``, what slopes leave out; and what float64 loses.
    """

    parts: tuple[Weights, ...]
    middle: F64
    noise: F64
    bend: F64
    added: F64


@dataclass(frozen=True)
class Near:
    """What is known of a node: the reference ``value``, and D (units,).

    ``within`` bounds D otherwise, if anything does.
    """

    value: F64
    blocks: Mapping[str, Block]
    box: F64
    offset: F64
    within: F64 | None = None

    @cached_property
    def size(self) -> F64:
        """The magnitudes of all that D is made of."""
        extents = [block.radius for block in self.blocks.values()]
        return upper(np.abs(self.offset) + self.box + sum(extents))

    @property
    def radius(self) -> F64:
        """Upper bound of |D|."""
        return self.size if self.within is None else np.minimum(self.size, self.within)


@dataclass(frozen=True)
class Walk:
    """All nodes at an image, in their order."""

    near: dict[str, Near] = field(default_factory=dict[str, Near])
    steps: dict[str, Step] = field(default_factory=dict[str, Step])


def walk(prepared: Prepared, image: F64, moves: Mapping[str, Block], bases: frozenset[str]) -> Walk:
    """Every node but softmax, at an image (units,) whose input moves by some blocks.

    At a base, what is in the boxes of its inputs, and what is added there, becomes columns.

    Raises:
        Rejected: where the rules for ranges fail, or nothing useful is known (around.*).
    """
    found, values, network = Walk(), dict[str, Value](), prepared.network
    none = np.zeros(image.size)
    found.near[network.input.name] = Near(image, moves, none, none)
    values[network.input.name] = _value(network.input, found.near[network.input.name], None)
    last = {name: node.name for node in network.computed for name in node.inputs}
    for node in network.computed[1:]:
        with at(node.name):
            sources = operands(node, values)
            setting = prepared.settings[node.name]
            none_yet = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
            made = prepared.kind(node).value(setting, sources, none_yet)
            noise = np.broadcast_to(real(made.noise), (*node.shape, 1)).ravel()
            near, found.steps[node.name] = _node(prepared, node, found.near, noise, bases)
            found.near[node.name] = near
            values[node.name] = _value(node, near, made.before)
        for name in {*node.inputs}:
            if last[name] == node.name:
                found.near[name] = _forgotten(found.near[name])
    return found


def _node(
    prepared: Prepared, node: Node, near: Mapping[str, Near], noise: F64, bases: frozenset[str]
) -> tuple[Near, Step]:
    sums = prepared.sums.get(node.name)
    if sums is not None:
        parts, error, of_columns = sums.parts, sums.error, sums.of_columns
        own = sums.bias_off + error * np.abs(sums.bias)
        value = sum(part.on(near[part.source].value) for part in parts) + sums.bias
        middle, bend = np.zeros(value.size), np.zeros(value.size)
        own = own + error * sums.spread({p.source: np.abs(near[p.source].value) for p in parts})
    else:
        sources = [near[name] for name in node.inputs]
        out = left_out(node, prepared, sources, reads(node, prepared))
        parts, value, middle, bend, own = out
        error, of_columns = OWN, OWN * SINGLE
    sizes = {part.source: near[part.source].size for part in parts}
    lost = own + (error + of_columns) * sum(part.size @ sizes[part.source] for part in parts)
    step = Step(parts, middle, noise, bend, upper(noise + bend + lost))
    return _gone_on(node, step, value, near, node.name in bases), step


def _gone_on(
    node: Node, step: Step, value: F64, near: Mapping[str, Near], is_base: bool
) -> Near:
    blocks = dict[str, Block]()
    offset = step.middle + sum(part.on(near[part.source].offset) for part in step.parts)
    for part in step.parts:
        for name, block in near[part.source].blocks.items():
            x = part.on_columns(block.x)
            blocks[name] = block.on(blocks[name].x + x if name in blocks else x)
    boxes = {part.source: near[part.source].box for part in step.parts}
    carried = [part.size @ boxes[part.source] for part in step.parts]
    own = step.added + TINY_SINGLE
    before = Near(value, blocks, upper(own + sum(carried)), offset)
    if not is_base:
        return before
    columns, apart = list[F64](), own
    for part, image in zip(step.parts, carried, strict=True):
        if part.dense is None:
            apart = apart + image
        else:
            half_widths = boxes[part.source].reshape(part.dense.shape[1], -1)
            columns.append(part.dense[:, :, None] * half_widths)
    made, off = places_apart(columns, upper(apart).reshape(node.shape[0], -1))
    blocks[node.name] = made
    kept = {name: block for name, block in blocks.items() if block.few is not None}
    others = [block for block in blocks.values() if block.few is None]
    if sum(block.x.shape[1] for block in others) > MOST_COLUMNS * value.size:
        one, off = merged(others, off)
        blocks = {**kept, node.name: one}
    return Near(value, blocks, off, offset, before.size)


def _value(node: Node, near: Near, before: object) -> Value:
    """As the rules for ranges know it: a centre on a grid, and how far a value may be from it."""
    c, off = centred(near.value)
    c, error = c.reshape(*node.shape, 1), fixed(upper(near.radius + off)).reshape(*node.shape, 1)
    value = Value(c, Bound(error, nothing(c)), nothing(c))
    return value if before is None else Value(c, value.bound, value.noise, before)


def _forgotten(near: Near) -> Near:
    """Without its columns, which nobody needs any more."""
    return Near(near.value, {}, near.size, near.offset, near.radius)
