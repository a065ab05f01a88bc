"""The rounding of many sums taken together: no image makes all of their magnitudes largest.

A sum's bound of its roundings (operators/layers.py) is linear in the magnitudes of what it reads,
x_i, and of its exact value: with n nonzero terms of magnitudes m, in all M, and F the magnitude of
the whole, the n - 1 sums of any tree are F and n - 2 others of at most (M + F) / 2. That of a gate
is linear in the magnitude of what it multiplies. So what the roundings of some nodes do to a
difference of two logits is at most

    sum_i g_i |f_i| + the same of what their forms are in error by,    f_i = c_i + A_i (y - y_c),

with weights g_i >= 0 of the forms f_i of what these nodes read and return, over the box |y - y_c|
<= r of the base. With B = (A r, c) and any numbers p_i, q_j > 0 it is, by Cauchy and Schwarz,

    sum_i g_i |f_i| <= |g / p|_2 |diag(p) B diag(q)|_2 |1 / q|_2,

which for the best p and q is within a factor of 1.8 of the largest value (Grothendieck). That the
spectral norm is at most 1 is shown in integers: c 1 - X X^T = L L^T + E, E diagonally dominant.

Map: together <- norm_cholesky; argued in PROOF.md 3.8
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dlauum, dpotrf

from lastbit_check.arithmetic.binary32 import half_roundings
from lastbit_check.arithmetic.exact import Fix, Ints, apply, matmul_up, times, total
from lastbit_check.certificate import Together
from lastbit_check.derive.columns import RADIUS_BITS, Held, dense, live_units
from lastbit_check.derive.derivation import Cap, Derivation
from lastbit_check.derive.ledger import difference
from lastbit_check.operators.forms import Value, operands
from lastbit_check.operators.layers import Layer
from lastbit_check.operators.products import gate_roundings
from lastbit_check.operators.sums import sum_underflow
from lastbit_check.verdict import require

MOST_ROWS = 2**12
BITS = 25  # of an entry of X: products of two rows are exact below 2^53
CLOSE = 1 + 2.0**-30  # more than float64 arithmetic on positive numbers can be off by here
TINY = 2.0**-1000  # more than squares that underflow are worth


class Affine(NamedTuple):
    """What a node's units are of the base: A (units, N), in parts, and c, within ``error``."""

    a: list[Held]
    c: Ints
    error: Fix


Forms = tuple[Ints, Ints, Fraction]  # as `gathered` returns them
Terms = tuple[list[tuple[Fix, Affine]], Fraction]  # forms by their weights (units, 1), the rest


class Trunk(NamedTuple):
    """How nodes depend on the first base: its half widths, and by name A and |A| radius."""

    widths: Ints
    rows: Mapping[str, list[Held]]
    own: Mapping[str, Fix]


def trunk_of(derivation: Derivation) -> Trunk:
    """From the columns of the first base that a derivation has kept."""
    found = derivation.columns
    require(derivation.radius, "together.base", "there is none")
    held = all(found.get(name) for name in found)
    require(held, "together.base", "a node does not depend on it")
    ranges = derivation.radius[0].fit(RADIUS_BITS)
    widths = np.ldexp(ranges.n[live_units(derivation.radius), 0], -ranges.e)
    return Trunk(widths, found, derivation.own)


def taken_together(derivation: Derivation) -> Derivation:
    """The same, with the roundings that the hints name bounded together."""
    hints = derivation.frame.hints.together
    if not hints:
        return derivation
    trunk, caps = trunk_of(derivation), list[Cap]()
    for hint in hints.values():
        terms = terms_of(derivation, trunk, hint)
        most = bound(gathered(terms, trunk.widths), hint)
        pair = derivation.ledger.pairs[derivation.ledger.row(hint.pair)]
        caps.append(Cap((*hint.executions,), pair, frozenset(hint.nodes), most))
    return replace(derivation, caps=(*caps,))


def terms_of(derivation: Derivation, trunk: Trunk, hint: Together) -> list[Terms]:
    """The terms of a hint's nodes, in the order of the network."""
    derivation.ledger.row(hint.pair)
    nodes = [node.name for node in derivation.frame.network.computed if node.name in hint.nodes]
    return [terms(derivation, trunk, name, hint.pair) for name in nodes]


def terms(derivation: Derivation, trunk: Trunk, name: str, pair: Iterable[int]) -> Terms:
    """What bounds a node's roundings in two runs, for the dual vectors of a pair of classes."""
    frame, values = derivation.frame, derivation.values
    node, layer = frame.network.by_name[name], frame.settings[name].layer
    a = difference(frame.duals[name], (*pair,))
    beta, read = Fix(2 * np.abs(a.n), a.e), operands(node, values)
    sources = [_affine(trunk, x, values[x]) for x in node.weighing]
    if layer:
        gains, given, rest = _gains(layer, beta, read)
        return [
            *zip(gains, sources, strict=True),
            (given, _affine(trunk, name, values[name])),
        ], rest
    weight, lost = gate_roundings(node, read[0].largest, read[1])
    most = Fix(np.broadcast_to(weight.n, (*node.shape, 1)).reshape(-1, 1), weight.e)
    rest = matmul_up(beta.reshape(1, -1), Fix(0 * beta.n + lost.n, lost.e)).largest()
    return [(times(beta, most), sources[0])], rest


