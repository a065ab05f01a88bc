"""What `Layer.rounding` charges: no tree exceeds it, and each of its rules is needed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from adversaries import sums
from adversaries.charged import Weaker, rounding
from adversaries.shown import Show
from adversaries.trees import all_sums, chain, integer, rounded, terms_of
from lastbit.float32 import ORDERS, execute, ordered_sum
from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.operators.layers import Layer
from lastbit_check.question import LAST_BIT
from soundness.harness import built

LEAST = {
    "partial sums up to (M + F) / 2": 0.9999,
    "the whole up to F": 0.99,
    "exact products": 0.9999,
    "products that round": 0.9999,
    "terms that are not 0": 0.9999,
    "a bias": 0.95,
    "two constants": 0.9,
    "a residual": 0.99,
    "several parts": 0.99,
}


@pytest.mark.parametrize("rule", sums.CASES)
def test_a_sum_made_for_the_rule_stays_within_it_and_nearly_uses_it_up(
    rule: str, show: Show
) -> None:
    shares = {label: case.share() for label, case in sums.CASES[rule].items()}
    assert LEAST[rule] <= max(shares.values()) <= 1, shares
    label = max(shares, key=lambda one: shares[one])
    show(rule, shares[label], label)


WRONG: list[tuple[str, Weaker, sums.Sum]] = [
    ("the cap without F", Weaker(cap_whole=False), sums.cancelled(16, 0.25)),
    ("half of the cap", Weaker(share=0.25), sums.cancelled(5)),
    ("no rounding of the whole", Weaker(whole=0.0), sums.ladder(2)),
    ("one addition less", Weaker(additions=1), sums.with_zeros(4)),
    ("every product exact", Weaker(own=False), sums.rounded_products(2)),
    ("no bias", Weaker(constants=False), sums.biased(7)),
    ("no constants", Weaker(constants=False), sums.shifted(5)),
    ("no residual, only the convolution", Weaker(parts=1), sums.joined(7, 0)),
    ("two parts of three", Weaker(parts=2), sums.joined(3)),
]


@pytest.mark.parametrize(("rule", "case"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_weaker_rule_is_exceeded(rule: Weaker, case: sums.Sum) -> None:
    assert case.share() <= 1 < case.share(rule)


@pytest.mark.parametrize("rule", sums.CASES)
def test_with_nothing_left_out_the_formula_is_the_rule(rule: str) -> None:
    """Rounding up to grids aside."""
    for case in [*sums.CASES[rule].values(), *(sums.random_sum(seed, 8) for seed in range(4))]:
        charged, formula = case.charged(), case.charged(Weaker())
        assert formula * (1 - Fraction(1, 2**20)) <= charged <= formula * (1 + Fraction(1, 2**10))


@pytest.mark.parametrize("rule", sums.CASES)
def test_a_bound_lowered_below_the_share_is_exceeded(rule: str) -> None:
    def lowered(layer: Layer, reaches: Sequence[Fix], whole: Fix) -> Fix:
        charged = rounding(layer, reaches, whole)
        return Fix(np.floor(charged.n * 0.99 * LEAST[rule]), charged.e)

    assert max(case.share(lowered) for case in sums.CASES[rule].values()) > 1


@pytest.mark.parametrize("terms", [3, 4, 5])
def test_a_search_from_any_weights_never_exceeds_it(terms: int, show: Show) -> None:
    found = [sums.climbed(sums.random_sum(seed, terms), seed, 120)[0] for seed in range(4)]
    show(f"any weights, {terms} terms", max(found), "a local search over the values")


@pytest.mark.parametrize("seed", range(8))
def test_a_search_among_chains_of_a_row_as_long_as_those_of_tight(seed: int) -> None:
    """9 and 12 terms, half of them a ladder: too many trees to try."""
    case, steep = sums.random_sum(seed, 9 + 3 * (seed % 2)), sums.cancelled(5)
    assert case.share() <= 1
    mixed = sums.Sum(case.weights + steep.weights, case.values + steep.values)
    assert mixed.share() <= 1


@pytest.mark.parametrize("terms", [2, 7, 50, 200])
def test_the_second_order_is_needed_where_each_operation_errs_by_u(terms: int, show: Show) -> None:
    whole, later = sums.second_order(terms)
    assert 0 < later < 0.5 and whole <= 1
    show("second order", later, f"{terms} terms, each operation u of its result off")


def test_without_the_second_order_an_allowed_execution_is_outside() -> None:
    rule = Weaker(later=False)
    assert sums.second_order(200, 1.0)[0] <= 1 < sums.second_order(200, 1.0, rule)[0]


def test_products_that_underflow_are_not_exact(show: Show) -> None:
    """Operands read as 0: rounding charges next to nothing, underflow is what covers it."""
    shares: dict[int, Fraction] = {}
    for terms in (1, 3, 12):
        error, rounding, underflow = sums.flushed(terms)
        assert rounding < error / 100 and error <= rounding + underflow
        shares[terms] = error / (rounding + underflow)
    best = max(shares, key=lambda n: shares[n])
    show("underflow of exact products", float(shares[best]), f"{best} operands read as 0")


def cancelling(terms: int) -> OnnxBuilder:
    """One pixel less itself, and pixels times 2^-24 between: powers of two in two layers."""
    small, picked = terms - 2, np.zeros((terms, 1, 1, terms - 1))
    for k in range(terms):
        picked[k, 0, 0, k % (terms - 1)] = 1.0 if k in (0, terms - 1) else 2.0**-12
    b = OnnxBuilder()
    x = b.conv(b.div(b.input_bytes((1, 1, terms - 1)), 255, "pixels"), picked, name="picked")
    x = b.conv(x, np.reshape([1.0, *[2.0**-12] * small, -1.0], (1, terms, 1, 1)), name="sum")
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    return b


@pytest.mark.parametrize("terms", [3, 5, 8])
def test_in_a_network_the_executor_reaches_the_cap_that_the_columns_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terms: int, show: Show
) -> None:
    """White pixels, added in the order of the weights: each small term is lost to ties."""
    model, network = built(cancelling(terms), tmp_path)
    image = np.full(network.input_shape, 255, np.uint8)
    values = execute(network, image, order="forward", keep=True)[1]
    error = abs(Fraction(float(values["sum"].item())) - (terms - 2) * sums.UNIT)

    def charged(*bases: str) -> Fraction:
        derived = proved(model, LAST_BIT, Hints({}, bases=frozenset(bases)))
        return derived.derivation.values["sum"].noise.largest()

    assert 0.99 < error / charged("pixels") <= 1
    assert error / charged() < 0.67  # without columns the whole is as large as its terms
    show("the cap, in a network", float(error / charged("pixels")), f"{terms} terms, in order")
    full = Layer.rounding

    def less(layer: Layer, reaches: Sequence[Fix], whole: Fix) -> Fix:
        right = full(layer, reaches, whole)
        return WRONG[1][1](layer, reaches, whole) if layer.shape == (1, 1, 1) else right

    monkeypatch.setattr(Layer, "rounding", less)
    assert error > charged("pixels")


# ---- the adversary's own arithmetic --------------------------------------------------------


def test_it_rounds_as_numpy_does() -> None:
    random = np.random.default_rng(0)
    for x in np.ldexp(random.normal(size=2000), random.integers(-20, 20, 2000)).tolist():
        assert rounded(integer(x)) == integer(float(np.float32(x)))
        tie = float(np.float32(x)) * (1 + float(random.choice([1, -1])) * 2.0**-24)
        assert rounded(integer(tie)) == integer(float(np.float32(tie)))


@pytest.mark.parametrize("terms", [2, 3, 4, 5])
def test_all_trees_are_all_trees(terms: int) -> None:
    """Against every way to put parentheses, one by one; the executor's orders are among them."""
    random = np.random.default_rng(terms)
    values = random.normal(size=terms).astype(np.float32)
    parts = terms_of([1.0] * terms, values.tolist())

    def joined(left: list[int]) -> set[int]:
        if len(left) == 1:
            return {left[0]}
        found = set[int]()
        for i, j in itertools.combinations(range(len(left)), 2):
            rest = [n for k, n in enumerate(left) if k not in (i, j)]
            found |= joined([*rest, rounded(left[i] + left[j])])
        return found

    every = joined([part.rounded for part in parts])
    assert all_sums(parts, fused=False) == every

    def ordered(order: str) -> float:
        return float(ordered_sum(values[:, None], order)[0])

    assert {integer(ordered(order)) for order in (*ORDERS, "random:1")} <= every
    assert chain(parts) == integer(ordered("forward"))


def test_fusing_skips_the_rounding_of_a_product() -> None:
    weight, value = sums.near_tie()
    case = sums.Sum((weight, 1.0), (value, -1.0))
    fused, plain = all_sums(case.terms), all_sums(case.terms, fused=False)
    assert plain < fused == {rounded(sum(t.exact for t in case.terms)), *plain}
