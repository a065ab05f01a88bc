"""Which question of lastbit a query is: what its inputs are, how far one moves, what is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lastbit.errors import QueryError
from lastbit.queries.moves import COVERED, Moves, moves_of
from lastbit.queries.outputs import Case, cases_of
from lastbit.queries.parsed import place_of, size_of
from lastbit.queries.syntax import FIRST, Assertion, Query, entries
from lastbit.queries.zones import Bounds, ByteZone, RealZone
from lastbit_check.question import LAST_BIT, Box, Question


@dataclass(frozen=True, eq=False)
class Asks:
    """A query, understood.

    Attributes:
        query: as it is written.
        question: whose bound covers every pair of inputs that the query allows, or all of them but
            for what `any_level` says.
        any_level: bytes may move from an odd one to the even one above it, too, which is a step of
            1 but no last bit: what is derived has to be of levels.
        moves: which places may move, and from what to what.
        cases: what is asked of the outputs, one of which has to hold.
    """

    query: Query
    question: Question
    any_level: bool
    moves: Moves
    cases: tuple[Case, ...]


def asks(query: Query) -> Asks:
    """Understand a query.

    Raises:
        QueryError: it is about something else than one place that moves by a last bit or a step,
            and what that does to the outputs.
    """
    inputs, outputs = list[Assertion](), list[Assertion]()
    for each in query.assertions:
        kinds = {entry.tensor.is_input for entry in entries(each.formula)}
        if len(kinds) > 1:
            message = "an assertion about inputs and outputs at once"
            raise QueryError(message, where=each.where, fix=COVERED)
        (inputs if kinds == {True} else outputs).append(each)
    if not outputs:
        message = "nothing is asked of the outputs"
        raise QueryError(message, where=query.path, fix=COVERED)
    moves = moves_of(query, inputs)
    if query.tensor(FIRST, is_input=True).element == "uint8":
        question, any_level = LAST_BIT, _of_bytes(query, moves)
    else:
        question, any_level = replace(LAST_BIT, box=_box(query, moves)), False
    return Asks(query, question, any_level, moves, cases_of(outputs))


def _of_bytes(query: Query, moves: Moves) -> bool:
    """Whether any byte may move by one level. Raises QueryError where one may move further."""
    tensor, found = query.tensor(FIRST, is_input=True), False
    for place in moves.places:
        zone = moves.zones.get(place)
        steps = zone.steps if isinstance(zone, ByteZone) else ((0, 255),)
        x, a = max(steps, key=lambda step: abs(step[0] - step[1]))
        if abs(x - a) > 1:
            raise QueryError(
                f"{place_of(tensor, place)} may be {x} in the one copy and {a} in the other",
                where=query.path,
                fix=f"say that it moves by its last bit, or by 1; {COVERED}",
            )
        found = found or any(x ^ a != 1 for x, a in steps)
    return found


def _box(query: Query, moves: Moves) -> Box:
    """The numbers between which all are, of binary32; and no step is longer than its own."""
    tensor, ends, step = query.tensor(FIRST, is_input=True), list[Bounds](), Fraction(0)
    for place in range(size_of(tensor)):
        zone = moves.zones.get(place, RealZone())
        for one, other, sign in ((zone.x, zone.a, 1), (zone.a, zone.x, -1)):
            back = sorted((sign * zone.step[0], sign * zone.step[1]))
            ends.append((max(one[0], other[0] - back[1]), min(one[1], other[1] - back[0])))
        if not all(np.isfinite([float(end) for pair in ends[-2:] for end in pair])):
            name = place_of(tensor, place)
            raise QueryError(f"{name} has no bounds", where=query.path, fix=COVERED)
        if place in moves.places:
            step = max(step, *(abs(Fraction(end)) for end in zone.step))
    low, high = (
        _float32(min(end[0] for end in ends), up=True),
        _float32(max(end[1] for end in ends), up=False),
    )
    box = Box(low, high if low < high else float(np.nextafter(np.float32(low), np.float32(np.inf))))
    if step > box.step:
        raise QueryError(
            f"a number may move by {float(step):.9g}, further than the last bit of the largest, "
            f"{float(box.step):.9g}",
            where=query.path,
            fix=COVERED,
        )
    return box


def _float32(end: Fraction | float, *, up: bool) -> float:
    """The nearest number of binary32 on one side."""
    near = np.float32(float(end))
    exact = Fraction(float(near))
    if up and exact < end:
        near = np.nextafter(near, np.float32(np.inf))
    if not up and exact > end:
        near = np.nextafter(near, np.float32(-np.inf))
    return float(near)
