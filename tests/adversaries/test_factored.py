"""Factors, wherever a runtime applies them: no tree and no folding exceeds their charge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adversaries import factored
from adversaries.charged import without_roundings
from adversaries.factored import CASES, Factored, Group
from adversaries.shown import Show
from support.seeds import seeds


@pytest.mark.parametrize("label", CASES)
def test_a_product_made_for_it_is_within_and_would_not_be_without(label: str, show: Show) -> None:
    case = CASES[label]
    assert 0.2 < case.share() <= 1
    still = without_roundings(case.layer)
    assert case.share(layer=still) > 1
    show(label, case.share(), "one product")


@pytest.mark.parametrize("seed", seeds(6, 12))
def test_no_tree_with_factors_anywhere_exceeds_it(seed: int, show: Show) -> None:
    share, case = factored.climbed(seed, 60)
    assert 0.1 < share <= 1, case
    show("any factors", share, f"{len(case.layer.parts)} parts, a search over all numbers")


def test_without_the_roundings_of_factors_a_search_exceeds_it() -> None:
    found = [factored.climbed(seed, 60, without_roundings)[0] for seed in range(6)]
    assert sum(share > 1 for share in found) >= 2


def test_a_factor_is_charged_for_every_part_and_constant() -> None:
    """Of several that are scaled one alone does not do."""
    x = CASES["a factor"].groups[0]
    assert x.values is not None
    double = replace(x, values=(x.values[0] * 2,))
    twice = Factored((x, double, Group((x.factor,), None, x.factor)))
    assert twice.share() <= 1
    layer = twice.layer
    one, other = layer.parts
    for less in (
        replace(layer, parts=(replace(one, rounds=0 * one.rounds), other)),
        without_roundings(layer, parts=False),
    ):
        assert twice.charged(layer=less) < twice.charged()


def test_a_power_of_two_does_not_round() -> None:
    exact = Factored((Group((1.0,), (1 + 2.0**-23,), 0.25), Group((3.0,), None, 8.0, True)))
    assert exact.layer.steps == exact.layer.terms + 1
    assert not any(part.roundings.any() for part in exact.layer.parts)
    assert {*exact.results()} == {factored.nearest(exact.exact)}


def test_a_factor_of_zero_leaves_zero() -> None:
    gone = Factored((Group((0.75, 1.25), (1.5, 0.5), 0.0), Group((1.0,), (0.375,))))
    assert {*gone.results()} == {factored.nearest(gone.exact)}
    assert gone.share() <= 1


# ---- the adversary's own arithmetic ----------------------------------------------------------


def test_it_rounds_as_numpy_does() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 300)).astype(np.float32)
    for op in (np.add, np.multiply, np.divide):
        for a, b in zip(x, y, strict=True):
            p, q = factored.Fraction(float(a)), factored.Fraction(float(b))
            exact = {np.add: p + q, np.multiply: p * q, np.divide: p / q}[op]
            assert float(factored.nearest(exact)) == float(op(a, b))


def test_all_places_of_a_factor_are_tried() -> None:
    """(a x + b y) f: before, in the weights, on each product, on the whole."""
    f = np.float32
    a, b, x, y, s = (f(v) for v in (0.7, 1.3, 0.9, -0.4, 1.7))
    case = Factored((Group((float(a), float(b)), (float(x), float(y)), float(s)),))
    found = {float(v) for v in case.results()}
    ways = [
        (a * x + b * y) * s,
        (a * s) * x + (b * s) * y,
        (a * x) * s + (b * y) * s,
        a * (x * s) + b * (y * s),
        (a * s) * x + (b * y) * s,
    ]
    assert all(way.dtype == np.float32 and float(way) in found for way in ways)
