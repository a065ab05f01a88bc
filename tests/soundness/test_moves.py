"""Other moves than the last bit of one place: never exceeded, close where Q is known, checked."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.certificate.write import draft
from lastbit.float32.executor import execute_float64
from lastbit.graph import Asked, Network, OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.questions.decisions import Decisions
from lastbit_check.assumptions import STORED, assumptions
from lastbit_check.certificate import Hints, question_as_data, question_from
from lastbit_check.check import Derived, proved
from lastbit_check.derive import conclude, reach
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.question import (
    ANY_TWO,
    EXECUTIONS,
    LAST_BIT,
    SAME_PROGRAM,
    Move,
    Question,
    asking,
)
from lastbit_check.verdict import Rejected
from soundness.attacks import climb
from soundness.harness import NearlyLinear, random_hints
from soundness.programs import Both, Values, ways
from soundness.small import Fields, changed, fields_of, put, verdict
from support.moves import neighbour
from support.networks import RandomNetwork, random_images
from support.planted import silu
from support.seeds import seeds

MOVES = {
    "bit 3": Move("bit", 3),
    "bit 7": Move("bit", 7),
    "levels 5": Move("levels", 5),
    "two places": Move(cells=2),
    "three places by bit 2": Move("bit", 2, 3),
    "four levels in two places": Move("levels", 4, 2),
    "a mask": Move(mask=((1, 4), (9, 11))),
    "two of a mask by bit 1": Move("bit", 1, 2, mask=((0, 2), (5, 6))),
    "a pixel": Move(channels="all"),
    "two pixels by 3 levels": Move("levels", 3, 2, "all"),
    "a pixel of a mask by bit 4": Move("bit", 4, channels="all", mask=((2, 5),)),
}


class Coloured(RandomNetwork):
    """Of two or three channels; half of them nearly linear after the first SiLU."""

    def _build(self) -> None:
        b, random = self.b, self.random
        self.size = (int(random.integers(3, 6)), int(random.integers(3, 6)))
        self.channels = int(random.integers(2, 4))
        x = b.div(b.input_bytes((self.channels, *self.size)), 255)
        x = self._convolution(x, outputs=3, activate=True)
        scale = np.float32(2.0 ** -(12 * random.integers(2)))
        x = b.affine(x, "mul", scale)
        x = (self._block, self._squeeze_excite)[random.integers(2)](x)
        x = b.affine(b.mean(x), "mul", 1 / scale)
        b.softmax(b.dense(x, self._weights((3, self.channels)), self._weights((3,))))


KINDS = (RandomNetwork, NearlyLinear, Coloured)


def read(builder: OnnxBuilder, folder: Path, question: Question) -> tuple[bytes, Network]:
    path = builder.save(folder / "model.onnx")
    return path.read_bytes(), read_onnx(Asked(path, question))


def holds(found: Derived, one: Values, other: Values, network: Network, executions: str) -> None:
    """Logits and probabilities of two runs are no farther apart than is claimed."""
    claim = found.claims[executions]
    z = (other[network.logits] - one[network.logits]).reshape(-1)
    spread = Fraction(float(np.max(z))) - Fraction(float(np.min(z)))
    assert spread <= claim.logits, (executions, float(spread), float(claim.logits))
    p = float(np.max(np.abs(other[network.output] - one[network.output])))
    assert Fraction(p) <= claim.upper, (executions, p, float(claim.upper))


def assault(model: bytes, network: Network, hints: Hints, seed: int) -> None:
    """Random and climbed images; each pair by one program, and by two, rewritten or not."""
    question, how, random = network.question, ways(seed), np.random.default_rng(seed)
    found = proved(model, question, hints)
    both = Both(network, found.derivation.frame.network, question)
    shape, worst = network.input_shape, found.claims[SAME_PROGRAM]
    cells = [worst.worst[2], *worst.before]
    chosen = question.cells(shape)
    places = np.arange(int(np.prod(shape)))
    whole = question.move.channels == "all"
    each = places.reshape(shape[0], -1).T if whole else places[:, None]
    numbers = [int(np.flatnonzero((each == chosen[k]).all(axis=1))[0]) for k in cells]
    way, (c, j, _) = next(how), worst.worst

    def score(image: Any) -> float:
        runs = [both.run(v, way)[network.logits].ravel()
                for v in (image, neighbour(image, question, seed, numbers))]  # fmt: skip
        z = runs[1] - runs[0]
        return abs(float(z[c] - z[j]))

    start = random.integers(0, 256, shape, dtype=np.uint8)
    pairs = [(start, neighbour(start, question, k)) for k in range(2)]
    corner = np.full(shape, 255, np.uint8)
    pairs.append((corner, neighbour(corner, question, 9)))
    climbed = climb(start, score)
    pairs.append((climbed, neighbour(climbed, question, seed, numbers)))
    for image, other in pairs:
        one, two = islice(how, 2)
        runs = [[both.run(v, way) for v in (image, other)] for way in (one, two)]
        for a, b in runs:
            holds(found, a, b, network, SAME_PROGRAM)
        holds(found, runs[0][0], runs[1][1], network, ANY_TWO)
        holds(found, runs[1][0], runs[0][1], network, ANY_TWO)


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_no_pair_of_a_move_exceeds_its_bound(tmp_path: Path, seed: int, name: str) -> None:
    question = asking(MOVES[name])
    made = KINDS[seed % 3] if question.move.channels == "one" else Coloured
    model, network = read(made(seed, adversarial=seed > 1).b, tmp_path, question)
    assault(model, network, hints_for(network), seed)


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("seed", seeds(1, 2))
def test_nor_with_hints_at_random(tmp_path: Path, seed: int, name: str) -> None:
    question = asking(MOVES[name])
    model, network = read(Coloured(seed + 7).b, tmp_path, question)
    assault(model, network, random_hints(network.normal, seed), seed)


# ---- networks whose Q is known ---------------------------------------------------------------


SIDE, SCALE = 2, 2.0**-18


def planted(weights: np.ndarray, folder: Path, question: Question) -> tuple[bytes, Network]:
    """The difference of two logits is the sum of w_p v_p, but for 2^-18 or so."""
    channels = weights.shape[0]
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((channels, SIDE, SIDE)), "mul", np.float32(SCALE))
    x = b.silu(b.conv(x, weights[None]))
    b.softmax(b.dense(x, [[2 / SCALE], [0.0]]))
    return read(b, folder, question)


def largest_change(weights: np.ndarray, question: Question) -> float:
    """Of the sum of w_p v_p over all allowed pairs, by the definition of the move."""
    move = question.move
    flat = np.abs(weights.reshape(weights.shape[0], -1))
    each = flat.sum(axis=0) if move.channels == "all" else flat.ravel()
    allowed = [k for first, end in move.mask for k in range(first, end)] or range(len(each))
    far = 2**move.size if move.by == "bit" else move.size
    return far * max(sum(each[list(some)]) for some in combinations(allowed, move.cells))


PLANTED = {
    **{name: MOVES[name] for name in ("bit 3", "bit 7", "levels 5", "two places", "a pixel")},
    "three places by bit 2": Move("bit", 2, 3),
    "two of three by 4 levels": Move("levels", 4, 2, mask=((0, 2), (5, 6))),
    "two pixels by 3 levels": Move("levels", 3, 2, "all"),
    "a pixel of two by bit 4": Move("bit", 4, channels="all", mask=((1, 3),)),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("seed", range(2))
def test_a_bound_that_is_known_is_come_near(tmp_path: Path, seed: int, name: str) -> None:
    question = asking(PLANTED[name])
    weights = np.random.default_rng(seed).uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32)
    weights /= largest_change(weights, question)
    model, network = planted(weights, tmp_path, question)
    found = proved(model, question, hints_for(network))
    for executions in EXECUTIONS:
        assert 1 - 1e-3 < float(found.claims[executions].logits) < 1.06, executions


def test_bits_bend_as_far_as_they_go(tmp_path: Path) -> None:
    """One SiLU of one byte: the largest change over all 128 pairs of a bit, table by table."""
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 1, 1)), 255), "mul", np.float32(9.0))
    x = b.silu(b.conv(x, np.ones((1, 1, 1, 1)), [-4.0]))
    b.softmax(b.dense(x, [[1.0], [0.0]]))
    z = silu(np.arange(256.0) * (9 / 255) - 4)
    for bit in range(8):
        question = asking(Move("bit", bit))
        model, network = read(b, tmp_path, question)
        low = [k for k in range(256) if not k & 1 << bit]
        true = max(abs(z[k + (1 << bit)] - z[k]) for k in low)
        found = proved(model, question, hints_for(network))
        assert true < float(found.claims[SAME_PROGRAM].logits) < 1.6 * true + 1e-3


def test_a_mask_leaves_out_what_may_not_change(tmp_path: Path) -> None:
    """All weight is on one place: without it there is only what softmax makes."""
    weights = np.zeros((1, SIDE, SIDE), np.float32)
    weights[0, 1, 0] = 1.0
    model, network = planted(weights, tmp_path, asking(Move(mask=((0, 2), (3, 4)))))
    found = proved(model, network.question, hints_for(network))
    assert found.claims[SAME_PROGRAM].logits < 2.0**-24
    only = asking(Move(mask=((2, 3),)))
    alone = proved(model, only, hints_for(network))
    assert float(alone.claims[SAME_PROGRAM].logits) > 0.9


def test_the_last_bit_is_what_it_was(tmp_path: Path) -> None:
    """Of one place by one level, and by its last bit, the bounds are the same; of more, larger."""
    model, network = read(NearlyLinear(1).b, tmp_path, LAST_BIT)
    hints = hints_for(network)
    last, level = (proved(model, q, hints) for q in (LAST_BIT, asking(Move("levels", 1))))
    assert last.claims == level.claims
    two = proved(model, asking(Move(cells=2)), hints)
    for name in EXECUTIONS:
        one = last.claims[name].logits
        assert one < two.claims[name].logits <= 2 * one
    chained = sum(last.claims[name].logits for name in EXECUTIONS)
    assert two.claims[ANY_TWO].logits < chained


# ---- what is broken is noticed ---------------------------------------------------------------


def exceeded(folder: Path, move: Move) -> bool:
    """Whether a pair of a planted network is farther apart than what is proved of it."""
    question = asking(move)
    weights = np.array([[[1.0, 0.9], [0.8, 0.7]], [[0.6, 0.5], [0.4, 0.3]]], np.float32)
    weights /= np.float32(largest_change(weights, question))
    model, network = planted(weights, folder, question)
    found = proved(model, question, hints_for(network))
    both = Both(network, found.derivation.frame.network, question)
    image = np.zeros(network.input_shape, np.uint8)
    cells = [k for first, end in move.mask for k in range(first, end)] or [*range(move.cells)]
    other = image.copy()
    order = other.reshape(2, -1).T if move.channels == "all" else other.reshape(-1, 1)
    for k in cells[: move.cells]:
        order[k] = 2**move.size if move.by == "bit" else move.size
    other = (order.T if move.channels == "all" else order).reshape(image.shape)
    one, two = (both.run(v, {"order": "forward"}) for v in (image, other))
    try:
        holds(found, one, two, network, SAME_PROGRAM)
    except AssertionError:
        return True
    return False


WEAKER: dict[str, tuple[type, str, Any, Move]] = {
    "a bit moves as little as the last": (
        Question, "step", property(lambda self: 1), Move("bit", 3)),
    "only one cell moves": (
        conclude.Balance, "_links", property(lambda self: 0), Move(cells=3)),
    "only the first channel moves": (
        Question, "cells", lambda self, shape: np.arange(4)[:, None], Move(channels="all")),
}  # fmt: skip


@pytest.mark.parametrize("name", WEAKER)
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    where, rule, weaker, move = WEAKER[name]
    assert not exceeded(tmp_path, move)
    monkeypatch.setattr(where, rule, weaker)
    assert exceeded(tmp_path, move)


def test_what_a_masked_place_reaches_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer places than numbers are not none: were nothing reached, no rounding would count."""
    question = asking(Move(mask=((1, 3),)))
    model, network = read(NearlyLinear(2).b, tmp_path, question)
    found = proved(model, question, hints_for(network))
    mask = found.derivation.reach[network.nodes[0].name]
    assert mask is not None and np.argwhere(mask).tolist() == [[1, 0], [2, 1]]
    monkeypatch.setattr(
        reach, "from_input", lambda node, _: np.zeros((int(np.prod(node.shape)), 1), np.bool_)
    )
    less = proved(model, question, hints_for(network))
    assert less.claims[SAME_PROGRAM].logits < found.claims[SAME_PROGRAM].logits


