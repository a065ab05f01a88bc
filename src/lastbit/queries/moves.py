"""What a query's assertions about the inputs leave: which places may move, how far, how many.

A formula of one place is a zone. A formula of several is an `Effect`: the zones of its places, and
which two of them may both move. `and` meets effects and `or` joins them, so that an effect always
holds every pair of inputs that the formula allows: what is proved of it is proved of the query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import QueryError
from lastbit.queries.parsed import place_of, size_of
from lastbit.queries.syntax import (
    FIRST,
    SECOND,
    Assertion,
    Comparison,
    Formula,
    Junction,
    Linear,
    NotLinearError,
    Number,
    Query,
    difference,
    entries,
)
from lastbit.queries.zones import ByteZone, RealZone, Zone

COVERED = "docs/vnnlib.md says what may be asserted"
Where = Callable[[str, Number, Number, Number], Any]


@dataclass(frozen=True, eq=False)
class Moves:
    """What the inputs may be.

    Attributes:
        zones: of each place that some assertion is about.
        places: those that may move, of which at most one does.
        size: how many places there are.
    """

    zones: dict[int, Any]
    places: tuple[int, ...]
    size: int


@dataclass(frozen=True, eq=False)
class Effect:
    """Of the places that a formula is about: what their numbers and moves may be.

    ``zones`` has some of them (of the others anything goes); ``both`` (k, k) says which two may
    both move.
    """

    places: NDArray[np.int64]
    zones: dict[int, Any]
    both: NDArray[np.bool_]


def moves_of(query: Query, assertions: Sequence[Assertion]) -> Moves:
    """What assertions about the inputs leave.

    Raises:
        QueryError: an assertion is of no kind that is covered, or two places may both move.
    """
    tensor = query.tensor(FIRST, is_input=True)
    size = size_of(tensor)
    kind = ByteZone if tensor.element == "uint8" else RealZone
    reader, zones, several = _Reader(kind.where), dict[int, Any](), list[Assertion]()
    for each in assertions:
        found = _places(each.formula)
        if len(found) == 1:
            (place,) = found
            zone = reader.zone(each.formula, each.where)
            zones[place] = zones[place] & zone if place in zones else zone
        else:
            several.append(each)
    both = np.ones((size, size), bool)
    for each in several:
        effect = reader.effect(each.formula, each.where)
        both[np.ix_(effect.places, effect.places)] &= effect.both
        for place, zone in effect.zones.items():
            zones[place] = zones[place] & zone if place in zones else zone
    moving = np.array([place not in zones or zones[place].moves for place in range(size)])
    both &= np.outer(moving, moving)
    np.fill_diagonal(both, val=False)
    if both.any():
        one, other = np.argwhere(both)[0]
        names = " and ".join(place_of(tensor, int(place)) for place in (one, other))
        raise QueryError(
            f"no assertion keeps {names} from both being different in the second copy",
            where=query.path,
            fix=f"at most one place may differ; {COVERED}",
        )
    return Moves(zones, (*np.flatnonzero(moving).tolist(),), size)


def _places(formula: Formula) -> set[int]:
    return {entry.index for entry in entries(formula)}


class _Reader:
    """Formulas about inputs, as zones and effects."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._known: dict[object, Zone] = {}

    def zone(self, formula: Formula, said: str) -> Any:
        """Of a formula about one place: made once for all places of which the same is said."""
        form = self._form(formula, said)
        if form not in self._known:
            self._known[form] = self._made(form)
        return self._known[form]

    def _form(self, formula: Formula, said: str) -> tuple[Any, ...]:
        """It without its place: of a comparison, the factors of both copies and the constant."""
        if isinstance(formula, Junction):
            return formula.op, *(self._form(part, said) for part in formula.parts)
        form = linear_of(formula, said)
        factors = {entry.tensor.copy: factor for entry, factor in form.terms.items()}
        x, a = factors.get(FIRST, 0), factors.get(SECOND, 0)
        if not x and not a:
            raise QueryError("an assertion that says nothing of a tensor", where=said, fix=COVERED)
        return formula.op, x, a, form.constant

    def _made(self, form: tuple[Any, ...]) -> Any:
        op, *rest = form
        if op in ("and", "or"):
            return reduce(and_ if op == "and" else or_, map(self._made, rest))
        return self._where(op, *rest)

    def effect(self, formula: Formula, said: str) -> Effect:
        """Of a formula about several places. Raises QueryError where it is of no covered kind."""
        places = np.array(sorted(_places(formula)), np.int64)
        if not places.size:
            raise QueryError("an assertion that says nothing of a tensor", where=said, fix=COVERED)
        if places.size == 1:
            zone = self.zone(formula, said)
            return Effect(places, {int(places[0]): zone}, np.ones((1, 1), bool))
        if isinstance(formula, Comparison):
            raise QueryError("a comparison of several places", where=said, fix=COVERED)
        parts = [self.effect(part, said) for part in formula.parts]
        return _meet(places, parts) if formula.op == "and" else _join(places, parts)


def _meet(places: NDArray[np.int64], parts: list[Effect]) -> Effect:
    zones, both = dict[int, Any](), np.ones((places.size, places.size), bool)
    for part in parts:
        at = np.searchsorted(places, part.places)
        both[np.ix_(at, at)] &= part.both
        for place, zone in part.zones.items():
            zones[place] = zones[place] & zone if place in zones else zone
    return Effect(places, zones, both)


def _join(places: NDArray[np.int64], parts: list[Effect]) -> Effect:
    """A place of which a part says nothing may be anything there, and so in all."""
    both, count = np.zeros((places.size, places.size), bool), dict[int, int]()
    zones = dict[int, set[Any]]()
    for part in parts:
        at = np.searchsorted(places, part.places)
        moving = np.ones(places.size, bool)
        for place, zone in part.zones.items():
            moving[np.searchsorted(places, place)] = zone.moves
            zones.setdefault(place, set()).add(zone)
            count[place] = count.get(place, 0) + 1
        allowed = np.outer(moving, moving)
        allowed[np.ix_(at, at)] &= part.both
        both |= allowed
    joined = {place: reduce(or_, found) for place, found in zones.items()
              if count[place] == len(parts)}  # fmt: skip
    return Effect(places, joined, both)


def linear_of(comparison: Comparison, said: str) -> Linear:
    """Left less right. Raises QueryError where it is not linear."""
    try:
        return difference(comparison)
    except NotLinearError:
        raise QueryError("a product of two tensors' numbers", where=said, fix=COVERED) from None
