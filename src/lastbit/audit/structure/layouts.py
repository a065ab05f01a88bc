"""Where the numbers of a node stand in a tensor of a rewritten graph.

A runtime transposes, reshapes, slices and repeats what it computes with as it likes, and computes a
node only where somebody reads it. So a tensor is a node if its axes are the node's in some order;
or else if every number of it is some number of the node, or a 0 that fills up, wherever that stands
in the node. That the right ones meet is found out where they are read: a sum of others has another
value.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.structure.expected import Want
from lastbit.audit.sums import Float64Array

MORE = 1 + 2.0**-10
"""By so much more than a sum's own terms may those of its rewritten form be."""
FIRST = 8
"""So many numbers are looked for before all of them are."""


def in_place(value: Float64Array, size: Float64Array | None, want: Want) -> Float64Array | None:
    """The node's numbers as they stand in a tensor, whose axes are the node's in some order.

    Args:
        value: of the tensor.
        size: the magnitudes of its terms, which may not exceed the node's; None if it is a curve.
        want: the node.
    """
    same = [(0, 1, 2, 3)] if value.size == want.value.size else []
    for order in [*same, *orders_of(value.shape, want.value.shape)]:
        exact, most, slack = (laid_out(v, order, value.shape)
                              for v in (want.value, want.size, want.slack))  # fmt: skip
        if _near(value, size, exact, most, slack):
            return exact
    return None


def anywhere(value: Float64Array, size: Float64Array | None, want: Want) -> Float64Array | None:
    """Likewise, of a tensor that has some of the node's numbers, in any places; 0 fills up.

    Zeros alone tell nothing; no number but 0 is there more often than in the node: the inside of a
    curve, where that is flat, and the places of a plane that is all alike, are easily taken for a
    few numbers of another node.
    """
    flat, wanted = value.ravel(), want.value.ravel()
    for x in flat[:: -(-flat.size // FIRST)]:
        if x and not np.any(np.abs(wanted - x) <= want.slack.ravel()):
            return None
    sizes = None if size is None else size.ravel()
    which = _nearest(flat, wanted)
    exact, most, slack = (v.ravel()[which] for v in (want.value, want.size, want.slack))
    filled = (flat == 0) & (np.abs(exact) > slack)
    exact = np.where(filled, 0.0, exact)
    if not exact.any() or _more_often(exact, wanted):
        return None
    found = not np.all(filled) and _near(flat, sizes, exact, most, slack)
    return exact.reshape(value.shape) if found else None


def _more_often(found: Float64Array, wanted: Float64Array) -> bool:
    """Whether a number but 0 is there more often than it is wanted."""
    numbers, counts = np.unique(found[found != 0], return_counts=True)
    of_node, often = np.unique(wanted, return_counts=True)
    return bool(np.any(counts > often[np.searchsorted(of_node, numbers)]))


def places(value: Float64Array, want: Float64Array) -> NDArray[np.intp] | None:
    """Where in a tensor (N, ...) that is a node each unit of the node stands (units,).

    None if some unit is not there, or cannot be told from another one by these images.
    """
    seen, units = (np.ascontiguousarray(v.reshape(len(v), -1).T) for v in (value, want))
    if seen.shape == units.shape and np.array_equal(seen, units):
        return np.arange(len(units))
    found = {column.tobytes(): k for k, column in enumerate(seen)}
    columns = [column.tobytes() for column in units]
    if len({*columns}) < len(columns) or not all(column in found for column in columns):
        return None
    return np.array([found[column] for column in columns])


def _near(
    value: Float64Array, size: Float64Array | None, exact: Float64Array, most: Float64Array,
    slack: Float64Array,
) -> bool:  # fmt: skip
    with np.errstate(invalid="ignore"):
        near = np.all(np.abs(value - exact) <= slack)
        return bool(near and (size is None or np.all(size <= most * MORE + slack)))


def _nearest(x: Float64Array, wanted: Float64Array) -> NDArray[np.intp]:
    """Which of the wanted numbers is nearest to each one."""
    order = np.argsort(wanted)
    after = np.searchsorted(wanted[order], x)
    below, above = (order[np.clip(k, 0, wanted.size - 1)] for k in (after - 1, after))
    return np.where(np.abs(wanted[below] - x) <= np.abs(wanted[above] - x), below, above)


def orders_of(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Orders of the axes (N, C, H, W) in which a tensor of some shape may hold a node's values."""
    if math.prod(shape) != math.prod(wanted):
        return []
    here, found = tuple(n for n in shape if n != 1), list[tuple[int, ...]]()
    seen = set[tuple[int, ...]]()
    for order in itertools.permutations(range(len(wanted))):
        real = tuple(k for k in order if wanted[k] != 1)
        if real not in seen and _folds(tuple(wanted[k] for k in real), here):
            found.append(order)
        seen.add(real)
    return found


def _folds(fine: tuple[int, ...], coarse: tuple[int, ...]) -> bool:
    """Whether neighbouring axes of ``fine`` make the axes of ``coarse``."""
    at = 0
    for n in coarse:
        product = 1
        while product < n and at < len(fine):
            product *= fine[at]
            at += 1
        if product != n:
            return False
    return at == len(fine)


def laid_out(v: Float64Array, order: tuple[int, ...], shape: tuple[int, ...]) -> Float64Array:
    """Values (N, C, H, W) as a tensor of some shape holds them."""
    return v.transpose(order).reshape(shape)
