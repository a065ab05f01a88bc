"""The rounding of many sums taken together: no image makes all of their magnitudes largest.

A layer's bound of its roundings (layers.py) is linear in the magnitudes of what it reads, x_i, and
of its exact sums: with n nonzero terms of magnitudes m, in all M, and F the magnitude of the whole,
the n - 1 sums of any tree are F and n - 2 others of at most (M + F) / 2. That of a gate is linear
in the magnitude of what it multiplies, that of an addition in the magnitude of its sum. So what the
roundings of some nodes do to a difference of two logits is at most

    sum_i g_i |f_i| + the same of what their forms are in error by,    f_i = c_i + A_i (y - y_c),

with weights g_i >= 0 of the forms f_i of what these nodes read and return, over the box |y - y_c|
<= r of the base. With B = (A r, c) and any numbers p_i, q_j > 0 it is, by Cauchy and Schwarz,

    sum_i g_i |f_i| <= |g / p|_2 |diag(p) B diag(q)|_2 |1 / q|_2,

which for the best p and q is within a factor of 1.8 of the largest value (Grothendieck). That the
spectral norm is at most 1 is shown in integers: c 1 - X X^T = L L^T + E, E diagonally dominant.
"""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
from scipy.sparse import csr_array, hstack

from lastbit_check.certificate import Together
from lastbit_check.cores import RADIUS_BITS, Spread
from lastbit_check.exact import Fix, Ints, apply, matmul_up, times, total
from lastbit_check.forward import Form, layer_underflow, underflow
from lastbit_check.layers import Layer
from lastbit_check.network import Node
from lastbit_check.verdict import require

MOST_ROWS = 2**12
BITS = 25  # of an entry of X: products of two rows are exact below 2^53
CLOSE = 1 + 2.0**-30  # more than float64 arithmetic on positive numbers can be off by here
TINY = 2.0**-1000  # more than squares that underflow are worth


class Affine(NamedTuple):
    """What a node's units are of the base: A (units, N) and c (units,), within ``error``."""

    a: csr_array
    c: Ints
    error: Fix


Terms = tuple[list[tuple[Fix, Affine]], Fraction]  # forms by their weights (units, 1), the rest


class Trunk(NamedTuple):
    """How nodes depend on the first base: its half widths, and by name A and |A| radius."""

    radius: Ints
    rows: dict[str, csr_array]
    own: dict[str, Fix]

    def terms(self, node: Node, layer: Layer | None, forms: dict[str, Form], a: Fix) -> Terms:
        """What bounds a node's roundings in two runs; ``a`` (units, 1) is what its values count."""
        source, result = (self._affine(name, forms[name]) for name in (node.inputs[0], node.name))
        beta, reach = Fix(2 * np.abs(a.n), a.e), forms[node.inputs[0]].magnitude
        if layer:
            read, given, rest = _gains(layer, beta, reach)
            return [(read, source), (given, result)], rest
        # one rounding, of a sum or of a product x s
        factor = forms[node.inputs[1]].magnitude if node.op == "gate" else Fix(np.ones(1), 0)
        most = Fix(np.broadcast_to(factor.n, (*node.shape, 1)).reshape(-1, 1), factor.e + 24)
        lost = underflow(reach.largest() + factor.largest() + 4)
        rest = matmul_up(beta.reshape(1, -1), Fix(0 * beta.n + lost.n, lost.e)).largest()
        return [(times(beta, most), source if node.op == "gate" else result)], rest

    def _affine(self, name: str, form: Form) -> Affine:
        require(abs(form.c.e) <= 200 or not form.c.n.any(), "precision", "a centre underflows")
        error = total(form.radius[..., :1], -self.own[name])
        return Affine(self.rows[name], np.ldexp(form.c.n, -form.c.e).ravel(), error.reshape(-1, 1))


def trunk(radius: Fix, gathered: dict[str, list[csr_array]], found: dict[str, Spread]) -> Trunk:
    """What `cores.spreads` makes of the first base, whose error is ``radius``."""
    require(gathered.keys() <= found.keys(), "together.base", "a node does not depend on it")
    ranges = radius[:, :1].fit(RADIUS_BITS)
    widths = np.ldexp(ranges.n[np.any(radius.n, axis=1), 0], -ranges.e)
    rows = {name: hstack(parts, "csr") for name, parts in gathered.items()}
    return Trunk(widths, rows, {name: found[name].spread[..., :1] for name in rows})


