"""Roundings that are taken together: the norm is what it is said to be, and no image beats it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit.bound.together import TrunkWalk, scales, take_together
from lastbit.bound.walk import derive
from lastbit.certificate.write import hints_for
from lastbit_check import together
from lastbit_check.check import ceil_float
from lastbit_check.verdict import Rejected
from soundness.harness import NearlyLinear, assault, built, subject_of

Floats = NDArray[np.float64]


def accepted(x: Floats) -> bool:
    try:
        together.contracts(np.rint(x * 2.0**together.BITS))
    except Rejected as error:
        assert error.rule == "together.norm"
        return False
    return True


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("alike", [False, True])
def test_a_norm_is_accepted_below_1_only(seed: int, alike: bool) -> None:
    """Of any shape, with one large singular value or all of them 1."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(int(random.integers(1, 60)), int(random.integers(1, 90))))
    if alike:
        u, _, v = np.linalg.svd(x, full_matrices=False)
        x = u @ v
    x /= np.linalg.norm(x, 2)
    assert accepted(x * 0.999)
    assert not accepted(x * (1 + 1e-9))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0])
def test_what_is_no_contraction(value: float) -> None:
    x = np.zeros((3, 4))
    assert accepted(x)
    x[1, 2] = value
    with np.errstate(all="ignore"):
        assert not accepted(x)


def climbed(b: Floats, g: Floats, random: np.random.Generator) -> float:
    """The largest sum_i g_i |(B v)_i| over signs v that turning them one after another finds."""
    best = 0.0
    for _ in range(20):
        v = random.choice([-1.0, 1.0], b.shape[1])
        for _ in range(40):
            v = np.sign(b.T @ (g * np.sign(b @ v))) + 0.0
            v[v == 0] = 1.0
        best = max(best, float(g @ np.abs(b @ v)))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_scales_are_nearly_the_best(seed: int, record_property: object) -> None:
    """No signs exceed what the scales say, and the best ones come within Grothendieck's factor."""
    random = np.random.default_rng(seed)
    shape = int(random.integers(2, 80)), int(random.integers(2, 120))
    b, g = random.normal(size=shape), random.uniform(0.01, 1, shape[0])
    b[:, : shape[1] // 2] *= 0.01
    hint = scales(b, g, 2e-3)
    q = np.ldexp(hint.columns.astype(float), -hint.exponent)
    assert accepted(b * hint.rows[:, None] * q)
    bound = float(np.linalg.norm(g / hint.rows) * np.linalg.norm(1 / q))
    reached = climbed(b, g, random) / bound
    assert 1 / 1.8 < reached <= 1
    assert callable(record_property)
    record_property("share", round(reached, 4))
    assert bound < float(g @ np.abs(b).sum(axis=1)) * 1.01


@pytest.mark.parametrize("seed", range(16))
def test_no_execution_exceeds_what_is_taken_together(tmp_path: Path, seed: int) -> None:
    """Sharper or as it was, for the pair that was worst; the walk of the checker agrees."""
    model, network = built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, tmp_path)
    hints = hints_for(network)
    if not hints.bases:
        pytest.skip("this network has no SiLU that bends before one that does not")
    alone = derive(model, hints)
    walk = TrunkWalk(model, hints)
    walk.run()
    found = take_together(walk)
    assert found.logits["linear-core"] <= alone.logits["linear-core"]
    assert ceil_float(derive(model, walk.hints).upper) == ceil_float(found.upper)
    assault(subject_of(model, network, walk.hints), seed)


def test_most_networks_take_roundings_together(tmp_path: Path) -> None:
    taken = 0
    for seed in range(16):
        model, network = built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, tmp_path)
        walk = TrunkWalk(model, hints_for(network))
        walk.run()
        take_together(walk)
        taken += bool(walk.hints.together)
    assert taken >= 6
