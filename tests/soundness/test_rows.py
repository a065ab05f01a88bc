"""First layers that are taken row by row, as those of large images are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.derive import derivation, rows
from lastbit_check.derive.changes import EXACT, first_changes, largest
from lastbit_check.derive.derivation import Derivation, derive
from lastbit_check.derive.frame import Frame
from lastbit_check.derive.ledger import Entry
from lastbit_check.derive.reach import Reach
from lastbit_check.operators import kernels, layers
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.question import (
    ANY_TWO,
    EXECUTIONS,
    LAST_BIT,
    Move,
    Question,
    asking,
    of_one_image,
)
from soundness.exactly import real
from soundness.harness import NearlyLinear, assault, built, random_hints, subject_of
from support.seeds import seeds

Values = Mapping[str, Value]
Masks = Mapping[str, Reach]
Changes = tuple[dict[Entry, Fix], dict[str, dict[str, Bound]]]
CLOSE, TINY = 1 + 2.0**-15, 2.0**-24  # bounds are rounded up, on grids of their own


def derived(
    seed: int, monkeypatch: pytest.MonkeyPatch, question: Question = LAST_BIT
) -> Derivation:
    """Two convolutions of odd shapes before the first SiLU, a third before the base."""
    random = np.random.default_rng(seed)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((2, 9, 5)), 255)
    step = (int(random.integers(1, 4)), int(random.integers(1, 3)))
    x = b.conv(x, random.normal(size=(4, 2, 3, 2)), stride=step, padding=(1, 0, 2, 1))
    x = b.conv(x, random.normal(size=(4, 1, 2, 3)), padding=(0, 1, 1, 1), group=4)
    x = b.conv(b.silu(x), random.normal(size=(3, 4, 1, 1)), padding=(0, 1, 0, 0))
    b.softmax(b.dense(b.mean(b.silu(x, "base")), random.normal(size=(3, 3))))
    network = network_in(b.to_bytes())
    monkeypatch.setattr(derivation, "MANY_PLACES", 0)
    hints = replace(random_hints(network, seed), bases=frozenset({"base"}))
    return derive(network, question, hints)


@pytest.mark.parametrize("question", [LAST_BIT, asking(Move("levels", 9, 2))], ids=lambda q: q.name)
@pytest.mark.parametrize("seed", range(6))
def test_each_place_is_charged_no_less_than_alone(
    seed: int, monkeypatch: pytest.MonkeyPatch, question: Question
) -> None:
    """What is followed to every unit by itself, and no more than that and all that only rounds."""
    found = derived(seed, monkeypatch, question)
    frame, places = found.frame, 90
    without = dict.fromkeys(found.values)
    least, moves = first_changes(frame, found.values, found.reach, range(places))
    most, _ = first_changes(frame, found.values, without, range(places))
    still = of_one_image(frame.question)
    alone, _ = first_changes(replace(frame, question=still), found.values, without, range(1))
    for entry, low in least.items():
        said = real(found.ledger.effects[entry])
        assert said.shape == (3, 1 if entry.aspect == EXACT else places)
        assert np.all(said * CLOSE >= real(low)), entry
        top = real(most[entry]) + (real(alone[entry]) if entry.aspect == ANY_TWO else 0)
        assert np.all(said <= top * CLOSE), entry
    for name in EXECUTIONS:
        for node in frame.early:
            said = real(found.moves[name][node.name].radius)
            true = real(largest(moves[name][node.name]).radius)
            assert said.shape == (*node.shape, 1)
            assert np.all(said * CLOSE >= true - TINY * np.max(true)), (name, node.name)


@pytest.mark.parametrize("move", [Move(mask=((3, 40), (60, 61))), Move("bit", 2, 2, "all")])
def test_places_of_a_mask_and_whole_pixels_are_taken_as_they_are(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their cells are not the places in their order: nothing is taken row by row."""
    found = derived(2, monkeypatch, asking(move))
    assert not rows.stays_in_rows(found.frame)
    shape = found.frame.network.input.shape
    effects = found.ledger.effects[Entry(ANY_TWO, "remainder", found.frame.early[0].name)]
    assert effects.n.shape[1] == len(asking(move).cells(shape)) != math.prod(shape)


@pytest.mark.parametrize("what", ["a move", "an effect", "a place"])
def test_less_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each move by a hundredth, each effect likewise, or a place in the place of its neighbour."""

    def less(x: Fix) -> Fix:
        return Fix(x.n * 0.99, x.e)

    def changes(frame: Frame, values: Values, masks: Masks, places: range) -> Changes:
        moved = range(places.start, places.stop - 1) if len(places) > 1 else places
        effects, moves = first_changes(frame, values, masks, moved)
        return {e: less(x) if what == "an effect" else x for e, x in effects.items()}, moves

    if what == "a move":
        monkeypatch.setattr(
            rows, "largest", lambda b: Bound(less(largest(b).error), less(largest(b).spread))
        )
    else:
        monkeypatch.setattr(rows, "first_changes", changes)
    with pytest.raises(AssertionError):
        test_each_place_is_charged_no_less_than_alone(1, monkeypatch, LAST_BIT)


def test_no_move_that_others_make_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest effect is that of one place: of every place there is a column, in its order."""
    found = derived(0, monkeypatch)
    first = found.frame.early[0]
    said = real(found.ledger.effects[Entry(ANY_TWO, "remainder", first.name)])
    a = np.ldexp(found.frame.duals[first.name].a.n, -found.frame.duals[first.name].a.e)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert said == pytest.approx(np.abs([a[:, c] - a[:, j] for c, j in pairs]), rel=1e-5)
    assert len(a) == math.prod(first.shape)


@pytest.mark.parametrize("seed", range(3))
def test_pieces_make_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few numbers are held at a time."""
    whole = derived(seed, monkeypatch)
    monkeypatch.setattr(kernels, "BLOCK", 40)
    monkeypatch.setattr(layers, "BLOCK", 40)
    monkeypatch.setattr(kernels, "FEW", 0)
    found = derived(seed, monkeypatch)
    for name, value in whole.values.items():
        for x, y in ((value.c, found.values[name].c), (value.noise, found.values[name].noise)):
            assert np.array_equal(real(x), real(y)), name
    for name, dual in whole.frame.duals.items():
        assert np.array_equal(real(dual.a), real(found.frame.duals[name].a)), name
    for entry, effect in whole.ledger.effects.items():
        assert real(effect) == pytest.approx(real(found.ledger.effects[entry]), rel=1e-4), entry


@pytest.mark.parametrize("seed", seeds(4, 12))
def test_no_execution_leaves_what_was_derived(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derivation, "MANY_PLACES", 0)
    model, network = built(NearlyLinear(seed, adversarial=seed % 2 > 0).b, tmp_path)
    subject = subject_of(model, network)
    assert rows.stays_in_rows(subject.derivation.frame)
    assault(subject, seed)
