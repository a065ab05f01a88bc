"""The enclosures of sigmoid, silu, their slopes, exp and tanh, against mpmath."""

import decimal
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from lastbit_check.arithmetic import enclosure
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.operators import elu, gelu, gelu_tanh, hard, soft, tanh

mpmath.mp.prec = 160
Real = Any  # what mpf makes; mpmath has no types
mpf: Any = mpmath.mpf
Curve = Callable[[Real], Real]


def sigmoid(z: Real) -> Real:
    return 1 / (1 + mpmath.exp(-z))


def sigmoid_slope(z: Real) -> Real:
    return sigmoid(z) * sigmoid(-z)


def silu(z: Real) -> Real:
    return z * sigmoid(z)


def silu_slope(z: Real) -> Real:
    return sigmoid(z) * (1 + z * sigmoid(-z))


def hard_sigmoid(z: Real) -> Real:
    return min(max((z + 3) / 6, mpf(0)), mpf(1))


def hard_swish(z: Real) -> Real:
    return z * hard_sigmoid(z)


def hard_swish_slope(z: Real) -> Real:
    """At a kink that of the side where it is steepest."""
    return (2 * z + 3) / 6 if -3 <= z <= 3 else mpf(int(z > 0))


def tanh_slope(z: Real) -> Real:
    return 1 - mpmath.tanh(z) ** 2


def erf_slope(z: Real) -> Real:
    return 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-z * z)


def gelu_value(z: Real) -> Real:
    return z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def gelu_slope(z: Real) -> Real:
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2 + z * mpmath.npdf(z)


def below_zero(z: Real) -> Real:
    return mpmath.exp(min(z, mpf(0)))


def softsign(z: Real) -> Real:
    return z / (1 + abs(z))


def mish(z: Real) -> Real:
    return z * mpmath.tanh(mpmath.log1p(mpmath.exp(z)))


def mish_slope(z: Real) -> Real:
    t = mpmath.tanh(mpmath.log1p(mpmath.exp(z)))
    return t + z * (1 - t**2) * sigmoid(z)


def gelu_tanh_value(z: Real) -> Real:
    return z * sigmoid(2 * mpmath.sqrt(2 / mpmath.pi) * (z + mpf("0.044715") * z**3))


def gelu_tanh_slope(z: Real) -> Real:
    root = 2 * mpmath.sqrt(2 / mpmath.pi)
    s = sigmoid(root * (z + mpf("0.044715") * z**3))
    return s + z * s * (1 - s) * root * (1 + mpf("0.134145") * z**2)


def enclosed(name: str, lo: Fix, hi: Fix) -> tuple[list[Real], list[Real]]:
    found = enclosure.enclosed(TABULATED[name], lo, hi)
    low, high = ([mpf(int(n)) / mpf(2) ** f.e for n in f.n.reshape(-1)] for f in found)
    return low, high


