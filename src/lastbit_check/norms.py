"""Operator norms of linear nodes, certified: |A x|_2 <= s |x|_2.

Diagonal over channels (depthwise, batch norm, scaling): the largest l1 norm of a kernel (Young's
inequality). 1x1 convolutions and dense layers: a claimed s, verified by c I - A^T A = L L^T + E
with integers and small E (proofs: opn_gram, chol_cert). Others: Schur's test, s^2 = product of
the largest absolute row and column sums.
"""

import math
from fractions import Fraction

import numpy as np

from lastbit_check.exact import LIMIT, Ints, peak, rounded
from lastbit_check.forms import root
from lastbit_check.layers import Layer, heaviest_row
from lastbit_check.network import Node
from lastbit_check.verdict import Rejected, require


def gain(layer: Layer, node: Node, claimed: float | None) -> Fraction:
    """Upper bound of the layer's norm in the Euclidean sense, its true weights included."""
    weight = np.abs(layer.w) + layer.inexact
    unit = Fraction(1) / Fraction(2) ** layer.e
    if node.op == "mean":
        return rounded(root(Fraction(1, layer.source[1] * layer.source[2])))
    rows, columns = heaviest_row(weight), int(np.max(layer.columns(weight)))
    if weight.shape[1] == 1 and layer.groups == weight.shape[0]:
        return rounded(rows * unit)
    schur = root(Fraction(rows * columns)) * unit
    if claimed is None or weight.shape[2:] != (1, 1) or layer.groups != 1:
        return rounded(schur)
    require(math.isfinite(claimed) and claimed >= 0, "norm.claim", "not a number")
    rest = root(Fraction(int(np.sum(layer.inexact)))) * unit
    _verify_gram(layer.w[:, :, 0, 0], Fraction(claimed) / unit)
    return min(rounded(schur), rounded(Fraction(claimed) + rest))


def _verify_gram(a: Ints, s: Fraction) -> None:
    """Rule norm.gram: s^2 I - A^T A (or A A^T, if smaller) is positive semidefinite."""
    m = a if a.shape[0] <= a.shape[1] else a.T
    bound = math.floor(s * s)
    require(bound < 2**80, "norm.gram", "the claimed norm is out of reach")
    margin = max(1, bound >> 22)
    # c I - G = L L^T + E on the grid 2^-2t, with c = bound - margin, every row of |E| <= margin
    c = bound - margin
    target = -_gram(m)
    target[np.diag_indices(len(m))] += c
    try:
        factor = np.linalg.cholesky(target.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise Rejected("norm.gram", "the claimed norm is too small") from error
    require(np.all(np.isfinite(factor)), "norm.gram", "the factor is not finite")
    t = max(0, 33 - math.isqrt(c).bit_length())
    residual = np.abs(target * 4**t - _gram(np.rint(np.ldexp(factor, t))))
    worst = max(int(v) for v in np.sum(residual, axis=1))
    require(worst <= margin * 4**t, "norm.gram", "the claimed norm is too small")


def _gram(m: Ints) -> np.ndarray:
    """m m^T as an array of Python integers, exactly: halves of at most 14 bits each."""
    high = np.rint(np.ldexp(m, -14))
    low = m - np.ldexp(high, 14)
    require(max(peak(high), 2**13) ** 2 * m.shape[1] < LIMIT, "norm.gram", "entries too long")
    exact = [x.astype(object) for x in (high @ high.T, high @ low.T, low @ low.T)]
    return exact[0] * 2**28 + (exact[1] + exact[1].T) * 2**14 + exact[2]
