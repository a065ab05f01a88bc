"""What the bound at an image is made of: float64's logistic, curves near a point, ellipsoids."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.sparse import csr_array

from lastbit_check.around import steps
from lastbit_check.around.binary64 import (
    EXP_ERROR,
    LEAST_EXPONENT,
    LOGISTIC_ERROR,
    exp_negative,
    gamma,
    logistic,
    upper,
)
from lastbit_check.around.columns import (
    Block,
    each_apart,
    ellipsoid,
    merged,
    places_apart,
    together,
)
from lastbit_check.around.curves import NEAR, Point
from lastbit_check.around.linear import Weights
from lastbit_check.around.near import Hull, Near
from lastbit_check.around.slopes import Other
from lastbit_check.around.steps import step_of
from lastbit_check.verdict import Rejected

MP = mpmath.mp.clone()
MP.prec = 320


def sigma(z: Any) -> Any:
    return 1 / (1 + MP.exp(-z))


REAL = {
    "silu": lambda z: z * sigma(z),
    "sigmoid": sigma,
    "tanh": MP.tanh,
    "relu": lambda z: max(z, MP.mpf(0)),
}


def coarse(x: float) -> float:
    """0 for what 320 bits do not tell from it beside 1, times another such number."""
    return x if abs(x) > 1e-40 else 0.0


def points(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(size=count) * 4, random.uniform(-700, 700, count),
                           np.ldexp(random.normal(size=count), -random.integers(0, 80, count)),
                           [0.0, 700.0, -700.0]])  # fmt: skip


def test_the_logistic_function_is_as_near_as_it_says() -> None:
    for z in points(400, 1):
        x = abs(float(z))
        exact = MP.exp(-MP.mpf(x))
        assert abs(MP.mpf(float(exp_negative(np.array(x)))) - exact) <= exact * EXP_ERROR
        for found, exact in zip(
            logistic(np.array(z)), (sigma(MP.mpf(z)), sigma(-MP.mpf(z))), strict=True
        ):
            assert abs(MP.mpf(float(found)) - exact) <= exact * LOGISTIC_ERROR


def test_beyond_its_range_the_exponential_is_next_to_nothing() -> None:
    assert 0 <= float(exp_negative(np.array(2 * LEAST_EXPONENT))) <= 2.0**-1009


def test_long_sums_stay_within_what_is_said_of_them() -> None:
    random = np.random.default_rng(2)
    x, y = random.normal(size=(2, 5000)) * np.exp2(random.integers(-30, 30, (2, 5000)))
    exact = sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True))
    size = sum(abs(Fraction(a) * Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True))
    assert abs(Fraction(float(x @ y)) - exact) <= gamma(5000) * size
    assert Fraction(float(upper(np.array(np.abs(x) @ np.abs(y))))) >= size


@pytest.mark.parametrize("name", NEAR)
@given(
    z=st.one_of(st.floats(-40, 40), st.sampled_from([0.0, 1.5434, 2.3994, -2.3994, 1e-9])),
    r=st.floats(0, 3).map(coarse), d=st.floats(-2, 2).map(coarse), t=st.floats(-1, 1).map(coarse),
)  # fmt: skip
def test_a_curve_near_a_point(name: str, z: float, r: float, d: float, t: float) -> None:
    """f(z + d + t r) = value + apart + slope t r + e, e as it is said; likewise where d is 0."""
    for moved in (d, 0.0):
        columns = np.array([[moved]]) if moved else np.zeros((1, 0))
        at = Point(np.array([z]), np.array([r]), columns, np.array([abs(moved)]))
        found = NEAR[name](at)
        apart = found.apart[0, 0] if moved else 0.0
        assert abs(apart) < 1e3
        away = MP.mpf(t) * MP.mpf(r)
        exact = REAL[name](MP.mpf(z) + MP.mpf(moved) + away)
        rest = exact - found.value[0] - apart - MP.mpf(found.slope[0]) * away
        assert found.low[0] - found.off[0] <= rest <= found.high[0] + found.off[0]


def test_what_a_curve_leaves_out_is_no_larger_than_it_must_be() -> None:
    """Of SiLU at 0, where it bends most: r^2 / 4 at most, and nearly so."""
    for r in (1e-3, 0.1):
        at = Point(np.zeros(1), np.array([r]), np.zeros((1, 0)), np.zeros(1))
        assert r * r / 4 <= NEAR["silu"](at).high[0] <= r * r / 4 * (1 + r) + 1e-12


def inside(columns: np.ndarray, k: int, factor: np.ndarray, seed: int) -> bool:
    """Whether the ellipsoid reaches as far as the columns, in many directions."""
    random = np.random.default_rng(seed)
    units = len(columns)
    directions = np.concatenate([random.normal(size=(200, units)), np.eye(units), columns.T])
    sizes = np.linalg.norm((directions @ columns).reshape(len(directions), -1, k), axis=2)
    reach = np.linalg.norm(directions @ factor, axis=1)
    return bool(np.all(np.sum(sizes, axis=1) <= reach * (1 + 1e-12)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 3])
def test_an_ellipsoid_holds_its_columns(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    units, groups = int(random.integers(1, 9)), int(random.integers(1, 12))
    scales = np.exp2(random.integers(-40, 10, units))[:, None]
    columns = random.normal(size=(units, groups * k)) * scales
    columns[:, random.random(groups * k) < 0.2] = 0
    assert inside(columns, k, ellipsoid(columns, k), seed)
    assert not inside(columns, k, ellipsoid(columns, k) * 0.3, seed) or not np.any(columns)


def test_an_ellipsoid_whose_factor_is_too_far_off_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = np.linalg.cholesky
    monkeypatch.setattr(np.linalg, "cholesky", lambda s: right(s) * (1 - 1e-6))
    with pytest.raises(Rejected) as caught:
        ellipsoid(np.eye(3))
    assert caught.value.rule == "around.ellipsoid"


def test_blocks_become_one_that_holds_them_and_places_share_nothing() -> None:
    random = np.random.default_rng(3)
    blocks = [Block(random.normal(size=(6, 8)).astype(np.float32), k) for k in (1, 4)]
    one, off = merged(blocks, np.zeros(6))
    assert np.all(sum(block.radius for block in blocks) <= one.radius + off)
    made, lost = places_apart([random.normal(size=(3, 5, 2))], np.abs(random.normal(size=(3, 2))))
    assert made.x.shape == (6, 6)
    for place, other in ((0, 1), (1, 0)):
        assert not np.any(made.x[place::2, other * 3 : (other + 1) * 3])
    assert np.all(lost <= made.radius * 2.0**-20)


def test_each_unit_of_a_box_has_a_column_of_its_own() -> None:
    box = np.array([1.0, 2.0**-30, 0.0, 1 / 3])
    made, lost = each_apart(box)
    assert np.all(np.count_nonzero(made.x, axis=0) <= 1)
    assert np.all(made.radius + lost >= box)
    assert np.all(
        made.radius + lost <= box * (1 + 2.0**-20) + 2.0**-80
    )  # what binary32 knows beside 0


@pytest.mark.parametrize("few", [1, 2, 5, None])
def test_of_moves_only_a_few_count(few: int | None) -> None:
    x = np.array([[1.0, -3.0, 2.0, 0.5, 0.25]], np.float32)
    expected = {1: 3.0, 2: 5.0, 5: 6.75, None: 6.75}[few]
    assert Block(x, 1, few).radius[0] == pytest.approx(expected)
    assert Block(x, 1, few).along(np.array([[2.0]]))[0] == pytest.approx(2 * expected)


@pytest.mark.parametrize("seed", range(8))
def test_squares_together_are_no_more_than_an_eigenvalue(seed: int) -> None:
    """Of all units of an ellipsoid; the direction that is worst reaches most of the bound."""
    random = np.random.default_rng(seed)
    x = (random.normal(size=(30, 6)) * np.exp(random.normal(size=(30, 1)))).astype(np.float32)
    weight, box = np.exp(random.normal(size=30)), np.abs(random.normal(size=30)) * (seed % 2)
    bound = together(Block(x, 6), box, weight)
    worst = np.linalg.svd(x * weight[:, None])[2][0]
    for z in (worst, *random.normal(size=(20, 6))):
        moved = x @ (z / np.linalg.norm(z))
        assert np.sum((weight * (np.abs(moved) + box)) ** 2) <= bound
    if not np.any(box):
        assert np.sum((weight * (x @ worst)) ** 2) >= 0.7 * bound


def left_out(z: float, d: float, slope: float) -> float:
    """What a SiLU at z moves by d, but for its slope."""
    silu, at = REAL["silu"], MP.mpf(z)
    return float(silu(at + MP.mpf(d)) - silu(at) - MP.mpf(slope) * MP.mpf(d))


def bends(random: np.random.Generator, away: float) -> tuple[float, bool]:
    """The most that bends of a SiLU are of what is said of all of them, and of each of them."""
    units, near = 150, dict[str, Near]()
    x = (random.normal(size=(units, 20)) * 0.02).astype(np.float32)
    value = random.normal(size=units)
    apart = random.uniform(-away, away, (units, 1)) if away else np.zeros((units, 0))
    block, none = Block(x, 20), np.zeros(units)
    near["x"] = Near(value, apart, {"b": block}, none, none, hull=Hull("b", block, none))
    at = Point(value, near["x"].radius, apart, near["x"].away)
    found = NEAR["silu"](at)
    slope = Weights("x", csr_array(np.diag(found.slope)), 0.0, diagonal=found.slope)
    made = Other((slope,), found.value, found.apart, found.low, found.high, found.off, own=True)
    said = step_of(made, None, none, near).together
    assert said is not None
    most, each = 0.0, True
    for z in (*np.linalg.svd(x)[2][:3], *random.normal(size=(10, 20))):
        for moved in (x @ (z / np.linalg.norm(z)), -x @ (z / np.linalg.norm(z))):
            start = value + (apart[:, 0] if away else 0.0)
            e = np.array(
                [left_out(*of) for of in zip(start, moved.tolist(), found.slope, strict=True)]
            )
            e = np.sign(e) * np.maximum(np.abs(e) - found.off, 0.0)
            most = max(most, float(np.sum((e / said.scale) ** 2)))
            each &= bool(np.all(np.abs(e) <= said.scale * said.each))
    return most, each


@pytest.mark.parametrize("away", [0.0, 0.01, 1.0])
def test_bends_together_are_within_what_is_said(away: float) -> None:
    for seed in range(3):
        most, each = bends(np.random.default_rng(seed), away)
        assert most <= 1
        assert each


def test_with_less_together_bends_exceed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = steps.together
    monkeypatch.setattr(steps, "together", lambda *of: whole(*of) / 12)
    assert max(bends(np.random.default_rng(seed), 1.0)[0] for seed in range(3)) > 1
