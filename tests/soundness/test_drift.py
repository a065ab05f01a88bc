"""Two executions of one image: never further apart than the bound, which attains what it must."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit.questions.drift import derived_drift
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.conclude import Claim, softmax_error
from lastbit_check.derive.ledger import REMAINDER, ROUNDING, Entry
from lastbit_check.operators.layers import Layer
from lastbit_check.question import ANY_TWO, LAST_BIT, ONE_IMAGE, SAME_PROGRAM
from lastbit_check.verdict import Rejected
from soundness.attacks import attacks
from soundness.exactly import real
from soundness.harness import NearlyLinear, Subject, built, random_hints, subject_of
from soundness.known import losing
from soundness.programs import Values, off_exp, ways
from support.networks import RandomNetwork
from support.seeds import seeds

NO_HINTS = Hints({})


def apart(subject: Subject, drift: Claim, values: Values, others: Values) -> None:
    """What must hold of two executions of one image."""
    network = subject.network
    z = (others[network.logits] - values[network.logits]).reshape(-1)
    spread = Fraction(float(np.max(z))) - Fraction(float(np.min(z)))
    assert spread <= drift.logits, (float(spread), float(drift.logits))
    p = np.abs(others[network.output] - values[network.output])
    assert Fraction(float(np.max(p))) <= drift.upper


def assault(subject: Subject, drift: Claim, seed: int) -> None:
    """Images that drive values up and down, each run in ways that differ."""
    how = ways(seed)
    worst = [claim.worst for claim in subject.derived.claims.values()]
    for image, _ in attacks(subject.network, worst, seed):
        first = subject.run(image, next(how))
        for _ in range(4):
            apart(subject, drift, first, subject.run(image, next(how)))


@pytest.mark.parametrize("seed", seeds(8, 16))
def test_no_two_executions_are_further_apart(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    hints = hints_for(network)
    assault(subject_of(model, network, hints), derived_drift(model, hints)[1], seed)


@pytest.mark.parametrize("seed", seeds(6, 12))
def test_nor_with_hints_at_random(tmp_path: Path, seed: int) -> None:
    model, network = built((NearlyLinear if seed % 2 else RandomNetwork)(seed).b, tmp_path)
    hints = random_hints(network_in(model), seed)
    assault(subject_of(model, network, hints), derived_drift(model, hints)[1], seed)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_at_most_the_bound_for_two_images(tmp_path: Path, seed: int) -> None:
    """A run may be compared with itself: the drift is one of the things the last bit adds to."""
    model, network = built((NearlyLinear if seed % 2 else RandomNetwork)(seed).b, tmp_path)
    hints = hints_for(network)
    both, (found, drift) = subject_of(model, network, hints), derived_drift(model, hints)
    assert 0 < drift.logits < both.logits()
    assert drift.upper <= both.upper()
    for name, bound in found.moves[ANY_TWO].items():
        moves = both.derivation.moves[ANY_TWO][name]
        assert np.all(real(bound.radius)[..., :1] <= real(moves.radius) * (1 + 2.0**-20))


def lost(tmp_path: Path) -> tuple[bytes, Subject, Values, Values]:
    """An image, run in two orders, whose forward sums lose products."""
    model, network = built(losing(), tmp_path)
    subject = subject_of(model, network, NO_HINTS)
    white = np.full((1, 7, 7), 255, np.uint8)
    forward, reverse = (subject.run(white, {"order": order}) for order in ("forward", "reversed"))
    return model, subject, forward, reverse


@pytest.mark.parametrize("hinted", [False, True])
def test_sums_that_lose_all_they_can_come_near_the_bound(tmp_path: Path, hinted: bool) -> None:
    model, subject, forward, reverse = lost(tmp_path)
    drift = derived_drift(model, hints_for(subject.network) if hinted else NO_HINTS)[1]
    apart(subject, drift, forward, reverse)
    logits = subject.network.logits
    z = (reverse[logits] - forward[logits]).reshape(-1)
    assert abs(z[0] - z[1]) > 0.1 * float(drift.logits) > 0


def test_without_its_roundings_the_bound_would_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, subject, forward, reverse = lost(tmp_path)
    rounding = Layer.rounding

    def less(self: Layer, reaches: list[Fix], whole: Fix) -> Fix:
        true = rounding(self, reaches, whole)
        return Fix(true.n // 16, true.e)

    monkeypatch.setattr(Layer, "rounding", less)
    with pytest.raises(AssertionError):
        apart(subject, derived_drift(model, hints_for(subject.network))[1], forward, reverse)


def test_what_drifts_before_a_curve_is_bent_by_it(tmp_path: Path) -> None:
    """The remainder of a SiLU on the drift of its argument is a part of the bound."""
    rng = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.input_bytes((1, 5, 5)), rng.normal(size=(2, 1, 3, 3)), name="c"), name="s")
    b.softmax(b.dense(b.mean(x), rng.normal(size=(2, 2))))
    model, network = built(b, tmp_path)
    effects = derived_drift(model, hints_for(network))[0].ledger.effects
    assert effects[Entry(ANY_TWO, ROUNDING, "c")].n.any()
    assert effects[Entry(ANY_TWO, REMAINDER, "s")].n.any()


def test_the_softmax_of_two_machines_is_in_it(tmp_path: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 4, 4))), np.zeros((4, 1)), np.zeros(4)))
    model, network = built(b, tmp_path)
    drift = derived_drift(model, NO_HINTS)[1]
    subject = subject_of(model, network, NO_HINTS)
    white = np.full((1, 4, 4), 255, np.uint8)
    first, other = (subject.run(white, {"exp": off_exp(rate)}) for rate in (1.0, -1.0))
    assert first[network.output].tolist() != other[network.output].tolist()
    apart(subject, drift, first, other)
    assert drift.upper >= 2 * softmax_error(4)


def test_the_image_does_not_move_and_its_range_stays() -> None:
    shape = (1, 3, 3)
    moves = ONE_IMAGE.moves(shape, range(ONE_IMAGE.places(shape)))
    assert not moves.radius.n.any()
    assert moves.radius.n.shape == (1, 3, 3, 1)
    ranges = [ask.image(shape).interval for ask in (ONE_IMAGE, LAST_BIT)]
    assert [v.n.tolist() for v in ranges[0]] == [v.n.tolist() for v in ranges[1]]


def test_one_program_computes_of_one_image_what_it_computed(tmp_path: Path) -> None:
    """Nothing is reached from an image that does not move; softmax is charged all the same."""
    model, network = built(NearlyLinear(1).b, tmp_path)
    found, _ = derived_drift(model, hints_for(network))
    for name in found.moves[SAME_PROGRAM]:
        assert not found.moves[SAME_PROGRAM][name].radius.n.any()


def test_a_network_that_may_overflow_has_no_bound(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**120))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    with pytest.raises(Rejected) as caught:
        derived_drift(built(b, tmp_path)[0], NO_HINTS)
    assert caught.value.rule == "finite.values"
