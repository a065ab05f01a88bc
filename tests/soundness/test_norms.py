"""Certified operator norms: never below the true one, near it, and nothing flatters them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit_check.network import Part, Shape
from lastbit_check.norms import gains
from lastbit_check.norms.gains import Gain, circle, gain_of, spectral, transformed, written
from lastbit_check.norms.sizes import Size, fitted, of_each, of_units, root
from lastbit_check.norms.steps import BEYOND
from lastbit_check.operators.kernels import Places, places_of

F64 = NDArray[np.float64]


def laid(weight: F64, source: Shape, stride: int, pad: int, groups: int) -> tuple[F64, Places]:
    """The matrix (O, places, numbers read) of a kernel, product by product; and its places."""
    each, inner = len(weight) // groups, weight.shape[1]
    high, wide = ((n + 2 * pad - k) // stride + 1
                  for n, k in zip(source[1:], weight.shape[2:], strict=True))  # fmt: skip
    found = np.zeros((len(weight), high, wide, *source))
    for (o, i, a, b), w in np.ndenumerate(weight):
        for p in range(high):
            for q in range(wide):
                y, x = stride * p + a - pad, stride * q + b - pad
                if 0 <= y < source[1] and 0 <= x < source[2]:
                    found[o, p, q, o // each * inner + i, y, x] += w
    part = Part("x", weight.astype(np.float32), (stride,) * 2, (pad,) * 4, groups)
    matrix = found.reshape(len(weight), high * wide, -1)
    return matrix, places_of(part, (len(weight), high, wide), source)


def true_norms(matrix: F64) -> tuple[float, F64]:
    """Of all, and of what is made of each channel."""
    every = float(np.linalg.norm(matrix.reshape(-1, matrix.shape[2]), 2))
    return every, np.linalg.norm(matrix, 2, axis=(1, 2))


def holds(gain: Gain, matrix: F64) -> float:
    """No norm is below the true one; how far the largest is above."""
    room, (every, channels) = 1 - 1e-12, true_norms(matrix)
    assert every * room <= gain.total
    assert np.all(channels * room <= gain.channels)
    rows = np.max(np.linalg.norm(matrix, axis=2), axis=1)
    assert np.all(rows * room <= gain.rows)
    return gain.total / every


def drawn(shape: tuple[int, int], seed: int) -> F64:
    """A matrix of some scale; of rank 1, or with all singular values alike, for some seeds."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * 10.0 ** float(rng.integers(-30, 30))
    if seed % 4 == 1:
        return np.outer(x[:, 0], x[0])
    if seed % 4 == 2:
        u, s, v = np.linalg.svd(x, full_matrices=False)
        return np.asarray(u @ v * s[0], np.float64)
    return x


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (12, 4), (1, 7), (6, 1), (40, 90)])
def test_of_a_matrix(shape: tuple[int, int], seed: int) -> None:
    """Of any size and scale, of low rank, orthogonal, with all singular values alike."""
    x = drawn(shape, seed)
    exact = np.linalg.norm(x, 2)
    found = float(spectral(x[None])[0])
    assert exact * (1 - 1e-13) <= found <= exact * (1 + 1e-5)


def test_of_matrices_that_need_all_digits() -> None:
    """Integers, whose largest singular value is known: n of an n x n matrix of ones, and near."""
    for n in (2, 3, 17, 64):
        ones = np.ones((n, n))
        assert n <= spectral(ones) <= n * (1 + 1e-6)
        assert spectral(np.eye(n)[::-1]) >= 1
    assert float(spectral(np.zeros((1, 3, 3)))[0]) < 1e-290
    assert math.isnan(float(spectral(np.array([[math.nan]]))))


