"""Two executions of one image: never further apart than the bound, which attains what it must."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.bound.drift import derive_drift, unmoved
from lastbit.bound.walk import derive
from lastbit.hints import hints_for
from lastbit.graph import OnnxBuilder
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, softmax_error
from lastbit_check.cores import Spread
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.forward import image as bytes_of
from lastbit_check.layers import Layer
from lastbit_check.verdict import Rejected
from soundness.harness import (
    NearlyLinear,
    RandomNetwork,
    Subject,
    Values,
    attacks,
    built,
    off_exp,
    random_hints,
    run,
    ways,
)
from soundness.known import losing

NO_HINTS = Hints({})


def apart(subject: Subject, drift: Derived, values: Values, others: Values) -> None:
    """What must hold of two executions of one image."""
    network = subject.network
    z = (others[network.logits].astype(np.float64) - values[network.logits]).reshape(-1)
    spread = Fraction(float(np.max(z))) - Fraction(float(np.min(z)))
    assert spread <= drift.logits, (float(spread), float(drift.logits))
    p = np.abs(others[network.output].astype(np.float64) - values[network.output])
    assert Fraction(float(np.max(p))) <= drift.upper


def assault(subject: Subject, drift: Derived, seed: int) -> None:
    """Images that drive values up and down, each run in ways that differ."""
    how = ways(seed)
    for image, _ in attacks(subject, seed):
        first = run(subject.network, image, next(how))
        for _ in range(4):
            apart(subject, drift, first, run(subject.network, image, next(how)))


@pytest.mark.parametrize("seed", range(16))
def test_no_two_executions_are_further_apart(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    hints = hints_for(network)
    subject = Subject(network, derive(model, hints, keep=True))
    assault(subject, derive_drift(model, hints), seed)


@pytest.mark.parametrize("seed", range(12))
def test_nor_with_hints_at_random(tmp_path: Path, seed: int) -> None:
    model, network = built((NearlyLinear if seed % 2 else RandomNetwork)(seed).b, tmp_path)
    hints = random_hints(network, seed)
    subject = Subject(network, derive(model, hints, keep=True))
    assault(subject, derive_drift(model, hints), seed)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_at_most_the_bound_for_two_images(tmp_path: Path, seed: int) -> None:
    """A run may be compared with itself: the drift is one of the things the last bit adds to."""
    model, network = built((NearlyLinear if seed % 2 else RandomNetwork)(seed).b, tmp_path)
    hints = hints_for(network)
    both, drift = derive(model, hints), derive_drift(model, hints)
    assert 0 < drift.logits < both.logits
    assert drift.upper <= both.upper


def lost(tmp_path: Path) -> tuple[bytes, Subject, Values, Values]:
    """An image, run in two orders, whose forward sums lose products."""
    model, network = built(losing(), tmp_path)
    subject = Subject(network, derive(model, NO_HINTS, keep=True))
    white = np.full((1, 7, 7), 255, np.uint8)
    forward, reverse = (run(network, white, {"order": order}) for order in ("forward", "reversed"))
    return model, subject, forward, reverse


@pytest.mark.parametrize("hinted", [False, True])
def test_sums_that_lose_all_they_can_come_near_the_bound(tmp_path: Path, hinted: bool) -> None:
    model, subject, forward, reverse = lost(tmp_path)
    drift = derive_drift(model, hints_for(subject.network) if hinted else NO_HINTS)
    apart(subject, drift, forward, reverse)
    logits = subject.network.logits
    z = (reverse[logits].astype(np.float64) - forward[logits]).reshape(-1)
    assert abs(z[0] - z[1]) > 0.1 * float(drift.logits) > 0


def test_without_its_roundings_the_bound_would_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, subject, forward, reverse = lost(tmp_path)
    rounding = Layer.rounding

    def less(self: Layer, reach: Fix, whole: Fix) -> Fix:
        true = rounding(self, reach, whole)
        return Fix(true.n // 16, true.e)

    monkeypatch.setattr(Layer, "rounding", less)
    with pytest.raises(AssertionError):
        apart(subject, derive_drift(model, hints_for(subject.network)), forward, reverse)


def test_what_drifts_before_a_curve_is_bent_by_it(tmp_path: Path) -> None:
    """The remainder of a SiLU on the drift of its argument is a part of the bound."""
    rng = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.input_bytes((1, 5, 5)), rng.normal(size=(2, 1, 3, 3)), name="c"), name="s")
    b.softmax(b.dense(b.mean(x), rng.normal(size=(2, 2))))
    model, network = built(b, tmp_path)
    drift = derive_drift(model, hints_for(network))
    assert drift.nodes["c"]["rounding"] > 0
    assert drift.nodes["s"]["remainder"] > 0


def test_the_softmax_of_two_machines_is_in_it(tmp_path: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 4, 4))), np.zeros((4, 1)), np.zeros(4)))
    model, network = built(b, tmp_path)
    drift = derive_drift(model, NO_HINTS)
    subject = Subject(network, derive(model, NO_HINTS, keep=True))
    white = np.full((1, 4, 4), 255, np.uint8)
    first, other = (run(network, white, {"exp": off_exp(rate)}) for rate in (1.0, -1.0))
    assert first[network.output].tolist() != other[network.output].tolist()
    apart(subject, drift, first, other)
    assert drift.upper >= 2 * softmax_error(4)


def test_the_image_does_not_move_and_its_range_stays() -> None:
    none = Fix(np.zeros((1, 3, 3, 1)), 100)
    form = bytes_of((1, 3, 3)).form(Spread(none, none))
    still = unmoved(form)
    assert not still.moves.n.any()
    assert still.moves.n.shape == (1, 3, 3, 2)
    assert [v.n.tolist() for v in still.interval] == [v.n.tolist() for v in form.interval]


def test_a_network_that_may_overflow_has_no_bound(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**120))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    with pytest.raises(Rejected) as caught:
        derive_drift(built(b, tmp_path)[0], NO_HINTS)
    assert caught.value.rule == "finite.values"
