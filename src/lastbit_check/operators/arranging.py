"""What takes numbers from one place to another: Concat, Slice, Split, Gather, Pad, Expand, Tile.

Each makes a node of its own, of copies: a copy does not round. Of each unit it says which unit of
what it reads stands there.

Map: normal-form
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from lastbit_check.files.operators import (
    AXIS,
    BYTES_TOO,
    INTEGER,
    LISTED,
    MOST_OPERANDS,
    F,
    Form,
    finite,
    many,
    text,
)
from lastbit_check.network import Constant, Sum, Units, View
from lastbit_check.onnxfile import BATCH, Operator
from lastbit_check.operators.constants import cut, cuts, joined, taken
from lastbit_check.operators.reading import Reader, Rule, copied, not_too_many, summed
from lastbit_check.operators.renaming import sizes_in
from lastbit_check.operators.seen import Seen, of_node, shape_of
from lastbit_check.verdict import require

NOTHING = -1  # in the place of a unit


def concat(reader: Reader, o: Operator, *given: Seen) -> Seen:
    """One tensor after the other along an axis."""
    require(len(given) == len(o.inputs), "model.operator", "with a constant")
    xs = [reader.seen(name) for name in o.inputs]
    axis = _axis(o.attribute("axis", 1), xs[0])
    others = {x.sizes[:axis] + x.sizes[axis + 1 :] for x in xs}
    require(len(others) == 1, "model.shape", f"of shapes {[x.sizes for x in xs]}")
    ends = [0, *itertools.accumulate(x.sizes[axis] for x in xs)]
    sizes = (*xs[0].sizes[:axis], ends[-1], *xs[0].sizes[axis + 1 :])
    placed = list[tuple[Seen, Units]]()
    for x, (start, end) in zip(xs, itertools.pairwise(ends), strict=True):
        units = np.full(sizes, NOTHING)
        units[(*[slice(None)] * axis, slice(start, end))] = x.units
        placed.append((x, units))
    return copies(o, *placed)


def slices(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Some of the numbers along some axes."""
    units = x.units
    for axis, part in cuts(reader, o, x.rank):
        require(axis > 0, "model.operator", "along the axis of the images")
        units = units[(*[slice(None)] * (axis - 1), part)]
    return copies(o, (x, units))


