"""Orders of summation: really float32, really that order, and within the textbook bound."""

from fractions import Fraction

import numpy as np
import pytest

from lastbit.errors import UsageError
from lastbit.float32 import ORDERS, Arithmetic, ordered_sum

U = Fraction(1, 2**24)
ALL_ORDERS = [*ORDERS, "random:0", "random:1"]


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_each_addition_is_rounded_in_the_order_named():
    terms = f32(1, 2.0**-24, 2.0**-24)
    assert ordered_sum(terms, "forward") == 1
    assert ordered_sum(terms, "reversed") == 1 + 2.0**-23


def test_pairwise_is_a_balanced_tree():
    terms = f32(1, 2.0**-24, 2.0**-24, 2.0**-24, 2.0**-23)
    # ((1 + e) + (e + e)) + 2e with e = 2^-24: 1, then 1 + 2e, then 1 + 4e
    assert ordered_sum(terms, "pairwise") == 1 + 2.0**-22


def test_worst_first_climbs_before_it_falls():
    # 2^24 + 1 + 1 loses both ones; in the order of the file nothing is lost.
    terms = f32(1, 1, 2.0**24, -(2.0**24))
    assert ordered_sum(terms, "forward") == 2
    assert ordered_sum(terms, "worst_first") == 0


def test_worst_first_sorts_each_output_by_itself():
    terms = np.stack([f32(1, 1, 2.0**24, -(2.0**24)), f32(1, 2, 3, 4)], axis=1)
    assert ordered_sum(terms, "worst_first").tolist() == [0, 10]


def test_random_trees_depend_on_their_seed_only():
    terms = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    results = [ordered_sum(terms, f"random:{seed}") for seed in range(20)]
    assert (ordered_sum(terms, "random:3") == results[3]).all()
    assert len({result.tobytes() for result in results}) > 1


@pytest.mark.parametrize("order", ALL_ORDERS)
@pytest.mark.parametrize("flush_to_zero", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 17, 64])
def test_error_is_within_the_bound_for_any_order(order: str, flush_to_zero: bool, count: int):
    random = np.random.default_rng(count)
    scales = random.choice([1e-40, 1e-5, 1.0, 1e5], (count, 8))
    terms = (random.normal(size=(count, 8)) * scales).astype(np.float32)
    total = ordered_sum(terms, order, Arithmetic(flush_to_zero))
    for j in range(8):
        exact = [Fraction(float(t)) for t in terms[:, j]]
        gamma = (count - 1) * U / (1 - (count - 1) * U)
        # In flush-to-zero, each operand and each result may lose up to 2^-126.
        lost = (2 * count) * Fraction(1, 2**126) * (1 + gamma) if flush_to_zero else 0
        error = abs(Fraction(float(total[j])) - sum(exact))
        assert error <= gamma * sum(map(abs, exact)) + lost


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_no_order_changes_a_single_term(order: str):
    assert ordered_sum(f32(1.5), order) == 1.5


@pytest.mark.parametrize("order", ["", "backward", "random", "random:", "random:-1", "random:x"])
def test_unknown_orders_are_refused(order: str):
    with pytest.raises(UsageError, match="no summation order"):
        ordered_sum(f32(1, 2), order)


def test_flush_to_zero_loses_subnormal_operands_and_results():
    flushing = Arithmetic(flush_to_zero=True)
    tiny, small = f32(1e-40), f32(2.0**-126)
    assert Arithmetic().add(tiny, tiny) == np.float32(1e-40) * 2
    assert flushing.add(tiny, tiny) == 0
    assert flushing.multiply(tiny, f32(1e10)) == 0
    assert flushing.multiply(small, f32(0.5)) == 0
    assert flushing.subtract(small, f32(0)) == small
    assert np.signbit(flushing.multiply(small, f32(-0.5)))[0]
