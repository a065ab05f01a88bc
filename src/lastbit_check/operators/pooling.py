"""MaxPool: the largest number in each window, which does not round. AveragePool: the mean of each.

Of two runs, the largest numbers differ by no more than the two numbers of one unit in the window
do. So the linear core is 0, and all of the change is remainder.

Map: max; argued in docs/bound.md 4
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lastbit_check.arithmetic.binary32 import underflow
from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.files.operators import FLAG, LISTED, MOST, UNARY, F, Form, numbers
from lastbit_check.network import Node, Part, Units
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import divided_by
from lastbit_check.operators.curves import boxed
from lastbit_check.operators.forms import Bound, Change, Made, Value, nothing
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.linear import (
    NOOP,
    OVER,
    WINDOW,
    along,
    in_two_axes,
    over_places,
    pads_of,
    places,
    spread,
    whole_image,
)
from lastbit_check.operators.patterns import products
from lastbit_check.operators.reading import Reader, Rule, not_too_many
from lastbit_check.operators.seen import Seen, of_node
from lastbit_check.verdict import require


def largest(_: Reader, o: Operator, x: Seen) -> Seen:
    """MaxPool. Padding is no number, so that a window has at least one of its own."""
    o, x, rank = *in_two_axes(o, x), x.rank
    window, _counts = window_of(o, x)
    views = (x.view((x.sizes[0], x.sizes[1], x.sizes[2])),)
    shape = places(x.sizes, window)
    made = of_node(Node(o.name, "max", (x.node.name,), shape, views=views, window=window))
    return made.sized(made.sizes[: rank - 1])


def largest_of_all(reader: Reader, o: Operator, x: Seen) -> Seen:
    """ReduceMax and GlobalMaxPool."""
    seen, sizes = along(reader, o, x)
    window, shape = whole_image(seen), (seen.sizes[0], 1, 1)
    views, window = (window.view,), window._replace(view=None)
    return of_node(Node(o.name, "max", (x.node.name,), shape, views=views, window=window), sizes)


def average(_: Reader, o: Operator, x: Seen) -> Seen:
    """AveragePool: the mean of each window, or of what is in it of the image."""
    o, x, rank = *in_two_axes(o, x), x.rank
    window, inside = window_of(o, x)
    whole = np.count_nonzero(window.weight[0])
    if o.attribute("count_include_pad", 0):
        beyond = o.attribute("ceil_mode", 0) and window.pads != pads_of(o, x, window.weight)
        require(not beyond, "model.operator", "with windows beyond its pads, which may count")
        inside = np.full_like(inside, whole)
    if np.all(inside == whole) and whole == window.weight[0].size:
        by = divided_by(np.full(x.sizes[0], float(whole), np.float32))
        made = over_places(o, x, window._replace(factors=(by,)))
        return made.sized(made.sizes[: rank - 1])
    counts = np.tile(inside.ravel(), x.sizes[0]).astype(np.float32)
    seen = _apart(x, window, len(counts))
    made = over_places(o, seen, whole_image(seen)._replace(factors=(divided_by(counts),)))
    return made.sized((x.sizes[0], *inside.shape)[: rank - 1])


def window_of(o: Operator, x: Seen) -> tuple[Part, Units]:
    """The places of each window, and how many of them are in the image (H, W).

    The last window may reach beyond the pads, but does not begin there, if sizes are rounded up.
    """
    kernel, strides = o.attribute("kernel_shape", [0, 0]), o.attribute("strides", [1, 1])
    up = o.attribute("ceil_mode", 0) == 1
    alone = not up or o.attributes.get("auto_pad", "NOTSET") == "NOTSET"
    require(alone, "model.operator", "with ceil_mode and auto_pad")
    not_too_many((x.sizes[0], *kernel))
    ones = np.ones((x.sizes[0], 1, *kernel), np.float32)
    weight = spread(ones, o.attribute("dilations", [1, 1]))
    pads, sizes, high = [*pads_of(o, x, weight)], x.sizes[1:], weight.shape[2:]
    for k, (size, count, step) in enumerate(zip(sizes, high, strides, strict=True)):
        over = (size + pads[k] + pads[k + 2] - count) % step
        begins = size + pads[k] + pads[k + 2] - count - over + step
        if up and over and begins < size + pads[k]:
            pads[k + 2] += step - over
    window = Part(x.node.name, weight, (*strides,), (*pads,), x.sizes[0])
    shape = places(x.sizes, window)
    one = window._replace(weight=weight[:1], groups=1)
    source = (1, sizes[0], sizes[1])
    inside = np.diff(products(one, (1, *shape[1:]), source).indptr).reshape(shape[1:])
    require(np.all(inside > 0), "model.operator", f"with windows outside of its image: pads {pads}")
    return window, inside


def _apart(x: Seen, window: Part, units: int) -> Seen:
    """The numbers of each window by themselves (units, places of a window, 1); 0 outside."""
    top, left, bottom, right = window.pads
    padded = np.pad(x.units, ((0, 0), (top, bottom), (left, right)), constant_values=-1)
    found = sliding_window_view(padded, window.weight.shape[2:], (1, 2))
    found = found[:, :: window.strides[0], :: window.strides[1], window.weight[0, 0] > 0]
    return replace(x, sizes=(units, found.shape[3], 1), order=np.ascontiguousarray(found).ravel())


class MaxKind:
    """The largest of the units in a window."""

    hinted = frozenset[str]()
    assumed: tuple[str, ...] = ()

    def value(self, setting: Setting, sources: list[Value], _: Fix) -> Made:
        low, high = (self._over(setting, end) for end in sources[0].interval)
        c, error = boxed((low, high))
        return Made(c, error, total(nothing(c), underflow(Fraction(1))))

    def change(self, setting: Setting, _: list[Value], moves: list[Bound]) -> Change:
        moved = self._over(setting, moves[0].radius)
        return Change(moved, moved)

    def cores(self, _: Setting) -> list[Core]:
        return []

    @staticmethod
    def _over(setting: Setting, x: Fix) -> Fix:
        """The largest of what is said of each unit in a window (C, H, W, K)."""
        assert setting.taps is not None
        flat = x.n.reshape(-1, x.n.shape[3])
        found = flat[setting.taps[0]]
        for tap in setting.taps[1:]:
            found = np.maximum(found, flat[tap])
        return Fix(found.reshape(*setting.node.shape, -1), x.e)


RULES = {
    "AveragePool": Rule({1: average}, ranks=(3, 4)),
    "GlobalMaxPool": Rule({1: largest_of_all}, ranks=(3, 4, 5)),
    "MaxPool": Rule({1: largest}, ranks=(3, 4), spare=True),
    "ReduceMax": Rule({1: largest_of_all}, (1, 2)),
}
POOL = {**WINDOW, "ceil_mode": FLAG, "count_include_pad": FLAG}
SPREAD = {"dilations": numbers(1, MOST, 1, 2)}
KINDS = {"max": MaxKind()}
FORMS = {
    "AveragePool": {
        7: Form((F,), 1, {**WINDOW, "count_include_pad": FLAG}),
        10: Form((F,), 1, POOL),
        19: Form((F,), 1, {**POOL, **SPREAD}),
    },
    "GlobalMaxPool": {7: UNARY},
    "MaxPool": {
        7: Form((F,), 1, WINDOW),
        8: Form((F,), 1, {**WINDOW, "storage_order": FLAG}),
        10: Form((F,), 1, {**WINDOW, "storage_order": FLAG, "ceil_mode": FLAG,
                           **SPREAD}),
    },
    "ReduceMax": {7: Form((F,), 1, OVER), 18: Form((F, LISTED), 1, NOOP)},
}  # fmt: skip
