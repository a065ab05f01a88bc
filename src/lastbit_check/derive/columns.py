"""How the nodes after a base depend on it.

What a base is not known to do is a box. The linear cores carry one unit vector of the base after
the other through the network, on integer grids; |A| radius is summed as they pass, so that the
matrix A of a node is never held whole. Columns are sparse as long as most of their entries are 0.
Re-gridding changes an entry of A by a few units at most: ``slack`` bounds what that is worth, and
goes into the node's own error.

Map: columns <- forms
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.arithmetic.exact import LIMIT, Fix, Ints, heaviest_row, peak, shift, total
from lastbit_check.network import Node, Shape
from lastbit_check.operators.kinds import Core
from lastbit_check.verdict import require

CHUNK = 256  # CORE_BITS + RADIUS_BITS + 8 <= 52: the sums of |A| radius are exact
CORE_BITS = 24  # exact in a float32, too
RADIUS_BITS = 19
SUM_BITS = 44  # of the terms of a sum
SPARE_BITS = 8  # by which sums over chunks are coarser than the first of them
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


class Step(NamedTuple):
    """How a node's columns come from those of others.

    Of each source the matrix (live units, live units of the source) in units of 2^-e, and its
    largest sum of magnitudes in a row. Units that are not ``live`` do not depend on the base.
    """

    sources: list[tuple[str, csr_array, int, int]]
    live: NDArray[np.intp]


def spreads(
    after: Sequence[Node], base: Node, cores: Mapping[str, list[Core]], radius: Sequence[Fix],
    sums: dict[str, list[Spread]], kept: dict[str, list[Held]],
) -> None:  # fmt: skip
    """Add to ``sums``, for every node after ``base``, what each ``radius`` (units, K) makes there.

    The columns A of the nodes in ``kept`` on single units (units, K), in float32, are appended
    there, some after others.
    """
    steps, found = _steps(after, base, cores), dict[str, _Gathered]()
    size = {node.name: math.prod(node.shape) for node in after}
    last = {source: name for name, step in steps.items() for source, *_ in step.sources}
    coarse, live, units = [x.fit(RADIUS_BITS) for x in radius], live_units(radius), len(radius[0].n)
    for start in range(0, live.size, CHUNK):
        here = live[start : start + CHUNK]
        ones = np.ones(here.size), (here, np.arange(here.size))
        held = {base.name: Columns(csr_array(ones, (units, here.size)), 0, 0.0, 1)}
        some = np.concatenate([x.n[here] for x in coarse], axis=1)
        for name, step in steps.items():
            a = _next([(w, e, gain, held[source]) for source, w, e, gain in step.sources])
            held[name] = a
            if name in kept:
                kept[name].append(_single(a, step.live, size[name]))
            found[name] = _gathered(a, some, found.get(name))
            for source, *_ in step.sources:
                if last[source] == name:
                    held.pop(source, None)
    for node in after:
        if node.name in found:
            new = _spread(found[node.name], steps[node.name].live, node.shape, coarse)
            old = sums.get(node.name)
            sums[node.name] = (
                [Spread(*map(total, *pair)) for pair in zip(old, new, strict=True)] if old else new
            )


def live_units(radius: Sequence[Fix]) -> NDArray[np.intp]:
    """The units of a base that have a column: those that are not known exactly."""
    return np.flatnonzero(np.any(np.concatenate([x.n for x in radius], axis=1), axis=1))


def _steps(after: Sequence[Node], base: Node, cores: Mapping[str, list[Core]]) -> dict[str, Step]:
    """The nodes that depend on a base, in order."""
    live, found = {base.name: np.arange(math.prod(base.shape))}, dict[str, Step]()
    for node in after:
        read = [(core, core.written[:, live[core.source]]) for core in cores[node.name]
                if core.source in live]  # fmt: skip
        touched = np.zeros(math.prod(node.shape), np.bool_)
        for _, w in read:
            touched |= np.diff(w.indptr) > 0
        if touched.any():
            rows = live[node.name] = np.flatnonzero(touched)
            some = [(core, csr_array(w[rows])) for core, w in read]
            sources = [(core.source, w, core.e, heaviest_row(w)) for core, w in some]
            found[node.name] = Step(sources, rows)
    return found


def _next(sources: list[tuple[csr_array, int, int, Columns]]) -> Columns:
    """The columns of a node: the sum of its cores' images, with at most CORE_BITS bits."""
    images = [_image(w, e, gain, x) for w, e, gain, x in sources]
    exact = max(x.e + e for _, e, _, x in sources)
    room = [x.e + SUM_BITS - x.peak.bit_length() for x in images if x.peak]
    room += [x.e for x in images if x.units]  # on a finer grid a unit of its own would be many
    e = min([max(x.e for x in images), *room])
    n = _at(images[0], e)
    for image in images[1:]:
        n = cast("Held", n + _at(image, e))
    most = images[0].peak if len(images) == 1 and e == images[0].e else _peak(n)
    excess = most.bit_length() - CORE_BITS
    if excess > 0:
        e, n, most = e - excess, _rounded(n, -excess), 2**CORE_BITS
    n = _lighter(n)
    return Columns(n, e, 0.0 if e == exact else math.ceil(0.5 + 1.5 * len(images)), most)


