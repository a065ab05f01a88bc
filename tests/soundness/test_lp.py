"""Dual vectors from a linear program: no pair exceeds what they prove, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adversaries.weakened import weakened
from lastbit.bound import lp
from lastbit.bound.lp import Program, Separable, solved
from lastbit.hints import hints_for
from lastbit.graph import Network, flip_last_bit
from lastbit_check.certificate import Hints
from lastbit_check.derive.duals import DUAL_BITS
from lastbit_check.arithmetic.exact import Fix, from_float
from support.networks import RandomNetwork
from support.planted import plant
from soundness.harness import NearlyLinear, built, random_hints, run

ALIKE = 1 + Fraction(1, 2**30)  # what a grid of 34 bits, and one of 40, may cost


def networks(folder: Path, seed: int) -> tuple[bytes, Network, Hints]:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, folder)
    return model, network, random_hints(network, seed) if seed % 3 == 0 else hints_for(network)


def walked(model: bytes, hints: Hints) -> tuple[Separable, Fraction]:
    walk = Separable(model, hints)
    return walk, walk.run().logits


def planted_spread(folder: Path, seed: int) -> tuple[Separable, Fraction, Fraction]:
    """How far a planted pair moves a difference of logits, and what the adjoint proves."""
    one = plant(seed)
    model, network = built(one.builder, folder)
    row, column = one.pixel
    images = one.image, flip_last_bit(one.image, row, column)
    z = [run(network, image, {})[network.logits].astype(np.float64).ravel() for image in images]
    return *walked(model, hints_for(network)), Fraction(float(np.ptp(z[1] - z[0])))


@pytest.mark.parametrize("seed", range(24))
def test_it_proves_no_more_than_the_adjoint(tmp_path: Path, seed: int) -> None:
    model, _, hints = networks(tmp_path, seed)
    walk, adjoint = walked(model, hints)
    found, count = solved(walk)
    assert found <= adjoint * ALIKE
    assert count >= 1


def test_it_is_sharper_where_changes_are_known_better_than_by_the_core(tmp_path: Path) -> None:
    shares = list[float]()
    for seed in range(24):
        model, _, hints = networks(tmp_path, seed)
        walk, adjoint = walked(model, hints)
        shares.append(float(solved(walk)[0] / adjoint))
    assert min(shares) < 0.8


@pytest.mark.parametrize("seed", range(30))
def test_no_planted_pair_moves_the_logits_further(tmp_path: Path, seed: int) -> None:
    walk, _, spread = planted_spread(tmp_path, seed)
    assert spread <= solved(walk)[0]


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
    walk, _, spread = planted_spread(tmp_path, seed)
    least = solved(walk)[0]
    random, worst = np.random.default_rng(seed), Fraction(0)
    for row in range(len(walk.ledger.pairs)):
        for pixel in range(walk.nodes[0].shape[1] * walk.nodes[0].shape[2]):
            program = Program(walk, row, pixel)
            vectors = {name: from_float(VECTORS[kind](random, (k - i, 1)), DUAL_BITS)[0]
                       for name, (i, k) in walk.places.items()}  # fmt: skip
            worst = max(worst, program.proved(vectors))
    assert worst >= spread
    assert worst * ALIKE >= least


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bound += _product(off, self.moves[node.name])", "pass"),
        ("bound += _product(a.abs(), self.own[node.name])", "pass"),
        ("inputs.count(node.name)", "0"),
    ],
    ids=["no defects", "nothing of the nodes' own", "no core"],
)
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    """With vectors that are made for it: none at all, the adjoint, or the adjoint of another."""
    monkeypatch.setattr(Program, "proved", weakened(Program.proved, right, wrong))
    exceeded = 0
    for seed in range(12):
        walk, _, spread = planted_spread(tmp_path, seed)
        bounds = list[Fraction]()
        for row, (c, j) in enumerate(walk.ledger.pairs):
            dual = {name: Fix(x.a.n[:, [c]] - x.a.n[:, [j]], x.a.e)
                    for name, x in walk.duals.items()}  # fmt: skip
            none = {name: Fix(0 * x.n, x.e) for name, x in dual.items()}
            for pixel in range(walk.nodes[0].shape[1] * walk.nodes[0].shape[2]):
                program = Program(walk, row, pixel)
                bounds.append(min(program.proved(dual), program.proved(none)))
        exceeded += max(bounds) < spread
    assert exceeded >= 3


def test_a_solver_that_fails_costs_nothing_but_tightness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failed:
        status = 4

    monkeypatch.setattr(lp, "linprog", lambda *_, **__: Failed())
    for seed in range(6):
        walk, adjoint, spread = planted_spread(tmp_path, seed)
        assert spread <= solved(walk)[0] <= adjoint * ALIKE
