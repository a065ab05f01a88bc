"""The rounding of many sums taken together: no image makes all of their magnitudes largest.

A layer's bound of its rounding (layers.py) is linear in the magnitudes of what it reads, x_i, and
of its exact sums: with n nonzero terms of magnitudes m, in all M, and F the magnitude of the whole,
the n - 1 sums of any tree are F and n - 2 others of at most (M + F) / 2. So what the roundings of
some layers do to a difference of two logits is at most

    sum_i g_i |f_i| + the same of what their forms are in error by,    f_i = c_i + A_i (y - y_c),

with weights g_i >= 0 of the forms f_i of what these layers read and return, over the box |y - y_c|
<= r of the base. With B = (A r, c) and any numbers p_i, q_j > 0 it is, by Cauchy and Schwarz,

    sum_i g_i |f_i| <= |g / p|_2 |diag(p) B diag(q)|_2 |1 / q|_2,

which for the best p and q is within a factor of 1.8 of the largest value (Grothendieck). That the
spectral norm is at most 1 is shown in integers: c 1 - X X^T = L L^T + E, E diagonally dominant.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lastbit_check.certificate import Together
from lastbit_check.cores import RADIUS_BITS, Gathered, Spread
from lastbit_check.exact import Fix, Ints, matmul_up, total
from lastbit_check.forward import Form, layer_underflow
from lastbit_check.layers import Layer, Rows
from lastbit_check.network import Node
from lastbit_check.verdict import require

MOST_ROWS = 2**12
BITS = 25  # of an entry of X: products of two rows are exact below 2^53
CLOSE = 1 + 2.0**-30  # more than float64 arithmetic on positive numbers can be off by here
TINY = 2.0**-1000  # more than squares that underflow are worth


class Affine(NamedTuple):
    """What a node's ``channels`` are of the base: A (units, N) and c (units,), within ``error``.

    No other of its channels depends on the base.
    """

    channels: Rows
    a: NDArray[np.float32]
    c: Ints
    error: Fix


class Sums(NamedTuple):
    """A layer, the weights (O, H, W, 1) of its roundings, and the forms that it reads and gives."""

    layer: Layer
    weights: Fix
    reach: Fix
    source: Affine
    result: Affine


class Bundle:
    """Forms of the nodes ``names``, and how they depend on the first base."""

    def __init__(self, names: set[str]) -> None:
        self.names, self.forms, self.radius = names, dict[str, Form](), np.zeros(0)
        self.rows: dict[str, tuple[Rows, NDArray[np.float32]]] = {}
        self.own: dict[str, Fix] = {}

    def begin(self, radius: Fix, rows: dict[str, Gathered], found: dict[str, Spread]) -> None:
        """Note what `cores.spreads` makes of the first base, whose error is ``radius``."""
        require(self.names <= found.keys(), "together.base", "a node that does not depend on it")
        ranges = radius[:, :1].fit(RADIUS_BITS)
        self.radius = np.ldexp(ranges.n[np.any(radius.n, axis=1), 0], -ranges.e)
        self.rows = {name: _joined(rows.pop(name), self.radius.size) for name in list(rows)}
        self.own = {name: found[name].spread[..., :1] for name in self.names}

    def sums(self, node: Node, layer: Layer, weights: Fix) -> Sums:
        """What `bound` reads of a node."""
        require(self.names <= self.rows.keys(), "together.base", "there is none")
        source, result = (self._affine(name) for name in (node.inputs[0], node.name))
        return Sums(layer, weights, self.forms[node.inputs[0]].magnitude, source, result)

    def _affine(self, name: str) -> Affine:
        form, own, (channels, a) = self.forms[name], self.own[name], self.rows[name]
        require(abs(form.c.e) <= 200 or not form.c.n.any(), "precision", "a centre underflows")
        error = total(form.radius[..., :1], -own)
        c = np.ldexp(form.c.n[channels], -form.c.e).ravel()
        return Affine(channels, a, c, error[channels].reshape(-1, 1))


def _joined(parts: Gathered, count: int) -> tuple[Rows, NDArray[np.float32]]:
    """The channels that occur in ``parts``, and their columns (units, count)."""
    channels = np.unique(np.concatenate([rows for _, rows, _, _ in parts]))
    joined = np.zeros((channels.size, *parts[0][2].shape[1:3], count), np.float32)
    for start, rows, n, e in parts:
        require(not n.any() or abs(e) <= 100, "precision", "columns are not exact in float32")
        here = np.searchsorted(channels, rows)
        joined[here, ..., start : start + n.shape[3]] = np.ldexp(n, -e)
    return channels, joined.reshape(-1, count)


def gathered(sums: list[Sums], radius: Ints) -> tuple[Ints, Ints, Fraction]:
    """The distinct forms B (n, N + 1), their weights g (n,), and what is not weighed by forms.

    A form is divided by a power of two, by which its weight is multiplied.
    """
    places, forms, gains = dict[bytes, int](), list[Ints](), list[float]()
    rest = Fraction(0)
    for each in sums:
        read, given, alone = _gains(each)
        rest += alone
        for gain, form in ((read, each.source), (given, each.result)):
            flat = gain[form.channels].reshape(1, -1)
            every = np.count_nonzero(flat.n) == np.count_nonzero(gain.n)
            require(every, "together.base", "a constant is read")
            rest += matmul_up(flat, form.error).largest()
            for k in np.flatnonzero(flat.n):
                row = np.append(form.a[k] * radius, form.c[k])
                exponent = math.frexp(np.max(np.abs(row)))[1]
                row = np.ldexp(row, -exponent)
                if not row.any():
                    continue
                place = places.setdefault(row.tobytes(), len(forms))
                if place == len(forms):
                    forms.append(row)
                    gains.append(0.0)
                gains[place] += math.ldexp(flat.n[0, k], exponent - gain.e)
    require(forms, "together.shape", "no forms")
    return np.stack(forms), np.array(gains), rest


def bound(sums: list[Sums], radius: Ints, hint: Together) -> Fraction:
    """Upper bound, over all images, of the sum of the layers' roundings times their weights."""
    forms, gains, rest = gathered(sums, radius)
    fits = (hint.rows.shape, hint.columns.shape) == (forms.shape[:1], forms.shape[1:])
    require(fits and len(forms) <= MOST_ROWS, "together.shape", f"{forms.shape}")
    positive = np.min(hint.rows) > 0 and np.min(hint.columns) > 0 and abs(hint.exponent) < 200
    require(bool(positive), "together.positive", "scales that are not positive")
    p, q = hint.rows.astype(np.float64), np.ldexp(hint.columns.astype(np.float64), -hint.exponent)
    forms *= p[:, None]
    forms *= q * 2.0**BITS
    contracts(np.rint(forms, out=forms))
    left, right = (np.sqrt(np.sum(v * v) + TINY) for v in (gains / p, 1 / q))
    return Fraction(float(left)) * Fraction(float(right)) * Fraction(CLOSE) + rest