@pytest.mark.parametrize("seed", range(4))
def test_a_power_iteration_that_flatters_is_not_believed(seed: int) -> None:
    """From a vector across the steepest direction it sees the second value, and stays there.

    Nothing is iterated from a vector here: what no iteration finds counts.
    """
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(2))
    x = u @ np.diag([1.0, *np.full(11, 0.25)]) @ v.T
    start = v[:, 1:] @ rng.normal(size=11)
    for _ in range(3):
        start = x.T @ (x @ start)
        start /= np.linalg.norm(start)
    assert np.linalg.norm(x @ start) < 0.26
    assert 1 - 1e-12 <= float(spectral(x)) <= 1 + 1e-6


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("side", "kernel", "stride"), [
    (4, 3, 1), (4, 3, 2), (3, 5, 2), (9, 3, 1), (9, 5, 2), (10, 2, 2), (10, 4, 3), (2, 3, 2),
])  # fmt: skip
def test_of_a_kernel_on_an_image(side: int, kernel: int, stride: int, groups: int) -> None:
    rng = np.random.default_rng(side + kernel)
    source, inner = (4, side, side + 1), 4 // groups
    weight = rng.normal(size=(4, inner, kernel, kernel))
    matrix, places = laid(weight, source, stride, kernel // 2, groups)
    found = gain_of(weight, places, (stride, stride), 0.0)
    assert holds(found, matrix) < (1.0001 if groups == 4 and side * (side + 1) <= 64 else 6)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_of_kernels_made_to_reach_it(stride: int) -> None:
    """A smooth kernel on a large image keeps nearly all of what its transform says."""
    taps = np.outer([1, 2, 1], [1, 2, 1.0])[None, None]
    matrix, places = laid(taps, (1, 24, 24), stride, 1, 1)
    found = gain_of(taps, places, (stride, stride), 0.0)
    share = 1 / holds(found, matrix)
    print(f"stride {stride}: {share:.4f} of the bound is reached")
    assert share > 0.98
    alone = np.zeros((1, 1, 3, 3))
    alone[0, 0, 1, 1] = 2.0
    matrix, places = laid(alone, (1, 12, 12), stride, 1, 1)
    assert holds(gain_of(alone, places, (stride, stride), 0.0), matrix) < 1 + 1e-6


def test_of_stems_and_dense_kernels() -> None:
    """One channel read, of which many are made: the whole is known as well as one channel."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(6, 1, 3, 3)) * 0.05
    weight[:, :, 1, 1] += rng.normal(size=(6, 1))
    matrix, places = laid(weight, (1, 12, 12), 2, 1, 1)
    assert holds(gain_of(weight, places, (2, 2), 0.0), matrix) < 1.1


@pytest.mark.parametrize("source", [(3, 1, 1), (3, 4, 4)])
def test_of_pointwise_weights_and_of_what_covers_an_image(source: Shape) -> None:
    rng = np.random.default_rng(2)
    kernel = 1 if source[1] == 1 else 4
    for groups in (1, 3):
        weight = rng.normal(size=(6, 3 // groups, kernel, kernel))
        matrix, places = laid(weight, source, 1, 0, groups)
        assert holds(gain_of(weight, places, (1, 1), 0.0), matrix) < 1.0001


def test_weights_that_are_off_count() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(4, 1, 3, 3))
    _, places = laid(weight, (4, 9, 9), 1, 1, 4)
    one, other = (gain_of(weight, places, (1, 1), off) for off in (0.0, 0.01))
    largest, _ = laid(weight + 0.01 * np.abs(weight), (4, 9, 9), 1, 1, 4)
    assert one.total < other.total
    holds(other, largest)


def test_the_written_matrix_is_the_kernels() -> None:
    rng = np.random.default_rng(4)
    for stride, kernel, pad in ((1, 3, 1), (2, 5, 2), (2, 3, 0)):
        weight = rng.normal(size=(2, 1, kernel, kernel))
        matrix, places = laid(weight, (2, 6, 7), stride, pad, 2)
        each = matrix.reshape(2, -1, 2, 42)
        own = np.stack([each[k, :, k] for k in range(2)])
        assert np.array_equal(written(weight, places), own)


def test_the_circle_and_its_transform() -> None:
    for n in (1, 2, 3, 7, 30, 225):
        exact = np.exp(2j * np.pi * np.arange(n) / n)
        assert np.max(np.abs(circle(n) - exact)) < 2.0**-49
    assert abs(circle(4)[1] - 1j) < 2.0**-60
    assert abs(gains.PI - Fraction(math.pi) * gains.ONE) < gains.ONE * Fraction(1, 2**52)
    weight = np.random.default_rng(5).normal(size=(2, 3, 3, 3))
    powers, lost = transformed(weight, (2, 14, 14), (1, 1))
    exact = np.abs(np.fft.fft2(weight, (16, 16), axes=(2, 3))) ** 2
    same = exact.sum(axis=1).reshape(2, -1)
    assert np.allclose(np.sort(powers), np.sort(same), rtol=1e-12)
    assert np.all(lost > 0)


@pytest.mark.parametrize("rule", ["a gain a tenth too small", "no phases", "too small a circle"])
def test_weaker_rules_are_noticed(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """What these tests would see if a rule were wrong."""
    rng = np.random.default_rng(6)
    weight = np.abs(rng.normal(size=(1, 1, 5, 5)))
    matrix, places = laid(weight, (1, 12, 12), 2, 2, 1)
    holds(gain_of(weight, places, (2, 2), 0.0), matrix)
    with pytest.raises(AssertionError):
        if rule.startswith("a gain"):
            found = gain_of(0.9 * weight, places, (2, 2), 0.0)
        elif rule == "no phases":
            found = gain_of(weight[:, :, ::2, ::2], places, (1, 1), 0.0)
        else:
            monkeypatch.setattr(gains, "_frequencies", lambda n, k, s: circle(2)[np.outer(
                np.arange(1), np.arange(-(-k // s))) % 2] * 0.9)  # fmt: skip
            found = gain_of(weight, places, (2, 2), 0.0)
        holds(found, matrix)


def test_sizes_bound_each_other() -> None:
    channels, units = np.array([[1.0], [9.0]]), np.array([[0.5], [0.5], [0.1], [7.0]])
    size = fitted(np.array([5.0]), channels, units)
    assert np.all(size.channels[:, 0] <= [0.71, 5.0])
    assert np.all(size.units[:, 0] <= [0.5, 0.5, 0.1, 5.0])
    assert 4.99 < size.total <= 5.0
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 3, 8))
    one, two = (exactly(v) for v in (x, y))
    both = one.plus(two)
    assert bounds(both, x + y)
    assert bounds(one.within(two.times(8.0)), x) or not bounds(two.times(8.0), x)


def exactly(x: F64) -> Size:
    whole = np.array([float(np.linalg.norm(x)) * (1 + 1e-12)], np.float64)
    units = np.abs(x).reshape(-1, 1)
    return fitted(whole, root(units, len(x)), units)


def bounds(size: Size, x: F64) -> bool:
    whole = bool(np.linalg.norm(x) <= size.total[0])
    each = np.all(np.linalg.norm(x, axis=1) <= size.channels[:, 0])
    return bool(whole and each and np.all(np.abs(x).ravel() <= size.units[:, 0]))


def test_units_alone_make_a_size() -> None:
    """Cell by cell: two deviations, of which the worst of any is in one column."""
    size = of_units(np.array([[3.0, 1.0], [4.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), (2, 1, 2))
    assert np.all(size.total >= [5, 5**0.5]) and np.all(size.total < [5.0001, 2.24])
    assert np.all(size.channels >= [[5, 1], [0, 2]])
    assert np.array_equal(size.worst().units[:, 0], [3, 4, 2, 0])
    assert np.all(size.worst().channels[:, 0] >= [5, 2])
    even = of_each(np.array([2.0]), (2, 2, 2))
    assert even.total >= 2 * 8**0.5 and np.all(even.channels >= 4)


def test_a_silu_adds_no_more_than_so_much_to_any_deviation() -> None:
    """Of a whole deviation, from anywhere to anywhere; and no less would do."""
    z = np.concatenate([np.linspace(-40, 40, 4001), [1.2784645, -1e-9, 0.0]])
    silu = z / (1 + np.exp(-z))
    more = np.abs(silu[:, None] - silu) - np.abs(z[:, None] - z)
    assert np.max(more) <= BEYOND["silu"]
    assert np.max(more) > BEYOND["silu"] - 1e-5
