"""A decision that is certified is the same in every execution, however hostile; a tie is not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32.executor import execute_float64
from lastbit.graph import Network, OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.questions.decisions import Decisions, Reached, decided
from lastbit.questions.drift import derived_drift
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import Change, Made, nothing
from lastbit_check.operators.layers import Layer
from lastbit_check.question import ANY_TWO
from soundness.harness import NearlyLinear, built
from soundness.known import losing
from soundness.programs import Both, ways
from support.absorbing import absorber
from support.networks import RandomNetwork, random_images
from support.seeds import seeds


def leads(network: Network, values: Mapping[str, np.ndarray], label: int) -> np.ndarray:
    z = values[network.logits].reshape(-1)
    return z[label] - z


def hold(model: bytes, network: Network, seed: int, images: int = 3) -> int:
    """Run each image in hostile ways against its bounds; how many decisions were certified."""
    decisions, how, found = Decisions(model, hints_for(network)), ways(seed), 0
    shown = random_images(network, seed, images)
    references = [execute_float64(network, image, stored=True)[1] for image in shown]
    together, both = Reached(*references), Both(network, decisions.frame.network)
    for image, reference in zip(shown, references, strict=True):
        label = int(reference[network.logits].argmax())
        bounds = decisions.changes(Reached(reference), label)
        wide = decisions.changes(together, label)
        first = leads(network, reference, label)
        by_all, by_set, by_own = (
            decisions.level(reference, label, v) == 2 for v in (None, wide, bounds)
        )
        assert by_own or not by_all
        assert by_own or not by_set
        found += by_own
        other = 1 - min(label, 1)
        changes = decisions.changes(Reached(reference), other)
        assert not decisions.level(reference, other, changes)
        for way in itertools.islice(how, 5):
            values = both.run(image, way)
            for j, lead in enumerate(leads(network, values, label)):
                moved = abs(Fraction(float(lead)) - Fraction(float(first[j])))
                assert moved <= bounds[j], way
                assert moved <= wide[j], way
            p = values[network.output].reshape(-1)
            if by_own:
                assert all(p[label] > p[j] for j in range(len(p)) if j != label)
    return found


@pytest.mark.parametrize("seed", seeds(6, 10))
def test_no_execution_leaves_its_image_s_bound(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    hold(model, network, seed)


def test_most_decisions_of_small_networks_are_certified(tmp_path: Path) -> None:
    found = 0
    for seed in range(20, 23):
        model, network = built(NearlyLinear(seed).b, tmp_path)
        found += hold(model, network, seed)
    assert found >= 6


def test_layers_that_absorb_are_read_off_their_tables(tmp_path: Path) -> None:
    """Without tables the rounding of the large bias, which is there to be lost, would count."""
    path = tmp_path / "model.onnx"
    path.write_bytes(absorber())
    network = read_onnx(path)
    found, drift = derived_drift(path.read_bytes(), hints_for(network))
    assert 0 < drift.logits < Fraction(1, 2**12)
    assert not found.values["stem"].noise.n.any()
    assert found.moves[ANY_TWO]["stem"].radius.largest() == 0
    hold(path.read_bytes(), network, 3, images=8)


def test_what_was_reached_is_the_hull_of_the_executions() -> None:
    some = Reached({"a": np.array([1.0, 5.0])}, {"a": np.array([2.0, -1.0])})
    assert some.low["a"].tolist() == [1, -1]
    assert some.high["a"].tolist() == [2, 5]


def test_its_own_bound_is_the_sharper_one(tmp_path: Path) -> None:
    model, network = built(NearlyLinear(21).b, tmp_path)
    decisions = Decisions(model, hints_for(network))
    dark = np.zeros(network.input_shape, np.uint8)
    values = execute_float64(network, dark, stored=True)[1]
    assert 0 < max(decisions.changes(Reached(values), 0)) < decisions.everywhere


def test_without_its_roundings_the_bound_would_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums that lose 48 products just below half a unit: the harness sees a bound that is less."""
    model, network = built(losing(), tmp_path)
    white = np.full((1, 7, 7), 255, np.uint8)

    def farthest() -> tuple[Fraction, Fraction]:
        reference = execute_float64(network, white, stored=True)[1]
        decisions = Decisions(model, hints_for(network))
        bound = decisions.changes(Reached(reference), 0)[1]
        values = Both(network, decisions.frame.network).run(white, {"order": "forward"})
        lost = leads(network, values, 0)[1]
        return abs(Fraction(float(lost)) - Fraction(float(leads(network, reference, 0)[1]))), bound

    moved, bound = farthest()
    assert bound / 20 < moved <= bound
    rounding = Layer.rounding
    monkeypatch.setattr(
        Layer, "rounding", lambda s, *r: Fix(np.floor(rounding(s, *r).n / 32), rounding(s, *r).e)
    )
    moved, bound = farthest()
    assert moved > bound


