"""What a query is understood to say, against what it says: by trying numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.errors import QueryError
from lastbit.queries.held import holds
from lastbit.queries.moves import Moves, moves_of
from lastbit.queries.outputs import Bound, Case, cases_of
from lastbit.queries.parsed import read_query
from lastbit.queries.syntax import (
    FIRST,
    SECOND,
    Arithmetic,
    Assertion,
    Comparison,
    Constant,
    Entry,
    Formula,
    Junction,
    Operation,
    Query,
    Tensor,
)
from lastbit.queries.zones import ByteZone, RealZone
from support.asked import declared, one_moves, written

PLACES, CLASSES = 3, 2
OPS = ("<", "<=", ">", ">=", "==", "!=")
Random = np.random.Generator


def tensors(element: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        Tensor("X", FIRST, True, element, (PLACES,)),
        Tensor("Y", FIRST, False, "float32", (CLASSES,)),
        Tensor("A", SECOND, True, element, (PLACES,)),
        Tensor("B", SECOND, False, "float32", (CLASSES,)),
    )


def query(element: str, *formulas: Formula) -> Query:
    said = tuple(Assertion(each, "here") for each in formulas)
    return Query("here", "f", "g", tensors(element), said)


def inputs_formula(random: Random, x: Tensor, a: Tensor, depth: int, values: list[int]) -> Formula:
    """Mostly that a place is equal, or moves a little; some of it nonsense."""
    if depth and random.random() < 0.7:
        count = int(random.integers(1, 4))
        parts = [inputs_formula(random, x, a, depth - 1, values) for _ in range(count)]
        return Junction(str(random.choice(["and", "or"])), tuple(parts))
    k = int(random.integers(PLACES))
    left, right = Entry(x, k), Entry(a, k)
    number = Constant(int(random.choice(values)))
    match int(random.integers(5)):
        case 0 | 1:
            return Comparison("==", left, right)
        case 2:
            step = Operation("-", (right, left) if random.random() < 0.5 else (left, right))
            return Comparison("<=", step, Constant(int(random.integers(3))))
        case 3:
            return Comparison(str(random.choice(OPS)), left, number)
        case _:
            return Comparison(str(random.choice(OPS)), right, Operation("+", (left, number)))


def pairs(random: Random, values: list[int], count: int) -> Iterator[tuple[Any, Any]]:
    """Inputs of which most places are equal."""
    for _ in range(count):
        x = random.choice(values, PLACES)
        a = np.where(random.random(PLACES) < 0.5, x, random.choice(values, PLACES))
        yield x, a


def moves(one: Query) -> Moves | None:
    """What is understood; None where it is refused."""
    try:
        return moves_of(one, one.assertions)
    except QueryError:
        return None


def in_zone(zone: ByteZone | RealZone, x: int, a: int) -> bool:
    if isinstance(zone, ByteZone):
        return bool(zone.table[x, a])
    pairs = ((zone.x, x), (zone.a, a), (zone.step, a - x))
    return all(low <= value <= high for (low, high), value in pairs)


@pytest.mark.parametrize("element", ["uint8", "float32"])
def test_no_pair_that_a_query_allows_is_left_out(element: str) -> None:
    """Whatever satisfies it moves at one place at most, one of those named, and is in its zone."""
    random, understood, met = np.random.default_rng(0), 0, 0
    values = [0, 1, 2, 254, 255]
    x, _, a, _ = tensors(element)
    for _ in range(500):
        count = int(random.integers(1, 5))
        formulas = [inputs_formula(random, x, a, 2, values) for _ in range(count)]
        one = query(element, *formulas)
        found = moves(one)
        if found is None:
            continue
        understood += 1
        for left, right in pairs(random, values, 30):
            if not holds(one, {"X": left, "A": right}, exactly=True):
                continue
            met += 1
            differ = np.flatnonzero(left != right)
            assert differ.size <= 1
            assert set(differ.tolist()) <= set(found.places)
            for k, zone in found.zones.items():
                assert in_zone(zone, int(left[k]), int(right[k]))
    assert understood > 10
    assert met > 30


def test_a_weaker_reading_is_seen_by_the_test_above() -> None:
    """Were `or` read as `and`, a pair that the query allows would be left out."""
    x, _, a, _ = tensors("uint8")
    equal = [Comparison("==", Entry(x, k), Entry(a, k)) for k in range(PLACES)]
    loose = Junction("or", (equal[0], equal[1]))
    tight = Junction("and", (equal[0], equal[1]))
    left, right = np.array([1, 2, 3]), np.array([1, 3, 3])
    assert holds(query("uint8", loose, equal[2]), {"X": left, "A": right})
    found = moves(query("uint8", tight, equal[2]))
    assert found is not None
    assert 1 not in found.places
    found = moves(query("uint8", loose, equal[2]))
    assert found is not None
    assert found.places == (0, 1)


def outputs_formula(random: Random, y: Tensor, b: Tensor, depth: int) -> Formula:
    if depth and random.random() < 0.6:
        parts = [outputs_formula(random, y, b, depth - 1) for _ in range(2)]
        return Junction(str(random.choice(["and", "or"])), tuple(parts))
    k, j = random.integers(CLASSES, size=2)
    number = Constant(Fraction(int(random.integers(-8, 9)), 8))
    left: Arithmetic = Entry(y, int(k))
    match int(random.integers(4)):
        case 0 | 1:
            terms = (Entry(y, int(k)), Entry(b, int(k)))
            left = Operation("-", terms if random.random() < 0.5 else terms[::-1])
        case 2:
            one = Operation("-", (Entry(y, int(k)), Entry(y, int(j))))
            left = Operation("-", (one, Operation("-", (Entry(b, int(k)), Entry(b, int(j))))))
        case _:
            left = Operation("*", (Constant(2), Entry(y if random.random() < 0.5 else b, int(k))))
    return Comparison(str(random.choice(OPS)), left, number)


def cases(one: Query) -> tuple[Case, ...]:
    try:
        return cases_of(one.assertions)
    except QueryError:
        return ()


def test_no_case_that_can_be_is_refuted() -> None:
    """Outputs no further apart than is proved never satisfy a query that is said to be unsat."""
    random, refuted = np.random.default_rng(1), 0
    _, y, _, b = tensors("uint8")
    grid = [np.array(p) / 8 for p in itertools.product(range(-4, 5, 2), repeat=CLASSES)]
    for _ in range(300):
        one = query("uint8", *(outputs_formula(random, y, b, 2) for _ in range(2)))
        found, size = cases(one), Fraction(int(random.integers(0, 7)), 8)
        bound = Bound(size, None) if random.random() < 0.5 else Bound(None, size)
        if not found or not all(case.refuted(bound) for case in found):
            continue
        refuted += 1
        for left, right in itertools.product(grid, repeat=2):
            moved = np.abs(left - right).max()
            if bound.one is None:
                moved = abs((left[0] - left[1]) - (right[0] - right[1]))
            if moved <= size:
                assert not holds(one, {"Y": left, "B": right}, exactly=True)
    assert refuted > 15


def test_refuting_needs_the_whole_bound() -> None:
    """A bound equal to what is asked refutes `more than`, and not `at least`."""
    _, y, _, b = tensors("uint8")
    apart = Operation("-", (Entry(y, 0), Entry(b, 0)))
    at_least, more = (cases(query("uint8", Comparison(op, apart, Constant(Fraction(1, 2)))))
                      for op in (">=", ">"))  # fmt: skip
    bound = Bound(Fraction(1, 2), None)
    assert more[0].refuted(bound)
    assert not at_least[0].refuted(bound)
    assert at_least[0].refuted(Bound(Fraction(1, 2) - Fraction(1, 10**30), None))
    assert not more[0].refuted(Bound(None, Fraction(0))), "one logit alone has no bound"


def test_numbers_have_to_satisfy_it_exactly_and_rounded(tmp_path: Path) -> None:
    text = declared() + one_moves(1) + "(assert (> (- Y[0,0] B[0,0]) 0.1))"
    read = read_query(written(tmp_path, text))
    x = np.full(4, 7)
    a = x + np.array([0, 1, 0, 0])
    near = np.float32(0.1)  # a little more than 0.1
    values = {"X": x, "Y": np.array([near, 0, 0]), "A": a, "B": np.zeros(3)}
    assert holds(read, values, exactly=True)
    assert not holds(read, values), "in binary32 it is 0.1, and not more"
    assert holds(read, {**values, "Y": np.array([np.nextafter(near, np.float32(1)), 0, 0])})
    assert not holds(read, {**values, "A": x + 1}), "all places move"
