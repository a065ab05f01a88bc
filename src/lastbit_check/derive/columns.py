"""How the nodes after a base depend on it.

What a base is not known to do is a box. The linear cores carry one unit vector of the base after
the other through the network, on integer grids; |A| radius is summed as they pass, so that the
matrix A of a node is never held whole. Columns are sparse as long as most of their entries are 0.
Re-gridding changes an entry of A by a few units at most: ``slack`` bounds what that is worth, and
goes into the node's own error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.exact import LIMIT, Fix, Ints, Matrix, heaviest_row, peak, total
from lastbit_check.network import Node, Shape
from lastbit_check.operators.kinds import Core
from lastbit_check.verdict import require

CHUNK = 256  # CORE_BITS + RADIUS_BITS + 8 <= 52: the sums of |A| radius are exact
CORE_BITS = 24  # exact in a float32, too
RADIUS_BITS = 19
SUM_BITS = 44  # of the terms of a sum
SPARSE = 1 / 4  # share of entries that are not 0 up to which columns are held as sparse ones


Held = Ints | csr_array


class Spread(NamedTuple):
    """|A| radius and what re-gridding may add, both (C, H, W, K), upper bounds."""

    spread: Fix
    slack: Fix


class Columns(NamedTuple):
    """Integers n (units, K), sparse or not, up to ``peak``, in units of 2^-e.

    Each may be off by ``units``.
    """

    n: Held
    e: int
    units: float
    peak: int


def spreads(
    after: Sequence[Node], base: Node, cores: Mapping[str, list[Core]], radius: Sequence[Fix],
    sums: dict[str, list[Spread]], kept: dict[str, list[csr_array]],
) -> None:  # fmt: skip
    """Add to ``sums``, for every node after ``base``, what each ``radius`` (units, K) makes there.

    The columns A of the nodes in ``kept`` on single units (units, K), in float32, are appended
    there, some after others.
    """
    coarse = [x.fit(RADIUS_BITS) for x in radius]
    last = {core.source: node.name for node in after for core in cores[node.name]}
    live = live_units(radius)
    for start in range(0, live.size, CHUNK):
        here = live[start : start + CHUNK]
        ones = np.ones(here.size), (here, np.arange(here.size))
        units = radius[0].n.shape[0]
        held = {base.name: Columns(csr_array(ones, (units, here.size)), 0, 0.0, 1)}
        some = [Fix(x.n[here], x.e) for x in coarse]
        for node in after:
            sources = [(core, held[core.source]) for core in cores[node.name]
                       if core.source in held]  # fmt: skip
            if sources:
                a = _step(sources)
                held[node.name] = a
                if node.name in kept:
                    kept[node.name].append(_single(a))
                new, old = _gathered(a, node.shape, some), sums.get(node.name)
                sums[node.name] = [Spread(*map(total, *pair)) for pair in zip(old, new, strict=True)
                                   ] if old else new  # fmt: skip
            for core in cores[node.name]:
                if last[core.source] == node.name:
                    held.pop(core.source, None)


def live_units(radius: Sequence[Fix]) -> NDArray[np.intp]:
    """The units of a base that have a column: those that are not known exactly."""
    return np.flatnonzero(np.any(np.concatenate([x.n for x in radius], axis=1), axis=1))


def _step(sources: list[tuple[Core, Columns]]) -> Columns:
    """The columns of a node: the sum of its cores' images, with at most CORE_BITS bits."""
    images = [_image(core.w, core.e, x) for core, x in sources]
    exact = max(x.e + core.e for core, x in sources)
    room = [x.e + SUM_BITS - x.peak.bit_length() for x in images if x.peak]
    e = min([max(x.e for x in images), *room])
    n = _at(images[0], e)
    for image in images[1:]:
        n = cast("Held", n + _at(image, e))
    peak = images[0].peak if len(images) == 1 else _peak(n)
    excess = peak.bit_length() - CORE_BITS
    if excess > 0:
        e, n, peak = e - excess, _rounded(n, -excess), 2**CORE_BITS
    n = _lighter(n)
    return Columns(n, e, 0.0 if e == exact else math.ceil(0.5 + 1.5 * len(images)), peak)


def _image(w: Matrix, e: int, x: Columns) -> Columns:
    """w x for integers w, exact or off by at most one unit (as `exact.apply`)."""
    gain = heaviest_row(w)
    bound = gain * x.peak
    if bound < LIMIT:
        n = _product(w, x.n)
        return Columns(n, x.e + e, 0.0, _peak(n))
    h = bound.bit_length() - 51
    require(gain << (h - 1) < LIMIT, "precision", "a sum of products would exceed 2^53")
    high = _rounded(x.n, -h)
    low = cast("Held", x.n - high * 2.0**h)
    n = cast("Held", _product(w, high) + _rounded(_product(w, low), -h))
    return Columns(n, x.e + e - h, 1.0, _peak(n))


def _product(w: Matrix, x: Held) -> Held:
    return cast("Held", w @ x)


def _at(x: Columns, e: int) -> Held:
    """On another grid, to nearest."""
    return x.n if x.e == e else _rounded(x.n, e - x.e)


def _rounded(n: Held, bits: int) -> Held:
    """n * 2^bits, to nearest."""
    scaled = n * 2.0 ** max(bits, -1000)
    values = scaled.data if isinstance(scaled, csr_array) else scaled
    np.rint(values, out=values)
    return scaled


def _lighter(n: Held) -> Held:
    """Without its zeros if it is sparse, and dense once it has few of them."""
    if not isinstance(n, csr_array):
        return n
    n.eliminate_zeros()
    return n if n.nnz <= SPARSE * n.shape[0] * n.shape[1] else n.toarray()


def _peak(n: Held) -> int:
    """Largest magnitude."""
    return peak(n.data if isinstance(n, csr_array) else n)


def _single(a: Columns) -> csr_array:
    require(abs(a.e) <= 100 or not a.peak, "precision", "columns are not exact in float32")
    return csr_array((a.n * 2.0**-a.e).astype(np.float32))


def _gathered(a: Columns, shape: Shape, radius: Sequence[Fix]) -> list[Spread]:
    """|A| times each radius (K, columns)."""
    sizes = abs(a.n) @ np.concatenate([x.n for x in radius], axis=1)
    ends = np.cumsum([x.n.shape[1] for x in radius])
    found = list[Spread]()
    for x, n in zip(radius, np.split(sizes, ends[:-1], axis=1), strict=True):
        slack = Fix(a.units * np.sum(x.n, axis=0), a.e + x.e)
        found.append(Spread(Fix(n.reshape(*shape, -1), a.e + x.e), slack))
    return found