def tied(apart: float) -> OnnxBuilder:
    b = OnnxBuilder()
    x = b.div(b.mean(b.input_bytes((1, 4, 4))), 255)
    b.softmax(b.dense(x, [[1.0], [1.0], [-1.0]], [apart, 0.0, 0.0]))
    return b


@pytest.mark.parametrize(("apart", "certain"), [(0.0, False), (1e-7, False), (1e-5, False),
                                                (-1.0, False), (1e-2, True)])  # fmt: skip
def test_a_tie_is_not_certified_nor_what_is_nearly_one(
    tmp_path: Path, apart: float, certain: bool
) -> None:
    model, network = built(tied(apart), tmp_path)
    decisions = Decisions(model, hints_for(network))
    values = execute_float64(network, np.full((1, 4, 4), 99, np.uint8), stored=True)[1]
    for changes in (None, decisions.changes(Reached(values), 0)):
        assert (decisions.level(values, 0, changes) == 2) == certain


def test_the_error_of_softmax_counts() -> None:
    s = softmax_error(10)
    assert not decided([Fraction(0)] * 9, 10)
    assert not decided([Fraction(1)] * 8 + [Fraction(-1, 100)], 10)
    assert not decided([s] * 9, 10)
    assert decided([30 * s] * 9, 10)
    assert decided([Fraction(1000)] * 9, 10)


class Silent:
    """A kind of node that does not round, or does not bend."""

    def __init__(self, kind: object, *, rounds: bool, bends: bool) -> None:
        self.kind, self.rounds, self.bends = kind, rounds, bends

    def __getattr__(self, name: str) -> object:
        return getattr(self.kind, name)

    def value(self, *given: object) -> Made:
        made: Made = self.kind.value(*given)  # type: ignore[attr-defined]
        return made if self.rounds else made._replace(noise=nothing(made.noise))

    def change(self, *given: object) -> Change:
        change: Change = self.kind.change(*given)  # type: ignore[attr-defined]
        return change if self.bends else change._replace(bend=nothing(change.bend))


def test_what_each_kind_of_node_adds_is_in_the_bound_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are the checker's: without the roundings, or the remainders, of one it is less."""
    model, network = built(NearlyLinear(21).b, tmp_path)
    decisions = Decisions(model, hints_for(network))
    values = execute_float64(network, np.full(network.input_shape, 200, np.uint8), stored=True)[1]
    whole = decisions.changes(Reached(values), 0)[1]
    kinds = {node.op for node in decisions.frame.network.computed} - {"input"}
    assert kinds == {"sum", "silu", "sigmoid", "gate"}
    for op in kinds:
        for rounds, bends in ((False, True), (True, False)):
            with monkeypatch.context() as patch:
                patch.setitem(KINDS, op, Silent(KINDS[op], rounds=rounds, bends=bends))
                less = decisions.changes(Reached(values), 0)[1]
            assert less < whole or (op, bends) in (("sum", False), ("sigmoid", False)), (op, bends)
            assert less <= whole
