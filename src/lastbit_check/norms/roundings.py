"""The Euclidean norm of what an execution rounds at a node: no image makes every unit largest.

Of a sum, in u / 2, a unit's rounding is at most

    c M + f F + underflow,    c = n - 2 + 2 k + h^2 u (2 + 2^-7),    f = n - 2 + 2 (or 0, if n = 1)

with n terms of magnitudes M in all, F that of the whole, k roundings of a term's own, and h of a
term in all (refine/together.py, operators/layers.py). With a reference v, deviations D and weights
W, M <= |W| |v| + |b| + |W| |D|, so that its norm is at most that of what the reference has, and
| |W| |_2 times |D|_2. Of a curve whose error is a multiple of |z|, and of a product, likewise.
"""

from __future__ import annotations

import math

import numpy as np

from lastbit_check.arithmetic.binary32 import UNIT, underflow
from lastbit_check.around.binary64 import F64, real, upper
from lastbit_check.around.linear import Sums
from lastbit_check.network import Node
from lastbit_check.norms.gains import gain_of
from lastbit_check.norms.sizes import Size, fitted, root
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.forms import Value
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.products import gate_roundings
from lastbit_check.operators.sums import layer_in, sum_underflow

U = float(UNIT)


def of_sum(
    setting: Setting, sums: Sums, sources: list[Value], references: list[F64], away: list[Size],
    whole: tuple[F64, Size],
) -> Size:  # fmt: skip
    """Of a sum; ``whole`` is its exact value at the reference, and how far another one may be."""
    node, layer = setting.node, layer_in(setting)
    assert node.sum is not None
    channels, each = node.shape[0], len(whole[0]) // node.shape[0]
    rows = [np.count_nonzero(part.there, axis=(1, 2, 3)) for part in layer.parts]
    terms = np.sum(rows, axis=0) + len(node.sum.constants)
    inner = np.maximum(terms - 2.0, 0.0)
    own = [np.max(part.rounds, axis=(1, 2, 3), initial=0) for part in layer.parts]
    own += [np.full(channels, np.max(layer.constant_roundings, initial=0))]
    c = inner + 2 * np.max(own, axis=0) + layer.steps**2 * U * (2 + 2.0**-6)
    f = inner + 2.0 * (terms > 1)
    sizes = {part.source: np.abs(x) for part, x in zip(sums.parts, references, strict=True)}
    constants = np.broadcast_to(real(layer.bias_size), (*node.shape, 1)).ravel()
    mass = upper(c.repeat(each) * upper(sums.spread(sizes) + constants))[:, None]
    of_whole = upper(f.repeat(each) * np.abs(whole[0]))[:, None]
    of_away = upper(f[:, None] * whole[1].channels)
    total = np.minimum(np.max(f) * whole[1].total, root(of_away, 1)[0])
    total = total + root(mass, 1)[0] + root(of_whole, 1)[0]
    found = root(mass, channels) + root(of_whole, channels) + of_away
    for k, (part, weights) in enumerate(zip(node.sum.parts, layer.parts, strict=True)):
        known, read = sums.parts[k], away[k].seen(part.view)
        weight = c[:, None, None, None] * np.abs(known.kernel)
        gain = gain_of(weight, weights.places, part.strides, known.off)
        total = total + gain.total * read.total
        group = read.groups(part.groups).repeat(channels // part.groups, axis=0)
        found = found + gain.channels[:, None] * group
    lost = real(sum_underflow(layer, max(x.largest for x in sources)))
    return _rounded(U / 2 * total, U / 2 * found, len(mass), lost)


def of_curve(curve: CurveKind, node: Node, reference: F64, away: Size) -> Size | None:
    """Of a curve, if its error is a multiple of |z|."""
    if not curve.grows or curve.also or curve.relative or curve.folds or any(node.views):
        return None
    rate, channels = float(curve.error) * U, node.shape[0]
    at = reference[:, None]
    total = rate * (root(at, 1)[0] + away.total)
    found = rate * (root(at, channels) + away.channels)
    return _rounded(total, found, len(reference), real(underflow(curve.gain)))


def of_product(node: Node, sources: list[Value], reference: F64, away: Size) -> Size:
    """Of x s, by the norm of x as it is read."""
    weight, lost = gate_roundings(node, sources[0].largest, sources[1])
    channels = node.shape[0]
    every = np.broadcast_to(real(weight), (*node.shape, 1)).reshape(channels, -1)
    each, at = np.max(every, axis=1, keepdims=True), reference[:, None]
    total = np.max(each) * (root(at, 1)[0] + away.total)
    found = each * (root(at, channels) + away.channels)
    return _rounded(total, found, len(reference), real(lost))


def _rounded(total: F64, channels: F64, units: int, lost: F64) -> Size:
    """With what underflow adds to each unit."""
    more = lost * math.sqrt(units)
    each = upper(upper(channels) + more)
    return fitted(upper(upper(total) + more), each, np.full((units, 1), np.inf))
