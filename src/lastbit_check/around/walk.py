"""How far any allowed execution may be from a reference in float64, node by node (near.py).

At a node D goes on linearly, by the weights of a sum, or by the slopes that the reference has. Four
things are added (steps.py): the execution's rounding (the rules for ranges, on the range that the
radius says); what slopes leave out, of a curve, of a product of two deviations, of a maximum; what
float64 and binary32 lose; and the middle of what is left out, where its sign is known, which moves
the offset.

Map: near-image; argued in PROOF.md 6
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.binary64 import F64, TINY_SINGLE, centred, fixed, real, upper
from lastbit_check.around.columns import Block, each_apart, merged, places_apart, single
from lastbit_check.around.linear import Prepared, Sums
from lastbit_check.around.near import Hull, Near
from lastbit_check.around.slopes import Other, other
from lastbit_check.around.steps import Step, error_of, step_of, sum_of
from lastbit_check.network import Node
from lastbit_check.operators.forms import Before, Bound, Value, nothing, operands
from lastbit_check.verdict import at

MOST_COLUMNS = 12  # for each unit of a base: if there are more, they become one ellipsoid
MOST_OF_A_HULL = 640  # units of a base of which one ellipsoid is known as well
FIRST: Before = (Fraction(0), Fraction(1))  # of the input, which has no factors


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
    values[network.input.name] = value_of(network.input, image, FIRST)
    last = {name: node.name for node in network.computed for name in node.inputs}
    for node in network.computed[1:]:
        with at(node.name):
            noise, before = _noise(prepared, node, operands(node, values))
            sums = prepared.sums.get(node.name)
            made = other(node, prepared, found.near) if sums is None else sum_of(sums, found.near)
            step = step_of(made, sums, noise, found.near)
            near = _gone_on(node, step, made, sums, found.near)
            if node.name in bases:
                near = _as_base(node, step, near, found.near)
            found.steps[node.name], found.near[node.name] = step, near
            values[node.name] = value_of(node, near, before)
        for name in {*node.inputs}:
            if last[name] == node.name and name != network.logits:
                found.near[name] = found.near[name].forgotten()
    return found


def _noise(prepared: Prepared, node: Node, sources: list[Value]) -> tuple[F64, Before]:
    """The rounding of one execution (units,), by the rules for ranges."""
    none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
    made = prepared.kind(node).value(prepared.settings[node.name], sources, none)
    return np.broadcast_to(real(made.noise), (*node.shape, 1)).ravel(), made.before


def _gone_on(
    node: Node, step: Step, made: Other, sums: Sums | None, near: Mapping[str, Near]
) -> Near:
    blocks = dict[str, Block]()
    offset = np.asarray(sum(part.on(near[part.source].offset) for part in step.parts))
    box = step.rest + sum(part.size @ near[part.source].box for part in step.parts)
    for part in step.parts:
        for name, block in near[part.source].blocks.items():
            x = part.on_columns(block.x)
            blocks[name] = block.on(blocks[name].x + x if name in blocks else x)
    if step.together is None:
        offset, box = offset + step.middle, box + step.bend
    else:
        bent, box = single(np.diag(step.together.scale), len(box), box)
        blocks[f"bends of {node.name}"] = replace(bent, each=step.together.each)
    hull = _hull(step, error_of(sums), near)
    return Near(made.value, made.apart, blocks, upper(box), offset, hull=hull)


def _hull(step: Step, error: float, near: Mapping[str, Near]) -> Hull | None:
    """One ellipsoid goes on, if all that is read has the same."""
    hulls = [near[part.source].hull for part in step.parts]
    first, *others = hulls
    if first is None or any(hull is None or hull.base != first.base for hull in others):
        return None
    spare = step.rest + step.bend + (0 if step.together is None else np.abs(step.middle))
    x = np.zeros((), np.float32)
    for part, hull in zip(step.parts, hulls, strict=True):
        assert hull is not None
        x = x + part.on_columns(hull.block.x)
        spare = spare + part.size @ (hull.spare + error * hull.block.radius)
    return Hull(first.base, first.block.on(x), upper(spare + TINY_SINGLE))


def _as_base(node: Node, step: Step, near: Near, before: Mapping[str, Near]) -> Near:
    """The same, with columns for the box, with fewer for bends, and with one ellipsoid for all.

    It takes the place of all others where they are too many.
    """
    made, box = _of_boxes(node, step, near, before)
    n, blocks = len(box), {**near.blocks, node.name: made}
    bent = [blocks.pop(name) for name, block in near.blocks.items() if block.each is not None]
    if bent:
        blocks[f"bends before {node.name}"], box = merged(bent, box)
    kept = {name: block for name, block in blocks.items() if block.few is not None}
    others = [block for name, block in blocks.items() if name not in kept]
    if sum(block.x.shape[1] for block in others) > MOST_COLUMNS * n:
        one, box = merged(others, box)
        blocks = {**kept, node.name: one}
    hull = Hull(node.name, *merged([*blocks.values()], box)) if n <= MOST_OF_A_HULL else None
    return replace(near, blocks=blocks, box=box, within=near.size, hull=hull)


def _of_boxes(node: Node, step: Step, near: Near, before: Mapping[str, Near]) -> tuple[Block, F64]:
    """Columns for boxes, and what is lost.

    Of a sum with pointwise weights they are for the boxes of its inputs, and for what is added; at
    any other node, which reads several places at once or none but its own, for its own box.
    """
    if not any(part.dense is not None for part in step.parts):
        return each_apart(near.box)
    columns, apart = list[F64](), step.rest + step.bend
    for part in step.parts:
        box = before[part.source].box
        if part.dense is None:
            apart = apart + part.size @ box
        else:
            columns.append(part.dense[:, :, None] * box.reshape(part.dense.shape[1], -1))
    return places_apart(columns, upper(apart).reshape(node.shape[0], -1))


def value_of(node: Node, near: Near, before: Before) -> Value:
    """As the rules for ranges know it: a centre on a grid, and how far a value may be from it."""
    c, off = centred(near.value)
    error = fixed(upper(near.radius + near.away + off)).reshape(*node.shape, 1)
    c = c.reshape(*node.shape, 1)
    return Value(c, Bound(error, nothing(c)), nothing(c), before)
