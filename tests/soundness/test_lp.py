"""Dual vectors from a linear program: no pair exceeds what they prove, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.graph import Network, flip_last_bit
from lastbit.hints import hints_for
from lastbit.methods import lp
from lastbit.methods.lp import Program, Relaxation, solved
from lastbit_check.arithmetic.exact import Fix, from_float
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.duals import DUAL_BITS
from lastbit_check.derive.ledger import difference
from lastbit_check.question import ANY_TWO
from soundness.harness import NearlyLinear, Subject, built, random_hints, subject_of
from support.networks import RandomNetwork
from support.planted import plant

pytestmark = pytest.mark.slow

ALIKE = 1 + Fraction(1, 2**30)  # what a grid of 34 bits, and one of 40, may cost


def networks(folder: Path, seed: int) -> tuple[bytes, Network, Hints]:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, folder)
    if seed % 3:
        return model, network, hints_for(network)
    return model, network, random_hints(network_in(model), seed)


def related(subject: Subject) -> tuple[Relaxation, Fraction]:
    """What is known of two runs, and what the adjoint proves with separate units."""
    derivation = subject.derivation
    return Relaxation(derivation), Balance(derivation, ANY_TWO).claim(lambda _, __: None).logits


def planted_spread(folder: Path, seed: int) -> tuple[Relaxation, Fraction, Fraction]:
    """The same of a planted network, and how far its pair moves a difference of logits."""
    one = plant(seed)
    subject = subject_of(*built(one.builder, folder))
    row, column = one.pixel
    images = one.image, flip_last_bit(one.image, row, column)
    z = [subject.run(image, {})[subject.form.logits].ravel() for image in images]
    return *related(subject), Fraction(float(np.ptp(z[1] - z[0])))


def programs(known: Relaxation) -> Iterator[Program]:
    """Of all pairs of classes and places."""
    frame = known.frame
    for row in range(len(frame.pairs)):
        for place in range(frame.question.places(frame.network.input.shape)):
            yield Program(known, row, place)


@pytest.mark.parametrize("seed", range(24))
def test_it_proves_no_more_than_the_adjoint(tmp_path: Path, seed: int) -> None:
    known, adjoint = related(subject_of(*networks(tmp_path, seed)))
    found, count = solved(known)
    assert found <= adjoint * ALIKE
    assert count >= 1


def test_it_is_sharper_where_changes_are_known_better_than_by_the_core(tmp_path: Path) -> None:
    shares = list[float]()
    for seed in range(24):
        known, adjoint = related(subject_of(*networks(tmp_path, seed)))
        shares.append(float(solved(known)[0] / adjoint))
    assert min(shares) < 0.8


@pytest.mark.parametrize("seed", range(30))
def test_no_planted_pair_moves_the_logits_further(tmp_path: Path, seed: int) -> None:
    known, _, spread = planted_spread(tmp_path, seed)
    assert spread <= solved(known)[0]


VECTORS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    "none": lambda _, shape: np.zeros(shape),
    "small": lambda random, shape: random.normal(size=shape) * 1e-3,
    "large": lambda random, shape: random.normal(size=shape) * 1e6,
    "far apart": lambda random, shape: random.normal(size=shape) ** 31,
}


@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_vectors_are_the_bound_holds(tmp_path: Path, seed: int, kind: str) -> None:
    """They need not come from anywhere; the solver's are nearly the best."""
    known, _, spread = planted_spread(tmp_path, seed)
    least = solved(known)[0]
    random, worst = np.random.default_rng(seed), Fraction(0)
    for program in programs(known):
        vectors = {name: from_float(VECTORS[kind](random, (k - i, 1)), DUAL_BITS)[0]
                   for name, (i, k) in known.places.items()}  # fmt: skip
        worst = max(worst, program.proved(vectors))
    assert worst >= spread
    assert worst * ALIKE >= least


def none(of: dict[str, Fix]) -> dict[str, Fix]:
    return {name: Fix(0 * x.n, x.e) for name, x in of.items()}


def no_defects(program: Program) -> None:
    program.moves = none(program.moves)


def nothing_of_its_own(program: Program) -> None:
    program.own = none(program.own)


def no_core(program: Program) -> None:
    known = Relaxation(program.known.derivation)
    known.frame = replace(known.frame, cores={})
    program.known = known


@pytest.mark.parametrize("weaken", [no_defects, nothing_of_its_own, no_core])
def test_a_weaker_rule_is_exceeded(tmp_path: Path, weaken: Callable[[Program], None]) -> None:
    """With vectors that are made for it: none at all, the adjoint, or the adjoint of another."""
    exceeded = 0
    for seed in range(12):
        known, _, spread = planted_spread(tmp_path, seed)
        bounds = list[Fraction]()
        for program in programs(known):
            duals = known.frame.duals
            dual = {name: difference(duals[name], program.pair) for name in known.places}
            weaken(program)
            bounds.append(min(program.proved(dual), program.proved(none(dual))))
        exceeded += max(bounds) < spread
    assert exceeded >= 3


def test_a_solver_that_fails_costs_nothing_but_tightness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failed:
        status = 4

    monkeypatch.setattr(lp, "linprog", lambda *_, **__: Failed())
    for seed in range(6):
        known, adjoint, spread = planted_spread(tmp_path, seed)
        assert spread <= solved(known)[0] <= adjoint * ALIKE
