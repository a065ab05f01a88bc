"""Elementary functions as judges: float64 values, each with a bound of its own error.

One thing is assumed: NumPy's float64 exp errs by at most `EXP_ULPS` units in the last place (it is
accurate to about one). `largest_exp_error` measures it at sampled points against the checker's
rational enclosure of exp; a run whose sample is above the assumption judges nothing.

From it, with d = EXP_ULPS * 2^-52 and v = 2^-53 the unit roundoff of binary64: if t = exp(-z) is
computed as t (1 + d'), |d'| <= d, then 1 / (1 + t) changes by at most d t / (1 + t) <= d,
relatively, and the sum and the quotient add at most v each; so sigmoid is off by at most
(d + 2v)(1 + 2^-20) < 2^-48 relatively. The product with z adds one more v. Where exp under- or
overflows (|z| > 708) the true sigmoid is within 2^-1000 of what is computed, and |z| < 2^128.
HardSigmoid and HardSwish are three operations: off by at most 4v. Where |z| >= 2^-6, tanh(z) is
1 - 2 / (exp(2z) + 1), off by less than 2^-49, or 2^-43 of itself; below that its series up to z^9,
which leaves less than z^11 / 100.

Of SciPy's erf and ndtr (the normal distribution's Phi) it is assumed that they err by at most
`NORMAL` relatively, and likewise of NumPy's log1p between 0 and 1; `largest_normal_error` and
`largest_log_error` measure it, as `largest_exp_error` does.

Below -2^-6, exp(z) - 1 is off by d + 2v, and not smaller than 2^-7: 2^-42 of itself; above that it
is its series up to z^6, which leaves 2^-48 of it. Mish is z n / (n + 2) with n = t (t + 2), t =
exp(z), or the same divided by exp(2z), where nothing cancels; Gelu by tanh is z sigmoid(2w), whose
exponential is of |2w| < 600, off by 6v: 2^-41 of it, or smaller than 2^-800.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lastbit.graph import Float32Array
from lastbit.operators.gelu_tanh import gelu_tanh
from lastbit.operators.soft import mish
from lastbit_check.arithmetic.enclosure import exp_bounds
from lastbit_check.operators.gelu import normal_bounds
from lastbit_check.operators.soft import logarithm

Float64Array = NDArray[np.float64]
FunctionName = Literal[
    "sigmoid", "silu", "hardsigmoid", "hardswish", "tanh", "erf", "gelu", "gelutanh",
    "elu", "softplus", "softsign", "mish", "exp",
]  # fmt: skip
FUNCTIONS: tuple[FunctionName, ...] = get_args(FunctionName)

EXP_ULPS = 4
"""Assumed of NumPy's float64 exp: |computed - exp(x)| <= EXP_ULPS * 2^-52 exp(x)."""
RELATIVE = 2.0**-47
"""Relative error of every reference value here, the error of computing the bound included."""
RELATIVE_OF: dict[FunctionName, float] = {
    "tanh": 2.0**-42, "erf": 2.0**-40, "gelu": 2.0**-40, "gelutanh": 2.0**-40, "elu": 2.0**-41,
    "softplus": 2.0**-40, "mish": 2.0**-44,
}  # fmt: skip
"""Likewise, where it is larger."""
SMALL = 2.0**-6
NORMAL = 2.0**-41
"""Assumed of erf, ndtr and log1p: the largest relative error, where the value is above 2^-800."""
TINY = 2.0**-800
"""Absolute error beside it: underflow in float64, times |z| < 2^128."""


@dataclass(frozen=True)
class Reference:
    """`value` with |value - true function| <= `error`, elementwise, float64."""

    value: Float64Array
    error: Float64Array


def reference(
    function: FunctionName, z: NDArray[np.floating], *shaping: NDArray[np.floating]
) -> Reference:
    """The function at finite float32 (or float64) arguments of magnitude below 2^128.

    ``shaping`` are the parameters of a curve, if the plain one is not meant.
    """
    z = z.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        value = _FUNCTIONS[function](z, *shaping)
        error = np.abs(value) * RELATIVE_OF.get(function, RELATIVE) + TINY
        if function == "elu":  # z itself, or a product
            scaled = len(shaping) > 1 and np.any(shaping[1] != 1)
            error = np.where(z >= 0, np.abs(value) * 2.0**-53 * scaled, error)
        return Reference(value, error)


def _sigmoid(z: Float64Array) -> Float64Array:
    return 1.0 / (1.0 + np.exp(-z))


def _hard_sigmoid(z: Float64Array) -> Float64Array:
    return np.clip((z + 3.0) / 6.0, 0.0, 1.0)