def _gains(sums: Sums) -> tuple[Fix, Fix, Fraction]:
    """Weights of what the layer reads and of what it returns, and what neither makes, in units."""
    layer, beta = sums.layer, sums.weights
    core = np.abs(layer.w) + layer.inexact
    count = np.count_nonzero(core, axis=(1, 2, 3)) + (layer.bias_size.n > 0)
    inner, extra = np.maximum(count - 2.0, 0), 2.0 * layer.extra
    heavy = core * (inner[:, None, None, None] + extra * ~layer.exact)
    read = replace(layer, w=heavy).transposed(beta)
    column = (-1, 1, 1, 1)
    given = Fix(beta.n * (inner + 2.0 * (count > 1)).reshape(column), beta.e)
    bias = Fix(layer.bias_size.n * (inner + extra), layer.bias_size.e).reshape(*column)
    mass = total(layer.spread(sums.reach), layer.bias_size.reshape(*column)).fit(30)
    steps = layer.terms + 1 + layer.extra
    later = Fix(mass.n * (2.0 * steps * steps), mass.e + 23)
    alone = total(bias, later)
    alone = Fix(np.broadcast_to(alone.n, beta.n.shape), alone.e + 25)
    lost = total(alone, layer_underflow(layer, sums.reach)).reshape(-1, 1)
    rest = matmul_up(beta.reshape(1, -1), lost).largest()
    touched = layer.columns(heavy).reshape(-1, 1, 1, 1) > 0
    return Fix(read.n + touched, read.e + 25), Fix(given.n, given.e + 25), rest


def contracts(x: Ints) -> None:
    """Rule norm.spectral: |X|_2 <= 1 for every X within one unit of the integers x 2^-BITS."""
    rows, columns = x.shape
    unit = 2**BITS
    limit = float((unit - math.isqrt(rows * columns) - 1) ** 2)
    require(bool(np.max(np.sum(x * x, axis=1)) < limit), "norm.spectral", "a row is too long")
    one: Ints = np.eye(rows)
    gap: Ints = limit * one - x @ x.T
    try:
        factor = cast("Ints", np.linalg.cholesky(gap - 2.0 * unit * rows * one))
    except np.linalg.LinAlgError:
        factor = 0 * one
    factor = np.rint(factor)
    short = bool(np.max(np.sum(factor * factor, axis=1)) < 2.0**52)
    require(short, "norm.spectral", "a factor is too large")
    left: Ints = gap - factor @ factor.T
    own = np.sum(left * one, axis=1)
    others: Ints = np.sum(np.abs(left), axis=1) - np.abs(own)
    require(bool(np.all(own >= others * CLOSE)), "norm.spectral", "the norm may exceed 1")
