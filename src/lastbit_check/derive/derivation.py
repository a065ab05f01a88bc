"""One walk through the network: values and changes forward, effects into a ledger.

`derive` is a function of a network, a question and hints; what it returns is a value, and what
refines it (refine/) makes another one of it.

Map: derivation <- valid_bound; argued in PROOF.md 3.4
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.certificate import Hints
from lastbit_check.derive import reach
from lastbit_check.derive.changes import (
    EXACT,
    booked,
    both,
    bounded,
    changed,
    first_changes,
    largest,
    masked,
)
from lastbit_check.derive.columns import Held, Spread, spreads
from lastbit_check.derive.frame import Frame, frame_of
from lastbit_check.derive.ledger import ROUNDING, Entry, Ledger, both_runs, side_by_side
from lastbit_check.derive.rows import row_by_row, stays_in_rows
from lastbit_check.network import Network, Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import Bound, Value, nothing, operands
from lastbit_check.question import ANY_TWO, EXECUTIONS, Question
from lastbit_check.verdict import at

FEW_PLACES = 64  # of an input whose places are kept apart to the end
MOST_PLACES = 1024  # that are, where the input itself is the first base
MANY_PLACES = 2**13  # beyond which they are taken row by row, where that is possible
PLACES = 112  # that are taken through the first layers at a time

Observe = Callable[[Node, Value], None]
"""Told of each node's value, in the order of the network."""


class Cap(NamedTuple):
    """The roundings of some nodes, in two runs, are together at most ``most`` for a pair."""

    executions: tuple[str, ...]
    pair: tuple[int, int]
    nodes: frozenset[str]
    most: Fraction


@dataclass(frozen=True)
class Derivation:
    """What follows from hints.

    Attributes:
        frame: what was fixed before.
        values: of every node.
        moves: by executions and node, of every place or the largest of all.
        remainders: likewise, what the nodes after the first layers leave of their cores.
        reach: of every node that is not reached from everywhere.
        ledger: all effects.
        columns: those of the first base that were asked for, in float32, in parts.
        radius: of the first base (units, K): of values, and of moves by executions.
        own: what the first base makes of the nodes for which there are columns.
        caps: roundings that are bounded together (refine/together.py).
    """

    frame: Frame
    values: Mapping[str, Value]
    moves: Mapping[str, Mapping[str, Bound]]
    remainders: Mapping[str, Mapping[str, Fix]]
    reach: Mapping[str, reach.Reach]
    ledger: Ledger
    columns: Mapping[str, list[Held]]
    radius: list[Fix]
    own: Mapping[str, Fix]
    caps: tuple[Cap, ...] = ()