def _tanh(z: Float64Array) -> Float64Array:
    far, s = 1.0 - 2.0 / (np.exp(2.0 * np.abs(z)) + 1.0), z * z
    series = 1.0 - s * (1 / 3 - s * (2 / 15 - s * (17 / 315 - s * (62 / 2835))))
    return np.where(np.abs(z) < SMALL, z * series, np.copysign(far, z))


def _elu(z: Float64Array, a: Any = 1.0, g: Any = 1.0, d: Any = 1.0) -> Float64Array:
    """g z where z >= 0, g a (exp(z / d) - 1) elsewhere."""
    x = np.minimum(z, 0.0) / d
    series = x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))))
    less = np.where(x > -SMALL, series, np.exp(x) - 1.0)
    return np.where(z >= 0, g * z, g * a * less)


def _softplus(z: Float64Array) -> Float64Array:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


_FUNCTIONS: dict[FunctionName, Callable[..., Float64Array]] = {
    "sigmoid": _sigmoid,
    "silu": lambda z: z * _sigmoid(z),
    "hardsigmoid": _hard_sigmoid,
    "hardswish": lambda z: z * _hard_sigmoid(z),
    "tanh": _tanh,
    "erf": special.erf,
    "gelu": lambda z, scale=1.0: scale * z * special.ndtr(z),
    "gelutanh": lambda z, scale=1.0: scale * gelu_tanh(z),
    "elu": _elu,
    "softplus": _softplus,
    "softsign": lambda z: z / (1.0 + np.abs(z)),
    "mish": mish,
    "exp": np.exp,
}


def largest_exp_error(points: int = 2000, seed: int = 0) -> float:
    """Largest error of NumPy's float64 exp at sampled float32 points of [-104, 88].

    Returns:
        The error in units of 2^-52 exp(x), an upper bound of it at each of the points.
    """
    random = np.random.default_rng(seed)
    spread = random.uniform(-104.0, 88.0, points // 2)
    near = np.ldexp(random.uniform(-1.0, 1.0, points - points // 2), random.integers(-30, 7))
    x = np.concatenate([spread, near]).astype(np.float32).astype(np.float64)
    worst = Fraction(0)
    for argument, computed in zip(x.tolist(), np.exp(x).tolist(), strict=True):
        low, high = exp_bounds(Fraction(argument))
        away = max(abs(Fraction(computed) - low), abs(Fraction(computed) - high))
        worst = max(worst, away / low)
    return float(worst * 2**52)


def largest_normal_error(points: int = 300, seed: int = 0) -> float:
    """Largest relative error of SciPy's ndtr at sampled points k/1024 of [-8, 8]."""
    random = np.random.default_rng(seed)
    x = random.integers(-8192, 8193, points) / 1024
    worst = Fraction(0)
    for argument, computed in zip(x.tolist(), special.ndtr(x).tolist(), strict=True):
        low, high = normal_bounds(Fraction(argument))
        away = max(abs(Fraction(computed) - low), abs(Fraction(computed) - high))
        worst = max(worst, away / low)
    return float(worst)


def largest_log_error(points: int = 1000, seed: int = 0) -> float:
    """Largest relative error of NumPy's float64 log1p at sampled points of [2^-40, 1]."""
    random = np.random.default_rng(seed)
    x = np.ldexp(random.uniform(0.5, 1.0, points), random.integers(-39, 1, points))
    worst = Fraction(0)
    for argument, computed in zip(x.tolist(), np.log1p(x).tolist(), strict=True):
        low, high = logarithm(1 + Fraction(argument))
        away = max(abs(Fraction(computed) - low), abs(Fraction(computed) - high))
        worst = max(worst, away / low)
    return float(worst)


def special_points() -> Float32Array:
    """Arguments at which implementations change what they do, with their neighbours.

    Zeros, subnormals, both ends of every power of two, the ends of the range of exp, where
    sigmoid saturates, multiples of ln(2) / 2 (where exp changes its exponent), infinities, NaN.
    """
    powers = np.ldexp(1.0, np.arange(-149, 128))
    ends = [2.0**-6, 88.37626, 88.72284, 87.33654, 87.68311, 103.27893, 103.97208, 104.0, 709.78]
    steps = np.arange(0.5, 40.5, 0.5)
    halves = np.arange(1, 311) * (np.log(2.0) / 2)
    largest = float(np.finfo(np.float32).max)
    centres = np.concatenate([[0.0, largest], powers, ends, steps, halves]).astype(np.float32)
    bits = centres.view(np.uint32)
    around = bits[:, None].astype(np.int64) + np.arange(-32, 33)
    positive = np.clip(around, 0, 0x7F800000).astype(np.uint32)
    nans = np.array([0x7F800001, 0x7FC00000, 0x7FFFFFFF], np.uint32)
    bits = np.unique(np.concatenate([positive.reshape(-1), nans]))
    return np.concatenate([bits, bits | np.uint32(0x80000000)]).view(np.float32)
