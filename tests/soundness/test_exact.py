"""The exact primitives against Python's integers and fractions, at the edge of 2^53 above all."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import csc_array, csr_array

from lastbit_check.arithmetic import exact
from lastbit_check.arithmetic.exact import (
    LIMIT,
    Fix,
    Matrix,
    apply,
    beside,
    common,
    from_float,
    heaviest_row,
    least,
    matmul_up,
    most,
    times,
    total,
)
from lastbit_check.verdict import Rejected

settings.register_profile("slow machines", deadline=None)
settings.load_profile("slow machines")
integers = st.integers(-(2**53) + 1, 2**53 - 1)
small = st.integers(-(2**44), 2**44)
exponents = st.integers(-60, 120)


def fix(n: list[int], e: int) -> Fix:
    return Fix(np.array(n, dtype=np.float64), e)


def numbers(x: Fix) -> list[Fraction]:
    return [Fraction(int(n)) / Fraction(2) ** x.e for n in x.n.reshape(-1)]


def unit(e: int) -> Fraction:
    return 1 / Fraction(2) ** e


@given(st.lists(integers, min_size=1, max_size=4), exponents, st.integers(0, 1200))
def test_a_coarser_grid_rounds_as_it_says(n: list[int], e: int, bits: int) -> None:
    x, to = fix(n, e), e - bits
    for v, up, down, near in zip(
        numbers(x),
        numbers(x.at(to)),
        numbers(-(-x).at(to)),
        numbers(x.at(to, up=False)),
        strict=True,
    ):
        assert v <= up < v + unit(to)
        assert v - unit(to) < down <= v
        assert abs(near - v) <= unit(to) / 2


@given(st.lists(integers, min_size=1, max_size=4), st.integers(1, 60))
def test_a_finer_grid_is_exact_or_refused(n: list[int], bits: int) -> None:
    x = fix(n, 0)
    if max(abs(v) for v in n) << bits < LIMIT:
        assert numbers(x.at(bits)) == numbers(x)
    else:
        with pytest.raises(Rejected, match="precision"):
            x.at(bits)


@given(st.lists(integers, min_size=1, max_size=4), st.integers(1, 53), exponents)
def test_fit(n: list[int], bits: int, e: int) -> None:
    x = fix(n, e)
    y = x.fit(bits)
    assert exact.peak(y.n) <= 2**bits
    assert all(v <= u for v, u in zip(numbers(x), numbers(y), strict=True))
    assert y.e == e or exact.peak(x.n) >= 2**bits


@given(st.lists(st.tuples(small, exponents), min_size=1, max_size=6))
def test_total(terms: list[tuple[int, int]]) -> None:
    fixes = [fix([n], e) for n, e in terms]
    sum_ = sum((numbers(f)[0] for f in fixes), Fraction(0))
    up, near = total(*fixes), total(*fixes, up=False)
    assert sum_ <= numbers(up)[0] <= sum_ + len(terms) * unit(up.e)
    assert abs(numbers(near)[0] - sum_) <= len(terms) * unit(near.e)


def test_total_refuses_more_terms_than_it_can_add_exactly() -> None:
    with pytest.raises(Rejected, match="precision"):
        total(*[fix([2**44], 0)] * 600)


@given(st.lists(small, min_size=2, max_size=5), exponents, exponents)
def test_times_and_beside(n: list[int], e: int, f: int) -> None:
    a, b = fix([abs(v) for v in n], e), fix([abs(v) for v in reversed(n)], f)
    for p, q, r in zip(numbers(a), numbers(b), numbers(times(a, b)), strict=True):
        assert p * q <= r
    both = beside(a, b)
    for v, u in zip(numbers(a) + numbers(b), numbers(both), strict=True):
        assert v <= u <= v + unit(both.e)
    assert common(a, b) <= max(e, f)


KINDS = [np.asarray, csr_array, csc_array]


def product(w: list[int], kind: Callable[..., Matrix]) -> Matrix:
    """A row, as one of the kinds of matrices."""
    return kind(np.array([w], dtype=np.float64))


@settings(max_examples=300)
@given(st.data(), st.integers(1, 2**24), st.integers(1, 12), st.sampled_from(KINDS))
def test_sums_of_products_at_the_edge(
    data: st.DataObject, heavy: int, count: int, kind: Callable[..., Matrix]
) -> None:
    """Weights and values chosen so that weight times value comes close to 2^53, or passes it."""
    weights = data.draw(st.lists(st.integers(-heavy, heavy), min_size=count, max_size=count))
    gain = sum(abs(w) for w in weights)
    edge = max(1, (LIMIT + data.draw(st.integers(-3, 3))) // max(1, gain))
    largest = min(edge * data.draw(st.sampled_from([1, 2, 5, 64])), LIMIT - 1)
    values = data.draw(st.lists(st.integers(-largest, largest), min_size=count, max_size=count))
    values[0] = largest
    true = Fraction(sum(w * v for w, v in zip(weights, values, strict=True)))
    w = product(weights, kind)
    assert heaviest_row(w) == gain
    try:
        y = apply(w, fix(values, 0).reshape(-1, 1), up=False)
    except Rejected as error:
        assert error.rule == "precision"
        return
    assert abs(numbers(y)[0] - true) <= (unit(y.e) if y.e < 0 else 0)


@given(st.data(), st.integers(1, 2**30), st.integers(1, 8), st.sampled_from(KINDS))
def test_apply_is_an_upper_bound(
    data: st.DataObject, heavy: int, count: int, kind: Callable[..., Matrix]
) -> None:
    whole = st.lists(st.integers(0, heavy), min_size=count, max_size=count)
    weights = data.draw(whole)
    values = [v << data.draw(st.integers(0, 22)) for v in data.draw(whole)]
    y = apply(product(weights, kind), fix(values, 7).reshape(-1, 1), up=True)
    assert numbers(y)[0] >= sum(Fraction(w * v, 128) for w, v in zip(weights, values, strict=True))


@given(st.integers(0, 2**32), st.integers(1, 53), st.integers(1, 53))
def test_matmul_up(seed: int, left: int, right: int) -> None:
    """Up to 53 bits on both sides: it rounds up, and never refuses."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2**left, (3, 200), dtype=np.int64)
    b = rng.integers(0, 2**right, (200, 2), dtype=np.int64)
    true = a.astype(object) @ b.astype(object)
    found = matmul_up(Fix(a.astype(np.float64), 5), Fix(b.astype(np.float64), -3))
    for t, v in zip(true.reshape(-1), numbers(found), strict=True):
        assert (
            Fraction(int(t), 4)
            <= v
            <= Fraction(int(t), 4) * (1 + Fraction(1, 2**12)) + 2**40 * unit(found.e)
        )


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_from_float(values: list[float]) -> None:
    x, inexact = from_float(np.array(values, np.float32), 20)
    for v, n, off in zip(values, numbers(x), inexact, strict=True):
        assert abs(n - Fraction(v)) <= unit(x.e) / 2
        assert (n != Fraction(v)) == bool(off)
    assert exact.peak(x.n) <= 2**20


def test_units_shrink() -> None:
    assert all(unit(a) > unit(b) for a, b in pairwise(range(-3, 4)))


@pytest.mark.parametrize("e", [0, 24, 600])
def test_the_smaller_and_the_larger_of_two_grids_however_far_apart(e: int) -> None:
    """Upper bounds of both, exact but where float64 cannot hold both numbers on one grid."""
    random = np.random.default_rng(e)
    for far in (0, 30, 899, 901, 2000):
        for zeros in (False, True):
            x = Fix(np.trunc(random.normal(size=20) * 2.0**40), e)
            y = Fix(np.trunc(random.normal(size=20) * 2.0**40) * (not zeros), e + far)
            for first, second in ((x, y), (y, x)):
                low, high = least(first, second), most(first, second)
                assert np.all(np.isfinite(low.n)) and np.all(np.isfinite(high.n))
                for k in range(20):
                    pair = [Fraction(int(v.n[k])) / Fraction(2) ** v.e for v in (x, y)]
                    found = [Fraction(int(v.n[k])) / Fraction(2) ** v.e for v in (low, high)]
                    excess = [found[0] - min(pair), found[1] - max(pair)]
                    assert all(0 <= v <= (far > 900) * Fraction(2) ** -low.e for v in excess)
