"""How far a kernel may stretch a Euclidean norm: upper bounds, of which each has a proof.

A matrix: |X|^2 = |X^T X|, and the Frobenius norm is above the other one, so that

    |X|_2 <= |X_k|_F^(1/2^k),    X_0 = X,  X_(j+1) = X_j^T X_j,

and within n^(1/2^(k+1)) of it. In float64 X_(j+1) is off by at most gamma |X_j|_F^2 in the
Frobenius norm, which is added before each root is taken. Nothing is iterated from a vector, and
nothing is a hint.

A kernel on an image: by stride s it reads s^2 images apart, x_a(m) = x(s m + a - pad), and

    y(p) = sum_a sum_q w_a(q) x_a(p + q),    p < P,  q < t,

is a part of what the same kernels make on a circle of N = P + t - 1 places, where each x_a stands
once and nothing wraps around. There the transform makes products of it, and so, by Cauchy and
Schwarz, |y|^2 <= max_omega sum_a |w_a(omega)|^2 sum_a |x_a|^2, over the N frequencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.around.binary64 import F64, V, gamma, upper
from lastbit_check.network import Shape
from lastbit_check.operators.kernels import Places

SQUARINGS = 20
ONE = 2**200  # of the fixed point in which the circle is computed
PI = 31415926535897932384626433832795028841971693993751058209749445923078164 * ONE // 10**70
ON_CIRCLE = 2.0**-50  # what two products of points on it are off by
SMALL = 64  # numbers that a kernel's matrix may read, to be written out
MOST = 2**24  # numbers of a transform at a time
C128 = NDArray[np.complex128]


@dataclass(frozen=True)
class Gain:
    """Of a kernel (O, I / groups, kh, kw): |W x|_2 <= total |x|_2.

    What it makes of channel o has a norm of at most ``channels`` (O,) times that of the group of
    channels that it reads, and no number of it is larger than ``rows`` (O,) times that.
    """

    total: float
    channels: F64
    rows: F64


def gain_of(weight: F64, places: Places, strides: tuple[int, ...], off: float) -> Gain:
    """Of a kernel at its places, each weight of which is within ``off`` of itself."""
    outputs, groups = len(weight), places.groups
    sizes = np.abs(weight).reshape(outputs, -1)
    lost = upper(off * np.sum(sizes, axis=1))
    rows = upper(np.sqrt(np.sum(np.square(sizes), axis=1)))
    each = outputs // groups
    pointwise, one = weight.shape[2:] == (1, 1), places.shape[1:] == (1, 1)
    if not pointwise and each == 1 and math.prod(places.seen) <= SMALL * groups:
        channels = most = spectral(written(weight, places))
    elif pointwise or one:
        channels, most = rows, spectral(weight.reshape(groups, each, -1))
    else:
        powers, more = transformed(weight, places.shape, strides)
        lost = upper(lost + more)
        channels = upper(np.sqrt(np.max(powers, axis=1)))
        together = np.sum(powers.reshape(groups, each, -1), axis=1)
        most = upper(np.sqrt(np.max(together, axis=1)))
    total = np.max(upper(most + np.sum(lost.reshape(groups, -1), axis=1)))
    return Gain(float(total), upper(channels + lost), upper(rows + lost))


def written(weight: F64, places: Places) -> F64:
    """The matrices (O, places made, numbers read) of kernels that each make one channel."""
    inner, (high, wide) = weight.shape[1], places.seen[1:]
    found = np.zeros((len(weight), *places.shape[1:], inner, high + 1, wide + 1))
    made = np.arange(places.shape[1])[:, None], np.arange(places.shape[2])
    for (a, b), _ in np.ndenumerate(weight[0, 0]):
        y, x = places.rows[a][:, None], places.columns[b]
        found[:, made[0], made[1], :, y, x] += weight[:, :, a, b]
    return found[..., :high, :wide].reshape(len(weight), math.prod(places.shape[1:]), -1)


def spectral(x: F64) -> F64:
    """Upper bounds of the spectral norms of matrices (..., m, n), rounding included."""
    s = x if x.shape[-2] >= x.shape[-1] else x.swapaxes(-1, -2)
    lost, scales = gamma(max(s.shape[-2:])), list[NDArray[np.intp]]()
    for _ in range(SQUARINGS):
        scales.append(np.frexp(_frobenius(s))[1])
        s = np.ldexp(s, -scales[-1][..., None, None])
        s = s.swapaxes(-1, -2) @ s
    found = _frobenius(s)
    for scale in reversed(scales):
        found = np.ldexp(upper(np.sqrt(upper(found + lost))), scale)
    return found


def _frobenius(x: F64) -> F64:
    return upper(np.sqrt(np.sum(np.square(x), axis=(-2, -1))))


def transformed(weight: F64, shape: Shape, strides: tuple[int, ...]) -> tuple[F64, F64]:
    """Sums of |w_a(omega)|^2 over what a channel reads (O, frequencies).

    And by how much the root of each may be too small (O,).
    """
    across = [_frequencies(n, k, s)
              for n, k, s in zip(shape[1:], weight.shape[2:], strides, strict=True)]  # fmt: skip
    lost = upper((gamma(4 * sum(weight.shape[2:])) + ON_CIRCLE)
                 * np.sum(np.abs(weight), axis=(1, 2, 3)))  # fmt: skip
    (e, down), (f, right) = ((x, s) for x, s in zip(across, strides, strict=True))
    powers = np.zeros((len(weight), len(e) * len(f)))
    step = max(1, MOST // (powers.shape[1] * weight.shape[1]))
    for start in range(0, len(weight), step):
        some = slice(start, start + step)
        for a in range(down):
            for b in range(right):
                kernel = weight[some, :, a::down, b::right]
                made: C128 = e[:, : kernel.shape[2]] @ kernel @ f[:, : kernel.shape[3]].T
                each = np.sum(np.square(made.real) + np.square(made.imag), axis=1)
                powers[some] += each.reshape(len(each), -1)
    return powers, lost


def _frequencies(places: int, taps: int, stride: int) -> C128:
    """exp(2 pi i j q / N) for N frequencies j and the places q of a kernel, each on a circle."""
    count = -(-taps // stride)
    n = places + count - 1
    return circle(n)[np.outer(np.arange(n), np.arange(count)) % n]


@cache
def circle(n: int) -> Any:
    """exp(2 pi i j / n), both parts of each within V: their series, in integers."""
    found = list[complex]()
    for j in range(n):
        x, term, parts = 2 * PI * j // n, ONE, [0, 0]
        for k in range(1, 128):
            parts[(k - 1) % 2] += term * (-1) ** ((k - 1) // 2)
            term = term * x // ONE // k
        found.append(complex(*(part / ONE for part in parts)))
    assert V < ON_CIRCLE
    return np.array(found)