CURVES: list[tuple[str, Curve, list[float]]] = [
    ("sigmoid", sigmoid, []),
    ("sigmoid'", sigmoid_slope, [0.0]),
    ("silu", silu, [-1.2784645427610738]),
    ("silu'", silu_slope, [-2.399357280520545, 2.399357280520545, 0.0]),
    ("hardsigmoid", hard_sigmoid, [-3.0, 3.0]),
    ("hardswish", hard_swish, [-3.0, -1.5, 3.0]),
    ("hardswish'", hard_swish_slope, [-3.0, 3.0]),
    ("erf", mpmath.erf, []),
    ("erf'", erf_slope, [0.0]),
    ("gelu", gelu_value, [-0.7517915241]),
    ("gelu'", gelu_slope, [-(2**0.5), 2**0.5, 0.0]),
    ("tanh", mpmath.tanh, [0.0]),
    ("tanh'", tanh_slope, [0.0]),
    ("elu", lambda z: below_zero(z) - 1, [0.0]),
    ("elu'", below_zero, [0.0]),
    ("softplus", lambda z: mpmath.log1p(below_zero(z)), [0.0]),
    ("softsign", softsign, [0.0]),
    ("softsign'", lambda z: 1 / (1 + abs(z)) ** 2, [0.0]),
    ("mish", mish, [-1.1924312145]),
    ("mish'", mish_slope, [-2.2563763963, 1.4905668115]),
    ("gelutanh", gelu_tanh_value, [-0.7524614220]),
    ("gelutanh'", gelu_tanh_slope, [-1.4185037126, 1.4185037126, 0.0]),
]
TABULATED = {
    "sigmoid": enclosure.SIGMOID,
    "sigmoid'": enclosure.SIGMOID_SLOPE,
    "silu": enclosure.SILU,
    "silu'": enclosure.SILU_SLOPE,
    "hardsigmoid": hard.SIGMOID,
    "hardswish": hard.SWISH,
    "hardswish'": hard.SWISH_SLOPES,
    "erf": gelu.ERF,
    "erf'": gelu.ERF_SLOPE,
    "gelu": gelu.GELU,
    "gelu'": gelu.GELU_SLOPE,
    "tanh": tanh.TANH,
    "tanh'": tanh.TANH_SLOPE,
    "elu": elu.LESS_ONE,
    "elu'": elu.POWER,
    "softplus": soft.TAIL,
    "softsign": soft.SOFTSIGN,
    "softsign'": soft.SOFTSIGN_SLOPE,
    "mish": soft.MISH,
    "mish'": soft.MISH_SLOPE,
    "gelutanh": gelu_tanh.VALUES,
    "gelutanh'": gelu_tanh.SLOPES,
}
BITS = 24


def check(
    name: str, curve: Curve, lows: np.ndarray, highs: np.ndarray, special: list[float]
) -> None:
    below, above = enclosed(name, Fix(lows, BITS), Fix(highs, BITS))
    for a, b, low, high in zip(lows, highs, below, above, strict=True):
        ends = [mpf(int(a)) / 2**BITS, mpf(int(b)) / 2**BITS]
        inside = [mpf(s) for s in special if ends[0] <= s <= ends[1]]
        middle = [ends[0] + (ends[1] - ends[0]) * k / 7 for k in range(1, 7)] if a < b else []
        for z in (*ends, *inside, *middle):
            value = curve(z)
            assert low <= value <= high, (name, float(z), float(low), float(value), float(high))


@pytest.mark.parametrize(("name", "curve", "special"), CURVES)
def test_on_dense_points(name: str, curve: Curve, special: list[float]) -> None:
    """Points that are on the table's grid, and points that are not, far outside included."""
    points = np.concatenate(
        [
            np.rint(np.linspace(-30, 30, 1201) * 2**BITS),
            np.arange(-200.0, 201.0) * 2 ** (BITS - 6),
            np.array([-1e6, -100, -24, 0, 24, 100, 1e6]) * 2**BITS,
            np.array([-3.0, -1.0, 1.0, 3.0]),
        ]
    )
    check(name, curve, points, points, special)


@pytest.mark.parametrize(("name", "curve", "special"), CURVES)
@pytest.mark.parametrize("scale", [2.0**-12, 2.0**-4, 1.0, 8.0, 60.0])
def test_on_random_intervals(name: str, curve: Curve, special: list[float], scale: float) -> None:
    rng = np.random.default_rng(int(scale * 4096))
    ends = np.rint(np.sort(rng.normal(0, scale, (150, 2)), axis=1) * 2**BITS)
    check(name, curve, ends[:, 0], ends[:, 1], special)


@pytest.mark.parametrize(("name", "curve", "special"), CURVES)
def test_around_the_extreme_points(name: str, curve: Curve, special: list[float]) -> None:
    """Intervals that end within one cell of an extremum of the curve or of the table's end."""
    for centre in (*special, -24.0, 24.0):
        cell = np.rint(centre * 64)
        k = np.arange(cell - 3, cell + 4)
        a, b = (v.reshape(-1) for v in np.meshgrid(k, k))
        keep = a <= b
        check(name, curve, a[keep] * 2**18 + 1, b[keep] * 2**18 + 2, special)