def test_a_tree_keeps_the_bytes_of_a_move_together() -> None:
    """A threshold parts no two bytes of any move, or is refused: by all pairs of all moves."""
    for bit in range(8):
        question, far = asking(Move("bit", bit)), 1 << bit
        pairs = [(k, k ^ far) for k in range(256) if k < k ^ far]
        assert sorted(question.pairs) == sorted(pairs)
        for t in range(255):
            assert question.splits_pair(t) == any(k <= t < j for k, j in pairs)
    assert all(asking(Move("levels", 3)).splits_pair(t) for t in range(255))


def test_any_two_of_several_places_assume_what_links_them(tmp_path: Path) -> None:
    _, network = read(NearlyLinear(0).b, tmp_path, LAST_BIT)
    one, two = (assumptions(network.normal, ANY_TWO, asking(Move(cells=k))) for k in (1, 2))
    assert {*two} - {*one} == {STORED}
    assert assumptions(network.normal, SAME_PROGRAM, asking(Move(cells=2))) == assumptions(
        network.normal, SAME_PROGRAM
    )


# ---- certificates ----------------------------------------------------------------------------


CERTIFIED = Move("bit", 2, 2, mask=((0, 3), (4, 8)))
FORM, QUESTION = "certificate.fields", "certificate.question"
SPOILT: dict[str, tuple[str, dict[str, Any]]] = {
    "another bit": ("claim.any-two", {"size": 3}),
    "levels for a bit": ("claim.any-two", {"by": "levels"}),
    "more places": ("claim.any-two", {"cells": 3}),
    "fewer places": ("certificate.assumptions", {"cells": 1}),
    "a larger mask": ("claim.any-two", {"mask": [[0, 3], [4, 8], [19, 20], [25, 26]]}),
    "no mask": ("claim.any-two", {"mask": []}),
    "whole pixels": ("claim.any-two", {"channels": "all", "mask": [[0, 3], [4, 5]]}),
    "bit 8": (QUESTION, {"size": 8}),
    "bit -1": (QUESTION, {"size": -1}),
    "no level": (QUESTION, {"by": "levels", "size": 0}),
    "256 levels": (QUESTION, {"by": "levels", "size": 256}),
    "nothing": (QUESTION, {"by": "nothing"}),
    "no place": (QUESTION, {"cells": 0}),
    "more places than there are": ("question.cells", {"cells": 8}),
    "places without number": ("question.cells", {"cells": 2**50}),
    "two channels": (QUESTION, {"channels": "two"}),
    "a mask beyond the image": ("question.cells", {"mask": [[0, 999]]}),
    "runs that touch": (QUESTION, {"mask": [[0, 3], [3, 8]]}),
    "runs that overlap": (QUESTION, {"mask": [[0, 5], [4, 8]]}),
    "runs in another order": (QUESTION, {"mask": [[4, 8], [0, 3]]}),
    "an empty run": (QUESTION, {"mask": [[3, 3]]}),
    "a run of one number": (QUESTION, {"mask": [[3]]}),
    "a run of three": (QUESTION, {"mask": [[0, 3, 5]]}),
    "a negative run": (QUESTION, {"mask": [[-2, 3]]}),
    "half a bit": (FORM, {"size": True}),
    "a word": (FORM, {"size": "last"}),
    "a list of places": (FORM, {"cells": [2]}),
    "one field more": (FORM, {"images": 1}),
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    question = asking(CERTIFIED)
    model, network = read(Coloured(3).b, tmp_path, question)
    made = draft(model, hints_for(network), question=question)
    (tmp_path / "certificate.json").write_bytes(made.manifest)
    return tmp_path


def test_only_its_own_move_is_accepted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = fields_of(folder)
    assert verdict(folder, capsys) == (0, "")
    for how, (rule, given) in SPOILT.items():
        put(folder, spoilt(fields, given), seal=True)
        assert verdict(folder, capsys) == (1, rule), how


def spoilt(fields: Fields, given: dict[str, Any]) -> Fields:
    return changed(fields, ("question", "move"), {**fields["question"]["move"], **given})


@pytest.mark.parametrize(
    ("name", "rule"),
    [("last-bit", QUESTION), ("one-image", QUESTION), ("move", QUESTION), ("moves", "")],
)
def test_a_question_has_one_name(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, rule: str
) -> None:
    put(folder, changed(fields_of(folder), ("question", "name"), name), seal=True)
    assert verdict(folder, capsys) == (int(bool(rule)), rule)


def test_the_last_bit_of_one_place_is_not_written_out() -> None:
    data = question_as_data(LAST_BIT)
    assert data == {"name": "last-bit", "pixels": [], "box": []}
    assert question_from(data) == LAST_BIT
    move = {**LAST_BIT.move._asdict(), "mask": []}
    for name in ("last-bit", "moves"):
        with pytest.raises(Rejected, match=QUESTION):
            question_from({**data, "name": name, "move": move})
    with pytest.raises(Rejected, match=QUESTION):
        question_from({**data, "name": "moves"})


@pytest.mark.parametrize("name", MOVES)
def test_a_question_is_read_as_it_is_written(name: str) -> None:
    question = asking(MOVES[name])
    assert question_from(question_as_data(question)) == question


def test_numbers_of_a_box_move_in_their_last_bit_only() -> None:
    box = {"box": [float(end).hex() for end in (0, 1)]}
    right = {**question_as_data(asking(Move(cells=2))), **box}
    assert question_from(right).distance == Fraction(1, 2**24)
    for move in (Move("bit", 1), Move("levels", 1)):
        with pytest.raises(Rejected, match=QUESTION):
            question_from({**question_as_data(asking(move)), **box})


def test_softmax_is_charged_once(tmp_path: Path) -> None:
    """However many places move, two probabilities are rounded."""
    weights = np.full((1, SIDE, SIDE), 2.0**-30, np.float32)
    model, network = planted(weights, tmp_path, asking(Move(cells=3)))
    claim = proved(model, network.question, hints_for(network)).claims[SAME_PROGRAM]
    assert claim.upper <= claim.logits + 2 * softmax_error(2)


def test_a_chain_has_as_many_links_as_places_move(tmp_path: Path) -> None:
    question = asking(Move(cells=3))
    model, network = read(NearlyLinear(4).b, tmp_path, question)
    for claim in proved(model, question, hints_for(network)).claims.values():
        assert len({claim.worst[2], *claim.before}) == 1 + len(claim.before) == 3
    without = replace(question, move=Move())
    assert proved(model, without, hints_for(network)).claims[ANY_TWO].before == ()


def test_a_decision_that_counts_moves_holds_for_what_they_make(tmp_path: Path) -> None:
    """Every image that a move makes of it, run in hostile ways, has the label of the image."""
    question, held = asking(Move("levels", 40, 2)), 0
    for seed in range(4):
        model, network = read(RandomNetwork(seed).b, tmp_path, question)
        hints = hints_for(network)
        moved = proved(model, question, hints).claims[SAME_PROGRAM].logits
        still, moving = (
            Decisions(model, hints, question=question, moved=m) for m in (Fraction(0), moved)
        )
        both, how = Both(network, moving.frame.network, question), ways(seed)
        for image in random_images(network, seed, 6):
            values = execute_float64(network, image, stored=True)[1]
            z = values[network.logits].ravel()
            label, counts = int(z.argmax()), moving.level(values, int(z.argmax())) == 2
            assert still.level(values, label) == 2 or not counts
            held += counts
            for way in islice(how, 2 * counts):
                other = both.run(neighbour(image, question, seed), way)[network.logits].ravel()
                assert int(other.argmax()) == label
                lead = (z[label] - z) - (other[label] - other)
                assert Fraction(float(np.max(np.abs(lead)))) <= moved + still.everywhere
    assert held
