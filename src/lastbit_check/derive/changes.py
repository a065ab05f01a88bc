"""How far two runs may be apart, node by node: the columns of changes, and what they cost.

Aspects of two runs: the two executions of a question, and two that tell how far the first layers'
computed values are from those of real arithmetic, F(v): of one run (``exact``), and the difference
of this error between two runs of one program (``apart``).

Map: changes <- forms, valid_bound; argued in PROOF.md 3.6, 3.7
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lastbit_check.arithmetic.exact import Fix, most, total
from lastbit_check.derive.columns import Spread
from lastbit_check.derive.frame import Frame
from lastbit_check.derive.ledger import (
    DEFECT,
    REMAINDER,
    Entry,
    defect,
)
from lastbit_check.derive.reach import Reach, columns
from lastbit_check.network import Node, Shape
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import curve_of
from lastbit_check.operators.forms import Bound, Change, Value, nothing, operands
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM
from lastbit_check.verdict import at

EXACT, APART = "exact", "apart"
ASPECTS = {
    ANY_TWO: (2.0, False),
    SAME_PROGRAM: (2.0, True),
    EXACT: (1.0, False),
    APART: (2.0, True),
}
"""Of how many runs the roundings count, and whether only where the place reaches."""

Moves = Mapping[str, Bound]
"""By node."""


def changed(frame: Frame, node: Node, values: Mapping[str, Value], moves: Moves) -> Change:
    """What becomes of the changes of a node's inputs."""
    if node.name in frame.given:
        moved = frame.given[node.name].moves.error
        return Change(moved, moved)
    sources, read = operands(node, values), operands(node, moves)
    return KINDS[node.op].change(frame.settings[node.name], sources, read)


def errors_apart(
    frame: Frame, node: Node, values: Mapping[str, Value], moves: Mapping[str, Moves]
) -> Change:
    """The aspect ``apart``, from itself and from the moves and errors of what is read."""
    curve, setting = curve_of(KINDS[node.op], node), frame.settings[node.name]
    if curve is None:
        return changed(frame, node, values, moves[APART])
    (name,) = node.inputs
    same, off = moves[SAME_PROGRAM][name].radius, moves[EXACT][name].radius
    return curve.apart(setting, values[name], same, off, moves[APART][name])


def bounded(change: Change, value: Value, runs: float, mask: Reach, spread: Spread | None) -> Bound:
    """With the noise of so many runs, and what the bases make; 0 where nothing is reached."""
    none = nothing(value.noise)
    made, slack = spread or (none, none)
    noise = Fix(runs * value.noise.n, value.noise.e)
    shape = change.error.n.shape
    error = total(*(masked(x, mask, shape) for x in (change.error, slack, noise)))
    return Bound(error, masked(Fix(np.broadcast_to(made.n, shape), made.e), mask, shape))


def masked(x: Fix, mask: Reach, shape: Shape) -> Fix:
    """What there is where something of a node is reached, else 0."""
    if mask is None or not x.peak:
        return x
    return Fix(np.where(mask.reshape(*shape[:3], -1), x.n, 0.0), x.e)


def booked(frame: Frame, node: Node, aspect: str, bend: Fix, moves: Fix) -> dict[Entry, Fix]:
    """Remainder and defect of a node, for some places (C, H, W, K)."""
    dual, units = frame.duals[node.name], math.prod(node.shape)
    return {
        Entry(aspect, REMAINDER, node.name): dual.weigh(bend.reshape(units, -1)),
        Entry(aspect, DEFECT, node.name): defect(dual, moves.reshape(units, -1)),
    }


def first_changes(
    frame: Frame, values: Mapping[str, Value], masks: Mapping[str, Reach], places: range
) -> tuple[dict[Entry, Fix], dict[str, dict[str, Bound]]]:
    """Effects and moves of the first layers, for some places."""
    moves = {name: dict[str, Bound]() for name in ASPECTS}
    effects = dict[Entry, Fix]()
    for node in frame.early:
        with at(node.name):
            mask = columns(masks[node.name], places)
            for aspect, (runs, seen) in ASPECTS.items():
                told = mask if seen else None
                if node.op == "input":
                    moved = frame.question.moves(node.shape, places)
                    none = nothing(moved.error[..., : 1 if aspect == EXACT else None])
                    still = Bound(none, none)
                    bound = moved if aspect in EXECUTIONS else still
                    bend = bound.error
                else:
                    change = (
                        errors_apart(frame, node, values, moves)
                        if aspect == APART
                        else changed(frame, node, values, moves[aspect])
                    )
                    bound = bounded(change, values[node.name], runs, told, None)
                    bend = masked(change.bend, told, node.shape)
                moves[aspect][node.name] = bound
                effects.update(booked(frame, node, aspect, bend, bound.radius))
    return effects, moves


def largest(bound: Bound) -> Bound:
    """Of all columns (C, H, W, 1)."""
    parts = (bound.error, bound.spread)
    return Bound(*(Fix(np.max(x.n, axis=3, keepdims=True), x.e) for x in parts))


def both(one: Bound, other: Bound) -> Bound:
    """What bounds either."""
    return Bound(most(one.error, other.error), most(one.spread, other.spread))