def _affine(trunk: Trunk, name: str, value: Value) -> Affine:
    c = value.c
    require(abs(c.e) <= 200 or not c.n.any(), "precision", "a centre underflows")
    error = total(value.bound.radius, -trunk.own[name])
    return Affine(trunk.rows[name], np.ldexp(c.n, -c.e).ravel(), error.reshape(-1, 1))


def gathered(terms: list[Terms], radius: Ints) -> Forms:
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
            rows = np.empty((used.size, radius.size + 1))
            np.multiply(np.hstack([dense(part[used]) for part in form.a]), radius, rows[:, :-1])
            rows[:, -1] = form.c[used]
            largest = np.maximum(np.max(rows, axis=1), -np.min(rows, axis=1))
            _, exponents = np.frexp(largest)
            rows *= np.ldexp(1.0, -exponents)[:, None]
            weights = np.ldexp(flat.n[0, used], exponents - gain.e)
            for k in np.flatnonzero(largest):
                row = rows[k].tobytes()
                gains[row] = gains.get(row, 0.0) + float(weights[k])
    require(gains, "together.shape", "no forms")
    return np.stack([*map(np.frombuffer, gains)]), np.array([*gains.values()]), rest


def bound(of: Forms, hint: Together) -> Fraction:
    """Upper bound, over all images, of the sum of the nodes' roundings times their weights.

    The forms are overwritten.
    """
    forms, gains, rest = of
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


def _gains(layer: Layer, beta: Fix, values: list[Value]) -> tuple[list[Fix], Fix, Fraction]:
    """Weights of what a sum reads and of what it returns, and what neither makes.

    In half units: a rounding of a term counts twice, and so does the whole.
    """
    each = [np.diff(part.w.indptr)[:, None] for part in layer.parts]
    constants = layer.by_unit(layer.constants.n)
    count = (sum(each) + np.count_nonzero(constants, axis=1)[:, None]).astype(np.float64)
    inner = np.maximum(count - 2, 0)
    read = list[Fix]()
    for part, products in zip(layer.parts, each, strict=True):
        roundings = np.repeat(inner, products[:, 0]) + 2.0 * part.roundings
        heavy = part.matrix(part.heavy.data * roundings)
        gain = apply(heavy.T, beta, up=False)
        touched = heavy.T @ np.ones_like(beta.n) > 0
        read.append(half_roundings(Fix(gain.n + touched, gain.e + part.e)))
    given = half_roundings(Fix(beta.n * (inner + 2.0 * (count > 1)), beta.e))
    own = layer.by_unit(layer.constant_roundings)
    alone = np.sum(constants * (inner + 2.0 * own), axis=1, keepdims=True)
    reaches, top = [x.magnitude for x in values], max(x.largest for x in values)
    mass = total(layer.spread(reaches), layer.bias_size).fit(30).reshape(-1, 1)
    later = Fix(mass.n * (2.0 * layer.steps**2), mass.e + 23)
    rounded = half_roundings(total(Fix(alone, layer.constants.e), later))
    lost = total(rounded, sum_underflow(layer, top))
    return read, given, matmul_up(beta.reshape(1, -1), lost).largest()


def contracts(x: Ints) -> None:
    """Rule norm.spectral: |X|_2 <= 1 for every X within one unit of the integers x 2^-BITS.

    Of every symmetric matrix here only the upper half is held. The factor is taken from the last
    row up, so that it is an upper triangle, of whose product with itself LAPACK computes half.
    By Cauchy and Schwarz no sum of products of two rows exceeds the larger sum of squares, in any
    order; a sum of squares that does not fit is not returned as one that does.
    """
    rows, columns = x.shape
    unit = 2**BITS
    limit = float((unit - math.isqrt(rows * columns) - 1) ** 2)
    left: Ints = dsyrk(-1.0, x.T, trans=True)
    own = np.einsum("ii->i", left)  # the diagonal itself, not a copy
    require(bool(np.min(own) > -limit), "norm.spectral", "a row is too long")
    own += limit
    least: Ints = np.array(left[::-1, ::-1], order="F")
    np.einsum("ii->i", least)[:] -= 2.0 * unit * rows
    least, failed = dpotrf(least, lower=True, clean=True, overwrite_a=True)
    factor = np.rint(least[::-1, ::-1]) if not failed else np.zeros_like(least)
    product: Ints = dlauum(factor, lower=False, overwrite_c=True)[0]
    short = bool(np.max(np.einsum("ii->i", product)) < 2.0**52)
    require(short, "norm.spectral", "a factor is too large")
    left -= product
    kept = own.copy()
    own[:] = 0.0
    np.abs(left, out=left)
    others: Ints = np.sum(left, axis=0) + np.sum(left, axis=1)
    require(bool(np.all(kept >= others * CLOSE)), "norm.spectral", "the norm may exceed 1")
