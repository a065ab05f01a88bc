"""The first layers of a large image: what moves in one of its rows reaches a few rows of each.

That holds where they are kernels on images as they stand, and curves. Of all other units one run
reads what the other one reads: they only round, each run for itself, or alike in one program.

Map: rows; argued in docs/bound.md 4
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.derive.changes import EXACT, both, first_changes, largest
from lastbit_check.derive.duals import Dual
from lastbit_check.derive.frame import Frame
from lastbit_check.derive.ledger import Entry
from lastbit_check.network import Network, Node, Units, View
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import curve_of
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.operators.kernels import pieces
from lastbit_check.question import ANY_TWO, EXECUTIONS, of_one_image

Rows = Mapping[str, slice]  # by node


def stays_in_rows(frame: Frame) -> bool:
    """Whether the first layers are such ones, and one place moves at a time, which may be any."""
    move = frame.question.move
    if move.mask or move.channels != "one":
        return False
    return not frame.given and all(_keeps_rows(frame, node) for node in frame.early[1:])


def row_by_row(
    frame: Frame, values: Mapping[str, Value]
) -> Iterator[tuple[dict[Entry, Fix], dict[str, dict[str, Bound]]]]:
    """What `first_changes` has, for some places after others; the largest moves of each unit."""
    (channels, high, wide), without = frame.network.input.shape, dict.fromkeys(values)
    one_image = replace(frame, question=of_one_image(frame.question))
    alone, still = first_changes(one_image, values, without, range(1))
    units = max(math.prod(node.shape[::2]) for node in frame.early)
    for channel in range(channels):
        for row in range(high):
            rows = _reached(frame, row)
            some, read = _cut(frame, rows), _rows_of_values(frame, values, rows)
            seen = rows[frame.early[0].name]
            first = (channel * (seen.stop - seen.start) + row - seen.start) * wide
            for here in pieces(wide, units):
                places = range(first + here.start, first + here.stop)
                effects, moves = first_changes(some, read, without, places)
                for entry, x in alone.items():
                    if entry.aspect == EXACT:
                        effects[entry] = x
                    elif entry.aspect == ANY_TWO:
                        effects[entry] = total(x, effects[entry])
                yield effects, {
                    name: {x: _among(largest(moves[name][x]), here, still[name][x], name == ANY_TWO)
                           for x, here in rows.items()}
                    for name in EXECUTIONS
                }  # fmt: skip


def _keeps_rows(frame: Frame, node: Node) -> bool:
    setting, nodes = frame.settings[node.name], frame.network.by_name
    if setting.layer:
        places = [(part.places, nodes[part.source].shape) for part in setting.layer.parts]
        return all(p.picked is None and p.seen == shape for p, shape in places)
    return curve_of(KINDS[node.op], node) is not None and not any(node.views)


def _reached(frame: Frame, row: int) -> dict[str, slice]:
    """The rows of each of the first layers that a row of the input reaches, and all they read."""
    found = {frame.early[0].name: slice(row, row + 1)}
    for node in frame.early[1:]:
        made = np.zeros(node.shape[1], np.bool_)
        for source, read in _rows_read(frame, node):
            here = found[source]
            made |= np.any((read >= here.start) & (read < here.stop), axis=0)
        found[node.name] = _hull(np.flatnonzero(made))
    for node in reversed(frame.early[1:]):
        for source, read in _rows_read(frame, node):
            rows, known = read[:, found[node.name]], found[source]
            found[source] = _hull(np.array([*rows[rows >= 0], known.start, known.stop - 1]))
    return found


def _rows_read(frame: Frame, node: Node) -> list[tuple[str, Units]]:
    """Of each input, the rows (kh, H) that a row reads; -1 where there is none."""
    layer = frame.settings[node.name].layer
    if layer is None:
        return [(node.inputs[0], np.arange(node.shape[1])[None])]
    return [(part.source, part.places.rows) for part in layer.parts]


def _hull(rows: Units) -> slice:
    return slice(int(np.min(rows)), int(np.max(rows)) + 1) if rows.size else slice(0, 1)


def _cut(frame: Frame, rows: Rows) -> Frame:
    """The first layers with nothing but some rows of each."""
    nodes, settings, duals = list[Node](), dict(frame.settings), dict[str, Dual]()
    for node in frame.early:
        view, dual = _rows_of(node, rows[node.name]), frame.duals[node.name]
        nodes.append(replace(node, shape=view.shape))
        duals[node.name] = Dual(dual.a[view.order], dual.off)
        if node.op != "input":
            setting = settings[node.name]
            layer = setting.layer
            if layer:
                parts = [replace(part, places=part.places.cut(rows[node.name], rows[part.source]))
                         for part in layer.parts]  # fmt: skip
                layer = replace(layer, parts=(*parts,), shape=view.shape)
            settings[node.name] = replace(setting, node=nodes[-1], layer=layer)
    network = Network((*nodes, frame.network.nodes[-1]))
    return replace(frame, network=network, settings=settings, duals=duals)


def _rows_of_values(frame: Frame, values: Mapping[str, Value], rows: Rows) -> dict[str, Value]:
    return {n.name: values[n.name].seen(_rows_of(n, rows[n.name])) for n in frame.early}


def _rows_of(node: Node, here: slice) -> View:
    order = np.arange(math.prod(node.shape)).reshape(node.shape)[:, here]
    return View((order.shape[0], order.shape[1], order.shape[2]), order.ravel())


def _among(bound: Bound, here: slice, still: Bound, rounds: bool) -> Bound:
    """Of some rows, and of all others what there is without a move."""
    every = list[Fix]()
    for x, other in ((bound.error, still.error), (bound.spread, still.spread)):
        n = np.zeros_like(other.n)
        n[:, here] = x.n
        every.append(Fix(n, x.e))
    return both(Bound(*every), still) if rounds else Bound(*every)
