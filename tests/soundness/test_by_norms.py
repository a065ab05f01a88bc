"""The bound by norms: no execution of any image, in any order, is further than it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit.certificate import draft
from lastbit.graph import Network, OnnxBuilder
from lastbit.hints import hints_for
from lastbit.hints.breakdown import divided
from lastbit.questions.drift import derived_drift
from lastbit_check.around.linear import Sums
from lastbit_check.around.near import Near
from lastbit_check.around.slopes import Other
from lastbit_check.around.steps import sum_of
from lastbit_check.certificate import Manifest, digest, hints_of, parse
from lastbit_check.check import check, network_in, proved
from lastbit_check.norms import followed, gains, products, roundings, steps
from lastbit_check.norms.apart import Apart, apart
from lastbit_check.norms.conclude import by_norms, differences
from lastbit_check.norms.followed import Followed, follow
from lastbit_check.norms.gains import Gain
from lastbit_check.norms.products import Scaling
from lastbit_check.norms.steps import Bending
from lastbit_check.question import (
    ANY_TWO,
    EXECUTIONS,
    LAST_BIT,
    SAME_PROGRAM,
    Move,
    asking,
    of_one_image,
)
from soundness.attacks import attacks, flipped
from soundness.exactly import exact_value
from soundness.harness import built, within
from soundness.programs import Both, Values, ways
from support.alive import AliveNetwork
from support.networks import RandomNetwork


@dataclass(frozen=True)
class Case:
    network: Network
    found: Followed

    @cached_property
    def moved(self) -> dict[str, Apart]:
        return {name: apart(self.found, name) for name in EXECUTIONS}

    @cached_property
    def differences(self) -> dict[str, NDArray[np.float64]]:
        return {name: differences(self.found, self.moved[name]) for name in EXECUTIONS}

    def check_run(self, values: Values) -> None:
        """Every value near the reference, every rounding within its norms."""
        form = self.found.network
        for node in form.computed:
            x = values[node.name].ravel()
            within(x - self.found.reference[node.name], self.found.away[node.name], node.name)
            error = x - exact_value(form, node, values).ravel().astype(np.float64)
            if node.inputs:
                within(error, self.found.noise[node.name], f"rounding of {node.name}")

    def check_pair(self, values: Values, others: Values, executions: str) -> None:
        logits = self.found.network.logits
        for name, size in self.moved[executions].sizes.items():
            within(others[name].ravel() - values[name].ravel(), size, f"{name} moves")
        change = others[logits].ravel() - values[logits].ravel()
        bound = self.differences[executions]
        assert np.all(np.abs(change[:, None] - change) <= bound)


def case(builder: OnnxBuilder, folder: Path) -> Case:
    model, network = built(builder, folder)
    return Case(network, follow(network_in(model), LAST_BIT))


def attack(one: Case, seed: int) -> None:
    how, both = ways(seed), Both(one.network, one.found.network)
    worst = [(0, 1, int(np.prod(one.network.input_shape)) // 2)]
    for image, place in attacks(one.network, worst, seed):
        runs = [[both.run(v, way) for v in (image, flipped(image, place))]
                for way in islice(how, 2)]  # fmt: skip
        for values in (v for pair in runs for v in pair):
            one.check_run(values)
        for pair in runs:
            one.check_pair(pair[0], pair[1], SAME_PROGRAM)
        one.check_pair(runs[0][0], runs[1][1], ANY_TWO)
        one.check_pair(runs[1][0], runs[0][1], ANY_TWO)


@pytest.mark.parametrize("seed", range(3))
def test_no_execution_of_a_live_network_is_further(tmp_path: Path, seed: int) -> None:
    made = AliveNetwork(seed, side=6 + seed, width=4, blocks=2, terms=(0, 3)[seed % 2])
    attack(case(made.b, tmp_path), seed)


@pytest.mark.parametrize("seed", range(6))
def test_no_execution_of_any_network_is_further(tmp_path: Path, seed: int) -> None:
    """Weights of any size, gates of any kind; ranges may overflow, which is refused."""
    made = RandomNetwork(seed, adversarial=seed % 3 == 2, batch_norm=False)
    attack(case(made.b, tmp_path), seed)


@pytest.mark.parametrize("rule", ["gains", "slopes", "gates", "roundings", "reference"])
def test_weaker_rules_are_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """The attacks above would see each rule that is too small by some."""
    made = AliveNetwork(0, side=6, width=4, blocks=1, squeeze=2.0)
    attack(case(made.b, tmp_path), 0)
    weaken(monkeypatch, rule)
    with pytest.raises(AssertionError):
        attack(case(made.b, tmp_path), 0)


def weaken(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    match rule:
        case "gains":
            true = gains.gain_of
            monkeypatch.setattr(steps, "gain_of", lambda *given: shrunk(true(*given), 0.2))
        case "slopes":
            bending = steps.bending
            monkeypatch.setattr(followed, "bending", lambda *given: flat(bending(*given)))
        case "gates":
            scaling = products.scaling
            monkeypatch.setattr(followed, "scaling", lambda *given: kept(scaling(*given)))
        case "roundings":
            monkeypatch.setattr(roundings, "U", roundings.U / 400)
        case _:
            monkeypatch.setattr(followed, "sum_of", shifted)


def shrunk(gain: Gain, by: float) -> Gain:
    return Gain(gain.total * by, gain.channels * by, gain.rows * by)


def flat(step: Bending) -> Bending:
    return replace(step, middle=0.3 * step.middle, off=0.3 * step.off)


def kept(step: Scaling) -> Scaling:
    """A gate that never moves."""
    middle, off = (0 * step.middle[0], 0.2 * step.middle[1]), (0 * step.off[0], 0 * step.off[1])
    return replace(step, middle=middle, off=off, together=0 * step.together)


def shifted(sums: Sums, near: Mapping[str, Near]) -> Other:
    found = sum_of(sums, near)
    return found._replace(value=found.value + 40.0)


@pytest.mark.parametrize("move", [
    Move("bit", 7), Move("levels", 3), Move("bit", 0, 2), Move("bit", 0, 1, "all"), Move("nothing"),
])  # fmt: skip
def test_other_moves(tmp_path: Path, move: Move) -> None:
    """Pairs of images that a move leads between, by one program and by two."""
    b = OnnxBuilder()
    rng = np.random.default_rng(3)
    x = b.div(b.input_bytes((2, 4, 4)), 255)
    x = b.silu(b.conv(x, rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), padding=1))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 3))))
    model, network = built(b, tmp_path)
    question = of_one_image(LAST_BIT) if move.by == "nothing" else asking(move)
    form = network_in(model, question)
    found = by_norms(form, question)
    both, how = Both(network, form), ways(0)
    cells = question.cells(form.input.shape)
    for _ in range(4):
        image = rng.integers(0, 256, (2, 4, 4)).astype(np.uint8)
        other = image.copy().ravel()
        for cell in rng.choice(len(cells), move.cells, replace=False):
            for place in cells[cell]:
                low = int(other[place])
                other[place] = {"bit": low ^ (1 << move.size), "nothing": low}.get(
                    move.by, min(255, low + move.size))  # fmt: skip
        runs = [[both.run(v, way) for v in (image, other.reshape(image.shape))]
                for way in islice(how, 2)]  # fmt: skip
        pairs = [(SAME_PROGRAM, *run) for run in runs] + [(ANY_TWO, runs[0][0], runs[1][1])]
        for executions, one, two in pairs:
            change = (two[form.logits] - one[form.logits]).ravel()
            bound = found.bounds(executions)
            assert np.all(np.abs(change[:, None] - change) <= bound)


def certified(folder: Path, **changes: object) -> tuple[bytes, dict[str, Any]]:
    """A live network, and the fields of the certificate that `draft` makes of it."""
    model, network = built(AliveNetwork(1, side=6, width=4, blocks=3).b, folder)
    return model, {**json.loads(draft(model, hints_for(network)).manifest), **changes}


def sealed(fields: dict[str, Any]) -> Manifest:
    return parse({**fields, "digest": digest(fields)})


def test_a_certificate_by_norms_is_accepted(tmp_path: Path) -> None:
    """It names its nodes, and claims a little more than it proves, and no less."""
    model, fields = certified(tmp_path)
    found = check(model, sealed(fields))
    known = found.derivation.frame.norms
    assert known is not None
    assert set(fields["norms"]["nodes"]) < {n.name for n in known.found.network.nodes}
    for name in EXECUTIONS:
        upper = float.fromhex(fields["claim"][name]["upper"])
        assert found.claims[name].logits == known.worst[name][0]
        assert found.claims[name].upper <= upper <= found.claims[name].upper * (1 + 2.0**-13)
        division = divided(found, name)
        whole = sum(division.parts.values())
        assert abs(whole - found.claims[name].upper) < Fraction(1, 10**12)
        nodes = sum(sum(kinds.values()) for kinds in division.nodes.values())
        assert abs(nodes - found.claims[name].logits) < Fraction(1, 10**9)
        assert division.parts["first_layer"] > division.parts["rounding"] > 0


def test_some_nodes_by_norms_and_others_by_columns(tmp_path: Path) -> None:
    """Any subset proves something, and no more than all of them."""
    model, fields = certified(tmp_path)
    hints, names = hints_of(sealed(fields)), fields["norms"]["nodes"]
    every = proved(model, LAST_BIT, hints).claims[SAME_PROGRAM].logits
    for some in (names[:3], names[-4:], names[::2]):
        claims = proved(model, LAST_BIT, replace(hints, norms=frozenset(some))).claims
        assert 0 < claims[SAME_PROGRAM].logits <= every
    alone = proved(model, LAST_BIT, replace(hints, norms=frozenset())).claims
    assert alone[SAME_PROGRAM].logits > every
    drift, claim = derived_drift(model, hints)
    assert drift.frame.norms is not None
    assert 0 < claim.logits < every


def test_a_network_of_another_kind_keeps_its_certificate(tmp_path: Path) -> None:
    """Where norms say little less, nothing of them is in the certificate."""
    b = OnnxBuilder()
    x = b.mean(b.div(b.input_bytes((1, 4, 4)), 255.0))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    made = draft(model, hints_for(network))
    assert "norms" not in json.loads(made.manifest)
    assert made.norms[SAME_PROGRAM] > made.derived.claims[SAME_PROGRAM].logits * Fraction(9, 10)