@dataclass
class _State:
    """What has been found so far."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])
    moves: dict[str, dict[str, Bound]] = field(
        default_factory=lambda: {name: dict[str, Bound]() for name in EXECUTIONS}
    )
    remainders: dict[str, dict[str, Fix]] = field(
        default_factory=lambda: {name: dict[str, Fix]() for name in EXECUTIONS}
    )
    reach: dict[str, reach.Reach] = field(default_factory=dict[str, reach.Reach])
    spreads: dict[str, list[Spread]] = field(default_factory=dict[str, list[Spread]])
    columns: dict[str, list[Held]] = field(default_factory=dict[str, list[Held]])
    radius: list[Fix] = field(default_factory=list[Fix])
    own: dict[str, Fix] = field(default_factory=dict[str, Fix])


def ignore(_: Node, __: Value) -> None:
    """Observe nothing."""


def derive(
    network: Network, question: Question, hints: Hints, observe: Observe = ignore
) -> Derivation:
    """What follows from the hints. Raises Rejected with the rule that fails."""
    return derived(frame_of(network, question, hints), observe)


def derived(frame: Frame, observe: Observe = ignore) -> Derivation:
    """Likewise, from a frame."""
    state, ledger = _State(), Ledger(frame.pairs)
    for node in frame.early:
        with at(node.name):
            _value(frame, state, node)
            _rounded(frame, state, node, ledger)
            observe(node, state.values[node.name])
    _early(frame, state, ledger)
    _based(frame, state, frame.early[-1])
    for node in frame.later:
        with at(node.name):
            _value(frame, state, node)
            _rounded(frame, state, node, ledger)
            _later(frame, state, node, ledger)
            _based(frame, state, node)
            observe(node, state.values[node.name])
    return Derivation(frame, state.values, state.moves, state.remainders, state.reach, ledger,
                      state.columns, state.radius, state.own)  # fmt: skip


def _early(frame: Frame, state: _State, ledger: Ledger) -> None:
    """The changes of the first layers: some places after the others, of which the largest stay."""
    places = frame.question.places(frame.network.input.shape)
    apart = places <= FEW_PLACES or (len(frame.early) == 1 and places <= MOST_PLACES)
    step = places if apart else PLACES
    made = (first_changes(frame, state.values, state.reach, range(places)[start : start + step])
            for start in range(0, places, step))  # fmt: skip
    if places > MANY_PLACES and stays_in_rows(frame):
        made = row_by_row(frame, state.values)
    parts = list[dict[Entry, Fix]]()
    for effects, moves in made:
        parts.append(effects)
        for name in EXECUTIONS:
            for node, bound in moves[name].items():
                known, found = state.moves[name].get(node), bound if apart else largest(bound)
                state.moves[name][node] = both(known, found) if known else found
    for entry in parts[0]:
        several = parts if entry.aspect != EXACT else parts[:1]
        ledger.effects[entry] = side_by_side([part[entry] for part in several])


def _based(frame: Frame, state: _State, node: Node) -> None:
    """Carry a base's errors on as columns of its own: from here on nothing is in error."""
    if node.name not in frame.hints.bases:
        return
    value, bounds = state.values[node.name], [state.moves[name][node.name] for name in EXECUTIONS]
    units = math.prod(node.shape)
    radius = [b.error.reshape(units, -1) for b in (value.bound, *bounds)]
    kept = {name: list[Held]() for name in _shared(frame)} if not state.radius else {}
    cores = frame.kept_cores(node)
    spreads([n for n in frame.network.computed if n.name in cores], node, cores, radius,
            state.spreads, kept)  # fmt: skip
    if not state.radius:
        state.radius, state.columns = radius, kept
        state.own = {name: state.spreads[name][0].spread for name in kept if name in state.spreads}
    state.values[node.name] = replace(value, bound=_known_by_columns(value.bound))
    for name, bound in zip(EXECUTIONS, bounds, strict=True):
        state.moves[name][node.name] = _known_by_columns(bound)


def _known_by_columns(bound: Bound) -> Bound:
    return Bound(nothing(bound.error), bound.radius)


def _shared(frame: Frame) -> set[str]:
    """Nodes whose roundings are taken together, and what they read."""
    names = {name for hint in frame.hints.together.values() for name in hint.nodes}
    return names | {read for name in names for read in frame.network.by_name[name].weighing}


def _rounded(frame: Frame, state: _State, node: Node, ledger: Ledger) -> None:
    """What the roundings of two runs cost, of all units."""
    noise = both_runs(state.values[node.name].noise)
    ledger.effects[Entry(ANY_TWO, ROUNDING, node.name)] = frame.duals[node.name].weigh(noise)


def _value(frame: Frame, state: _State, node: Node) -> None:
    if node.op == "input":
        state.values[node.name] = frame.question.image(node.shape)
        state.reach[node.name] = reach.from_input(node, frame.question)
        return
    if node.name in frame.given:
        state.values[node.name] = frame.given[node.name].value
        state.reach[node.name] = None
        return
    setting, sources = frame.settings[node.name], operands(node, state.values)
    known = state.spreads.get(node.name)
    none = Spread(nothing(Fix(np.zeros((*node.shape, 1)), 0)), Fix(np.zeros(1), ZERO_GRID))
    spread, slack = known[0] if known else none
    made = KINDS[node.op].value(setting, sources, spread)
    state.values[node.name] = made.value(spread, slack)
    before = [state.reach[name] for name in node.inputs]
    state.reach[node.name] = reach.reached(setting, sources, before)


def _later(frame: Frame, state: _State, node: Node, ledger: Ledger) -> None:
    """The changes of a node after the first layers, and what they cost."""
    value, mask = state.values[node.name], state.reach[node.name]
    for k, name in enumerate(EXECUTIONS):
        moves = state.moves[name]
        change = changed(frame, node, state.values, moves)
        seen = None if name == ANY_TWO else mask
        if seen is not None and change.error.n.shape[3] != seen.shape[1]:
            seen = reach.anywhere(seen)
        known = state.spreads[node.name][1 + k] if node.name in state.spreads else None
        moves[node.name] = bounded(change, value, 2.0, seen, known)
        bend = masked(change.bend, seen, node.shape)
        state.remainders[name][node.name] = bend
        radius = moves[node.name].radius
        ledger.effects.update(booked(frame, node, name, bend, radius))