def split(reader: Reader, o: Operator, x: Seen) -> Seen:
    """One of the pieces along an axis."""
    axis = _axis(o.attribute("axis", 0), x)
    size, count = x.sizes[axis], o.outputs
    given = reader.whole(o.inputs[1]) if len(o.inputs) > 1 else o.attribute("split", [])
    piece = -(-size // count)
    parts = given or [piece] * (count - 1) + [size - piece * (count - 1)]
    right = len(parts) == count and sum(parts) == size and min(parts) > 0
    right = right and o.attribute("num_outputs", count) == count
    require(right, "model.shape", f"of {size} numbers as {parts}")
    start = sum(parts[: o.output])
    index = slice(start, start + parts[o.output])
    return copies(o, (x, x.units[(*[slice(None)] * axis, index)]))


def gather(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Numbers along an axis by their places in it."""
    axis = _axis(o.attribute("axis", 0), x)
    places, size = reader.tensor(o.inputs[1]).astype(np.int64), x.sizes[axis]
    inside = bool(np.all((places >= -size) & (places < size)))
    require(inside, "model.operands", f"places outside 0..{size - 1}")
    return copies(o, (x, np.take(x.units, places % size, axis=axis)))


def pad(reader: Reader, o: Operator, x: Seen) -> Seen:
    """With more numbers around: 0, a constant, or some of its own."""
    pads = reader.whole(o.inputs[1]) if len(o.inputs) > 1 else o.attribute("pads", [])
    over = reader.whole(o.operand(3)) if o.operand(3) else [*range(x.rank)]
    fill = float(reader.floats(o.operand(2)).item()) if o.operand(2) else 0.0
    fill = o.attribute("value", fill)
    fits = len(pads) == 2 * len(over) and len({axis % x.rank for axis in over}) == len(over)
    require(fits and min(pads, default=0) >= 0, "model.operator", f"by {pads}")
    widths = [(0, 0)] * x.rank
    for k, axis in enumerate(over):
        widths[axis % x.rank] = pads[k], pads[k + len(over)]
    require(widths[0] == (0, 0), "model.operator", "which adds images")
    not_too_many(n + sum(w) for n, w in zip(x.sizes, widths[1:], strict=True))
    match o.attributes.get("mode", "constant"):
        case "reflect" | "edge" | "wrap" as mode:
            within = all(max(w) < n for w, n in zip(widths[1:], x.sizes, strict=True))
            require(within or mode == "edge", "model.operator", f"by {pads} of its own numbers")
            return copies(o, (x, np.pad(x.units, widths[1:], mode)))
        case _:
            pass
    units = np.pad(x.units, widths[1:], constant_values=NOTHING)
    made = copies(o, (x, units))
    if fill == 0:
        return made
    node = made.node
    assert node.sum is not None
    values = np.where(units == NOTHING, fill, 0).astype(np.float32).reshape(node.shape)
    return replace(made, node=replace(node, sum=Sum(node.sum.parts, (Constant(values),))))


def expand(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Repeated along axes of one number."""
    sizes = sizes_in(reader, o.inputs[1])
    batch, left = ([1], sizes) if len(sizes) < x.rank else (sizes[:1], sizes[1:])
    right = len(sizes) <= x.rank and batch[0] in (1, BATCH, reader.batch)
    require(
        right and min(left, default=1) > 0,
        "model.operator",
        f"to {[*sizes]}, of a tensor of {x.rank} axes",
    )
    full = np.broadcast_shapes(x.sizes, (*left,))
    not_too_many(full)
    return copies(o, (x, np.broadcast_to(x.units, full)))


def tile(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Repeated along its axes."""
    times = reader.whole(o.inputs[1])
    right = len(times) == x.rank and times[0] == 1 and min(times) > 0
    require(right, "model.operator", f"by {times}")
    not_too_many(n * k for n, k in zip(x.sizes, times[1:], strict=True))
    return copies(o, (x, np.tile(x.units, times[1:])))


def copies(o: Operator, *placed: tuple[Seen, Units]) -> Seen:
    """A node of copies: of each tensor the units that stand in each place."""
    sizes = placed[0][1].shape
    shape = shape_of(sizes)
    parts = tuple(
        copied(x.node, shape[0], view=View(shape, np.ascontiguousarray(units).ravel()))
        for x, units in placed
    )
    require(0 not in sizes, "model.shape", "empty")
    return of_node(summed(o, Sum(parts), placed[0][0].node, shape=shape), sizes)


def _axis(axis: int, x: Seen) -> int:
    """The axis, counted without that of the images."""
    inside = -x.rank <= axis < x.rank and axis % x.rank != 0
    require(inside, "model.operator", f"along axis {axis}")
    return axis % x.rank - 1


ANY, SOME = (*BYTES_TOO, *LISTED), {"axis": AXIS}
RULES = {
    "Concat": Rule({0: joined, **dict.fromkeys(range(1, MOST_OPERANDS), concat)},
                   tuple(range(1, MOST_OPERANDS))),
    "Expand": Rule({1: expand}, (2,)),
    "Gather": Rule({0: taken, 1: gather}, (2,)),
    "Pad": Rule({1: pad}, (1, 2, 3, 4)),
    "Slice": Rule({0: cut, 1: slices}, (1, 3, 4, 5)),
    "Split": Rule({1: split}, (1, 2)),
    "Tile": Rule({1: tile}, (2,)),
}  # fmt: skip
AROUND = {"mode": text("constant", "reflect", "edge", "wrap")}
PADS = {"mode": text("constant", "reflect", "edge")}
FORMS = {
    "Concat": {7: Form((ANY,) * MOST_OPERANDS, 1, SOME)},
    "Expand": {8: Form((F, LISTED), 2)},
    "Gather": {7: Form((ANY, LISTED), 2, SOME)},
    "Pad": {
        7: Form((F,), 1, {**PADS, "pads": many(int), "value": finite}),
        11: Form((F, LISTED, F), 2, PADS, optional=True),
        18: Form((F, LISTED, F, LISTED), 2, PADS, optional=True),
        19: Form((F, LISTED, F, LISTED), 2, AROUND, optional=True),
    },
    "Slice": {
        7: Form((ANY,), 1, {"starts": many(int), "ends": many(int), "axes": many(int)}),
        10: Form((ANY, LISTED, LISTED, LISTED, LISTED), 3, optional=True),
    },
    "Split": {
        7: Form((ANY,), 1, {**SOME, "split": many(int)}),
        13: Form((ANY, LISTED), 1, SOME),
        18: Form((ANY, LISTED), 1, {**SOME, "num_outputs": INTEGER}),
    },
    "Tile": {7: Form((F, LISTED), 2)},
}