def test_enclosures_are_not_vacuous() -> None:
    points = np.rint(np.linspace(-20, 20, 401) * 2**BITS)
    smooth = points[np.abs(np.abs(points) - 3 * 2**BITS) > 2 ** (BITS - 5)]
    for name, _, _ in CURVES:
        at = smooth if name == "hardswish'" else points
        low, high = enclosed(name, Fix(at, BITS), Fix(at, BITS))
        assert max(h - v for v, h in zip(low, high, strict=True)) < 1 / 32


def test_exp_of_every_table_point_against_its_series() -> None:
    """Taylor's sum of x / 2^12 with Lagrange's remainder, squared 12 times, in fractions."""
    for k in range(-enclosure.END, enclosure.END + 1, 7):
        y, term, series = Fraction(abs(k), 64 * 2**12), Fraction(1), Fraction(1)
        for n in range(1, 12):
            term = term * y / n
            series += term
        low, high = Fraction(int(series * 2**240), 2**240), series + 2 * term * y / 12
        high = Fraction(int(high * 2**240) + 1, 2**240)
        for _ in range(12):
            low, high = (
                Fraction(int(low * low * 2**240), 2**240),
                Fraction(int(high * high * 2**240) + 1, 2**240),
            )
        found = enclosure.exp_bounds(Fraction(k, 64))
        wide = (low, high) if k >= 0 else (1 / high, 1 / low)
        assert found[0] <= wide[1] and wide[0] <= found[1]
        assert wide[1] - wide[0] < wide[0] / 2**90
        assert found[1] - found[0] < found[0] / 2**160


@pytest.mark.parametrize("z", [Fraction(k, 7) for k in (0, 1, -5, 9, -20, 41, 56, -56, 57, -90)])
def test_the_normal_distribution_and_erf(z: Fraction) -> None:
    exact = mpf(z.numerator) / z.denominator
    phi = gelu.normal_bounds(z), mpmath.erfc(-exact / mpmath.sqrt(2)) / 2
    error = gelu.erf_bounds(z), mpmath.erf(exact)
    for (low, high), value in (phi, error):
        assert mpf(low.numerator) / low.denominator <= value
        assert value <= mpf(high.numerator) / high.denominator
        assert high - low <= Fraction(1, 2**40)


def test_exp_whatever_the_context() -> None:
    """A caller's precision and rounding are nothing to it."""
    x = Fraction(355, 113)
    plain = enclosure.exp_bounds(x)
    enclosure.exp_bounds.cache_clear()
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_DOWN)):
        assert enclosure.exp_bounds(x) == plain


@pytest.mark.parametrize(
    "x",
    [
        Fraction(0),
        Fraction(1, 3),
        Fraction(-7, 5),
        Fraction(50),
        Fraction(-64),
        Fraction(1, 2**80),
        Fraction(1, 64),
        Fraction(12345, 1000),
        Fraction(-1, 3 * 10**9),
        Fraction(10**5),
        Fraction(-(10**5)),
    ],
)
def test_exp(x: Fraction) -> None:
    low, high = enclosure.exp_bounds(x)
    with mpmath.workprec(400):
        exact = mpmath.exp(mpf(x.numerator) / x.denominator)
        assert mpf(low.numerator) / low.denominator <= exact
        assert exact <= mpf(high.numerator) / high.denominator
    assert high - low <= low / 2**55


@pytest.mark.parametrize(
    "x",
    [
        Fraction(0),
        Fraction(1, 10**9),
        Fraction(1, 8),
        Fraction(1),
        Fraction(39),
        Fraction(41),
        Fraction(10**30),
    ],
)
def test_tanh(x: Fraction) -> None:
    upper, exact = enclosure.tanh_upper(x), mpmath.tanh(mpf(x.numerator) / x.denominator)
    assert exact <= mpf(upper.numerator) / upper.denominator
    assert upper <= 1
    assert mpf(upper.numerator) / upper.denominator <= exact * (1 + mpf(2) ** -30) + mpf(2) ** -50