def gathered(terms: list[Terms], radius: Ints) -> tuple[Ints, Ints, Fraction]:
    """The distinct forms B (n, N + 1), their weights g (n,), and what is not weighed by forms.

    A form is divided by a power of two, by which its weight is multiplied.
    """
    gains, rest = dict[bytes, float](), Fraction(0)
    for weighed, alone in terms:
        rest += alone
        for gain, form in weighed:
            flat = gain.reshape(1, -1)
            rest += matmul_up(flat, form.error).largest()
            used = np.flatnonzero(flat.n)
            rows = np.hstack([form.a[used].toarray() * radius, form.c[used, None]])
            _, exponents = np.frexp(np.max(np.abs(rows), axis=1))
            rows = np.ldexp(rows, -exponents[:, None])
            weights = np.ldexp(flat.n[0, used], exponents - gain.e)
            for row, weight in zip(rows[rows.any(axis=1)], weights[rows.any(axis=1)], strict=True):
                gains[row.tobytes()] = gains.get(row.tobytes(), 0.0) + float(weight)
    require(gains, "together.shape", "no forms")
    return np.stack([*map(np.frombuffer, gains)]), np.array([*gains.values()]), rest


def bound(terms: list[Terms], radius: Ints, hint: Together) -> Fraction:
    """Upper bound, over all images, of the sum of the nodes' roundings times their weights."""
    forms, gains, rest = gathered(terms, radius)
    fits = (len(hint.rows), len(hint.columns)) == forms.shape
    require(fits and len(forms) <= MOST_ROWS, "together.shape", f"{forms.shape}")
    positive = all(2.0**-200 < scale < 2.0**200 for scale in (*hint.rows, *hint.columns))
    require(positive, "together.positive", "scales that are not positive, or out of range")
    p, q = np.array(hint.rows), np.array(hint.columns)
    forms *= p[:, None]
    forms *= q * 2.0**BITS
    contracts(np.rint(forms, out=forms))
    left, right = (np.sqrt(np.sum(v * v) + TINY) for v in (gains / p, 1 / q))
    return Fraction(float(left)) * Fraction(float(right)) * Fraction(CLOSE) + rest


def _gains(layer: Layer, beta: Fix, reach: Fix) -> tuple[Fix, Fix, Fraction]:
    """Weights of what the layer reads and of what it returns, and what neither makes, in units."""
    products = np.diff(layer.w.indptr)[:, None]
    whole = np.broadcast_to(layer.bias_size.n, (*layer.shape, 1)).reshape(-1, 1)
    count = (products + (whole > 0)).astype(np.float64)
    inner, extra = np.maximum(count - 2, 0), 2.0 * layer.extra
    roundings = np.repeat(inner, products[:, 0]) + np.where(layer.exact, 0.0, extra)
    heavy = layer.matrix(layer.heavy.data * roundings)
    read = apply(heavy.T, beta, up=False)
    touched = heavy.T @ np.ones_like(beta.n) > 0
    given = Fix(beta.n * (inner + 2.0 * (count > 1)), beta.e)
    mass = total(layer.spread(reach), layer.bias_size).fit(30).reshape(-1, 1)
    steps = layer.terms + 1 + layer.extra
    later = Fix(mass.n * (2.0 * steps * steps), mass.e + 23)
    alone = total(Fix(whole * (inner + extra), layer.bias_size.e), later)
    lost = total(Fix(alone.n, alone.e + 25), layer_underflow(layer, reach))
    rest = matmul_up(beta.reshape(1, -1), lost).largest()
    return Fix(read.n + touched, read.e + layer.e + 25), Fix(given.n, given.e + 25), rest


def contracts(x: Ints) -> None:
    """Rule norm.spectral: |X|_2 <= 1 for every X within one unit of the integers x 2^-BITS."""
    rows, columns = x.shape
    unit = 2**BITS
    limit = float((unit - math.isqrt(rows * columns) - 1) ** 2)
    require(bool(np.max(np.sum(x * x, axis=1)) < limit), "norm.spectral", "a row is too long")
    one: Ints = np.eye(rows)
    gap: Ints = limit * one - x @ x.T
    factor: Ints = 0 * one
    with suppress(np.linalg.LinAlgError):
        factor = np.rint(cast("Ints", np.linalg.cholesky(gap - 2.0 * unit * rows * one)))
    short = bool(np.max(np.sum(factor * factor, axis=1)) < 2.0**52)
    require(short, "norm.spectral", "a factor is too large")
    left: Ints = gap - factor @ factor.T
    own = np.sum(left * one, axis=1)
    others: Ints = np.sum(np.abs(left), axis=1) - np.abs(own)
    require(bool(np.all(own >= others * CLOSE)), "norm.spectral", "the norm may exceed 1")
