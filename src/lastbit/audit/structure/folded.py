"""Whether weights were folded as the rewriting `scale` allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.structure.expected import Expected
from lastbit.audit.sums import Float64Array
from lastbit_check.arithmetic.binary32 import ETA, UNIT
from lastbit_check.network import Factor, Part, product

_U, _ETA = float(UNIT), float(ETA)


def wrongly_folded(expected: Expected, name: str, weights: Sequence[Float64Array]) -> Iterator[str]:
    """In words, which weights of a sum are not a part's, times some of its factors.

    A folded weight may be off by u for each time that its factors may round, and by what is lost
    below 2^-126.

    Args:
        expected: the nodes.
        name: of the sum.
        weights: of the convolutions that made it, (O, I / groups, kh, kw), perhaps padded by zeros.
    """
    node = expected.network.by_name.get(name)
    if node is None or node.sum is None:
        return
    parts = [part for part in node.sum.parts if not part.copies]
    for w in weights:
        fitting = [part for part in parts if _fits(w, part)]
        if not fitting:
            continue  # of a shape of its own: the sum's value has shown what it does
        if not any(_follows(w, part, some) for part in fitting for some in _choices(part)):
            yield f"folded weights of {name} that no association of its factors gives"


def _fits(w: Float64Array, part: Part) -> bool:
    same = w.shape[2:] == part.weight.shape[2:]
    return same and w.shape[0] >= part.weight.shape[0] and w.shape[1] >= part.weight.shape[1]


def _choices(part: Part) -> Iterator[tuple[tuple[Factor, ...], tuple[Factor, ...]]]:
    """Some of a part's own factors, and some of what it reads."""
    for own in _some(part.factors):
        for moved in _some(_moved(part)):
            yield own, moved


def _moved(part: Part) -> tuple[Factor, ...]:
    """The factors of what is read, a channel that is seen; by a view, those that are one number."""
    if part.view is None:
        return part.moved
    seen = part.weight.shape[1] * part.groups
    return tuple(
        f._replace(value=np.repeat(f.value[:1], seen), roundings=np.repeat(f.roundings[:1], seen))
        for f in part.moved
        if np.all(f.value == f.value[0])
    )


def _some(factors: Sequence[Factor]) -> Iterator[tuple[Factor, ...]]:
    for count in range(len(factors), -1, -1):
        yield from itertools.combinations(factors, count)


def _counted(factors: Sequence[Factor]) -> NDArray[np.int64]:
    """How often all of them may round (C,)."""
    return np.sum([f.roundings for f in factors], axis=0)


def _follows(
    w: Float64Array, part: Part, chosen: tuple[tuple[Factor, ...], tuple[Factor, ...]]
) -> bool:
    """Whether the weights are the part's times these factors, within their roundings."""
    own, moved = chosen
    outs, ins = part.weight.shape[:2]
    exact, rounds = part.weight.astype(np.float64), np.zeros((outs, 1))
    if own:
        exact = exact * product(own, outs).astype(np.float64)[:, None, None, None]
        rounds = rounds + _counted(own)[:, None]
    if moved:
        read = (np.arange(outs) * part.groups // outs * ins)[:, None] + np.arange(ins)
        scale = product(moved, ins * part.groups).astype(np.float64)
        exact = exact * scale[read][..., None, None]
        rounds = rounds + _counted(moved)[read]
    room = np.abs(exact) * (rounds[..., None, None] * _U * (1 + 2.0**-10) + 2.0**-46)
    room = room + np.where(rounds[..., None, None] > 0, _ETA, 0.0)
    inside = np.abs(w[:outs, :ins] - exact) <= room
    return bool(np.all(inside)) and not w[outs:].any() and not w[:, ins:].any()
