"""How far any allowed execution may be from a reference in float64, node by node (near.py).

At a node D goes on linearly, by the weights of a sum, or by the slopes that the reference has. Four
things are added: the execution's rounding (the rules for ranges, on the range that the radius
says); what slopes leave out, of a curve, of a product of two deviations, of a maximum; what float64
and binary32 lose; and the middle of what is left out, where its sign is known, which moves the
offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.binary64 import F64, TINY_SINGLE, V, centred, fixed, real, upper
from lastbit_check.around.columns import Block, each_apart, merged, places_apart
from lastbit_check.around.linear import SINGLE, Prepared, Sums, Weights
from lastbit_check.around.near import Near
from lastbit_check.around.slopes import Other, other
from lastbit_check.network import Node
from lastbit_check.operators.forms import Before, Bound, Value, nothing, operands
from lastbit_check.verdict import at

OWN = 8 * V  # of the magnitudes: what a product of two numbers, and a sum of two of them, lose
MOST_COLUMNS = 12  # for each unit of a base: if there are more, they become one ellipsoid
FIRST: Before = (Fraction(0), Fraction(1))  # of the input, which has no factors


@dataclass(frozen=True)
class Step:
    """How D goes on from a node's inputs, and what is added to it (units,).

    ``added`` bounds all that is not the ``middle``: ``noise``, the rounding of an execution;
    ``bend``, what slopes leave out; and what float64 and binary32 lose.
    """

    parts: tuple[Weights, ...]
    middle: F64
    noise: F64
    bend: F64
    added: F64


@dataclass(frozen=True)
class Walk:
    """All nodes at an image, in their order."""

    near: dict[str, Near] = field(default_factory=dict[str, Near])
    steps: dict[str, Step] = field(default_factory=dict[str, Step])


def walk(prepared: Prepared, image: Near, bases: frozenset[str]) -> Walk:
    """Every node but softmax, at an image.

    At a base, what is in the boxes of its inputs, and what is added there, becomes columns.

    Raises:
        Rejected: where the rules for ranges fail, or nothing useful is known (around.*).
    """
    found, values, network = Walk(), dict[str, Value](), prepared.network
    found.near[network.input.name] = image
    values[network.input.name] = _value(network.input, image, FIRST)
    last = {name: node.name for node in network.computed for name in node.inputs}
    for node in network.computed[1:]:
        with at(node.name):
            noise, before = _noise(prepared, node, operands(node, values))
            sums = prepared.sums.get(node.name)
            made = other(node, prepared, found.near) if sums is None else _sum(sums, found.near)
            step = _step(made, sums, noise, found.near)
            near = _gone_on(step, made, found.near)
            if node.name in bases:
                near = _as_base(node, step, near, found.near)
            found.steps[node.name], found.near[node.name] = step, near
            values[node.name] = _value(node, near, before)
        for name in {*node.inputs}:
            if last[name] == node.name and name != network.logits:
                found.near[name] = found.near[name].forgotten()
    return found


def _noise(prepared: Prepared, node: Node, sources: list[Value]) -> tuple[F64, Before]:
    """The rounding of one execution (units,), by the rules for ranges."""
    none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
    made = prepared.kind(node).value(prepared.settings[node.name], sources, none)
    return np.broadcast_to(real(made.noise), (*node.shape, 1)).ravel(), made.before


def _sum(sums: Sums, near: Mapping[str, Near]) -> Other:
    """Exact, but for what is lost."""
    value = sums.bias + sum(part.on(near[part.source].value) for part in sums.parts)
    apart = sum(part.on(near[part.source].apart) for part in sums.parts)
    sizes = {p.source: np.abs(near[p.source].value) + near[p.source].away for p in sums.parts}
    off = sums.bias_off + sums.error * (np.abs(sums.bias) + sums.spread(sizes))
    none = np.zeros(len(value))
    return Other(sums.parts, value, np.asarray(apart), none, none, off)


def _step(made: Other, sums: Sums | None, noise: F64, near: Mapping[str, Near]) -> Step:
    error = OWN * (1 + SINGLE) if sums is None else sums.error + sums.of_columns
    sizes = [part.size @ near[part.source].size for part in made.parts]
    lost = made.off + error * sum(sizes) + TINY_SINGLE
    bend = upper((made.high - made.low) / 2)
    return Step(made.parts, (made.low + made.high) / 2, noise, bend, upper(noise + bend + lost))


def _gone_on(step: Step, made: Other, near: Mapping[str, Near]) -> Near:
    blocks = dict[str, Block]()
    offset = step.middle + sum(part.on(near[part.source].offset) for part in step.parts)
    box = step.added + sum(part.size @ near[part.source].box for part in step.parts)
    for part in step.parts:
        for name, block in near[part.source].blocks.items():
            x = part.on_columns(block.x)
            blocks[name] = block.on(blocks[name].x + x if name in blocks else x)
    return Near(made.value, made.apart, blocks, upper(box), offset)


def _as_base(node: Node, step: Step, near: Near, before: Mapping[str, Near]) -> Near:
    """The same, with columns for the box.

    Of a sum with pointwise weights they are for the boxes of its inputs, and for what is added;
    at any other node, which reads several places at once or none but its own, for its own box.
    """
    if not any(part.dense is not None for part in step.parts):
        made, box = each_apart(near.box)
        return _with(node, near, made, box)
    columns, apart = list[F64](), step.added
    for part in step.parts:
        box = before[part.source].box
        if part.dense is None:
            apart = apart + part.size @ box
        else:
            columns.append(part.dense[:, :, None] * box.reshape(part.dense.shape[1], -1))
    made, box = places_apart(columns, upper(apart).reshape(node.shape[0], -1))
    return _with(node, near, made, box)


def _with(node: Node, near: Near, made: Block, box: F64) -> Near:
    """With a block more, or one ellipsoid for what are too many."""
    kept = {name: block for name, block in near.blocks.items() if block.few is not None}
    blocks = {**near.blocks, node.name: made}
    others = [block for name, block in blocks.items() if name not in kept]
    if sum(block.x.shape[1] for block in others) > MOST_COLUMNS * len(near.value):
        made, box = merged(others, box)
        blocks = {**kept, node.name: made}
    return replace(near, blocks=blocks, box=box, within=near.size)


def _value(node: Node, near: Near, before: Before) -> Value:
    """As the rules for ranges know it: a centre on a grid, and how far a value may be from it."""
    c, off = centred(near.value)
    error = fixed(upper(near.radius + near.away + off)).reshape(*node.shape, 1)
    c = c.reshape(*node.shape, 1)
    return Value(c, Bound(error, nothing(c)), nothing(c), before)
