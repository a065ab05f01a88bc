"""How far two executions are apart, node by node, on images that differ in one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.around.binary64 import F64, real, upper
from lastbit_check.derive.reach import Reach
from lastbit_check.network import Node, Shape
from lastbit_check.norms.followed import Followed
from lastbit_check.norms.sizes import Size, fitted, of_units, root
from lastbit_check.question import SAME_PROGRAM

MOST_NUMBERS = 2**24  # of the units of a node, cell by cell
CELLS = 64  # of which roundings are added up at a time
KEPT = 1 / 16  # the share of the linear part from which on it is followed


@dataclass(frozen=True)
class Apart:
    """Two executions on images that differ in one cell, whichever.

    ``sizes`` by node, and of the roundings; ``last`` are the logits and what they read.
    """

    sizes: Mapping[str, Size]
    rounded: Mapping[str, Size]
    last: Mapping[str, Moved]


class Moved(NamedTuple):
    """t c + r, |t| <= 1, cell by cell: ``c`` (units, K), if it matters, and the size of r."""

    c: F64 | None
    rest: Size

    def size(self, shape: Shape) -> Size:
        """Of both together."""
        return self.rest if self.c is None else of_units(np.abs(self.c), shape).plus(self.rest)

    def worst(self, shape: Shape) -> Moved:
        """Of any cell."""
        return Moved(None, self.size(shape).worst())


def apart(found: Followed, executions: str, noisy: frozenset[str] | None = None) -> Apart:
    """How far two executions are apart at each node; only roundings of ``noisy`` nodes, if said.

    Cells are followed one by one where a node does not have too many units.
    """
    network, sizes, rounded = found.network, dict[str, Size](), dict[str, Size]()
    held, logits = dict[str, Moved](), network.by_name[network.logits]
    last = {name: node.name for node in network.computed for name in node.inputs}
    cells = found.question.places(network.input.shape)
    for node in network.computed:
        mask = found.masks[node.name] if executions == SAME_PROGRAM else None
        silent = noisy is not None and node.name not in noisy
        noise = found.noise[node.name].times(0.0 if silent else 2.0)
        one = len(noise.units) * cells > MOST_NUMBERS
        rounded[node.name] = _of_any(noise, mask)
        own = rounded[node.name] if one else _by_cell(noise, mask, node)
        moved = _moved(found, node, held, own, one=one) if node.inputs else _input(found, node)
        limit = found.away[node.name].times(2.0)
        if moved.c is None:
            moved = Moved(None, moved.rest.within(limit))
        held[node.name] = moved
        sizes[node.name] = moved.size(node.shape).worst().within(limit)
        for name in node.inputs:
            if last[name] == node.name and name not in logits.inputs:
                held.pop(name, None)
    return Apart(sizes, rounded, held)


def _input(found: Followed, node: Node) -> Moved:
    cells = range(found.question.places(node.shape))
    moves = real(found.question.moves(node.shape, cells).error).reshape(-1, len(cells))
    still = of_units(0 * moves, node.shape)
    alone = found.question.cells(node.shape).shape[1] == 1  # several have signs of their own
    return Moved(moves, still) if alone else Moved(None, of_units(moves, node.shape))


def _moved(
    found: Followed, node: Node, held: Mapping[str, Moved], rounded: Size, *, one: bool
) -> Moved:
    """From what is read; of any cell, if there would be too many numbers."""
    shapes = {name: found.network.by_name[name].shape for name in node.inputs}
    read = [held[name].worst(shapes[name]) if one else held[name] for name in node.inputs]
    step = found.steps[node.name]
    rest = step.carried([moved.rest for moved in read]).plus(rounded)
    if all(moved.c is None for moved in read):
        return Moved(None, rest)
    known = [np.zeros(moved.rest.units.shape) if moved.c is None else moved.c for moved in read]
    c, left = step.linear(known)
    moved = Moved(c, rest.plus(left))
    size = moved.size(node.shape)
    matters = np.max(root(c, 1)) > KEPT * np.max(size.total)
    return moved if matters else Moved(None, size)


def _by_cell(noise: Size, mask: Reach, node: Node) -> Size:
    """Of the units that each cell reaches."""
    if mask is None:
        return noise
    return of_units(noise.units * mask, node.shape).within(noise)


def _of_any(noise: Size, mask: Reach) -> Size:
    """Of the units that one cell reaches, whichever."""
    if mask is None:
        return noise
    squares, most = upper(np.square(noise.units[:, 0])), 0.0
    for start in range(0, mask.shape[1], CELLS):
        here: NDArray[np.bool_] = mask[:, start : start + CELLS]
        most = max(most, float(np.max(upper(squares @ here))))
    total = np.minimum(noise.total, upper(np.sqrt(np.array([most]))))
    any_cell = np.any(mask, axis=1, keepdims=True)
    return fitted(total, noise.channels, noise.units * any_cell)