def _image(w: csr_array, e: int, gain: int, x: Columns) -> Columns:
    """w x for integers w, exact or off by at most one unit (as `exact.apply`)."""
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


def _product(w: csr_array, x: Held) -> Held:
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


def dense(n: Held) -> Ints:
    """With its zeros."""
    return n.toarray() if isinstance(n, csr_array) else n


def _single(a: Columns, live: NDArray[np.intp], units: int) -> Held:
    """The columns of all units in binary32, without negative zeros."""
    require(abs(a.e) <= 100 or not a.peak, "precision", "columns are not exact in float32")
    if not isinstance(a.n, csr_array):
        every = np.zeros((units, a.n.shape[1]), np.float32)
        every[live] = a.n * 2.0**-a.e + 0.0
        return cast("Held", every)
    values = (a.n * 2.0**-a.e).astype(np.float32)
    lengths = np.zeros(units + 1, values.indptr.dtype)
    lengths[live + 1] = np.diff(values.indptr)
    return csr_array((values.data, values.indices, np.cumsum(lengths)), (units, values.shape[1]))


class _Gathered(NamedTuple):
    """|A| times radii (live units, K), and what re-gridding may add (K,), on a grid of A.

    All numbers are at most ``peak``.
    """

    sizes: Ints
    slack: Ints
    e: int
    peak: int


def _gathered(a: Columns, radii: Ints, before: _Gathered | None) -> _Gathered:
    """What one chunk of columns adds to those before."""
    sizes = cast("Ints", abs(a.n) @ radii)
    slack = a.units * np.sum(radii, axis=0)
    if before is None:
        before = _Gathered(0 * sizes, 0 * slack, a.e - SPARE_BITS, 0)
    coarser = before.e - (a.e - SPARE_BITS)
    if coarser > SPARE_BITS:  # these are much larger, or those before are all 0
        held, off = (shift(v, coarser, up=True) for v in (before.sizes, before.slack))
        before = _Gathered(held, off, before.e - coarser, -(-before.peak >> coarser))
    sizes, slack = (shift(v, a.e - before.e, up=True) for v in (sizes, slack))
    most = before.peak + max(peak(sizes), peak(slack))
    require(most < LIMIT, "precision", "the sum of columns")
    return _Gathered(before.sizes + sizes, before.slack + slack, before.e, most)


def _spread(
    found: _Gathered, live: NDArray[np.intp], shape: Shape, radius: Sequence[Fix]
) -> list[Spread]:
    """What each radius makes of all units."""
    every, ends = np.zeros((math.prod(shape), found.sizes.shape[1])), [0]
    every[live] = found.sizes
    spread = list[Spread]()
    for x in radius:
        ends.append(ends[-1] + x.n.shape[1])
        here = slice(*ends[-2:])
        slack = Fix(found.slack[here], found.e + x.e)
        sizes = Fix(every[:, here].reshape(*shape, -1), found.e + x.e)
        spread.append(Spread(sizes, slack))
    return spread
