"""MaxPool: the largest number in each window, which does not round.

Of two runs, the largest numbers differ by no more than the two numbers of one unit in the window
do. So the linear core is 0, and all of the change is remainder.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import underflow
from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.files.operators import FLAG, MOST, F, Form, numbers
from lastbit_check.network import Node, Part
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import boxed
from lastbit_check.operators.forms import Bound, Change, Made, Value, nothing
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.linear import WINDOW, pads_of, places
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.operators.seen import Seen, of_node
from lastbit_check.verdict import require


def largest(_: Reader, o: Operator, x: Seen) -> Seen:
    """MaxPool. Padding is no number, so that a window has at least one of its own."""
    kernel, channels = o.attribute("kernel_shape", [0, 0]), x.sizes[0]
    weight = np.ones((channels, 1, *kernel), np.float32)
    pads = pads_of(o, x, weight)
    inside = all(pad < kernel[k % 2] for k, pad in enumerate(pads))
    require(inside, "model.operator", f"with pads {pads} as wide as its kernel")
    window = Part(x.node.name, weight, (*o.attribute("strides", [1, 1]),), pads, channels)
    shape = places(x.sizes, window)
    views = (x.view((channels, x.sizes[1], x.sizes[2])),)
    return of_node(Node(o.name, "max", (x.node.name,), shape, views=views, window=window))


class MaxKind:
    """The largest of the units in a window."""

    hinted = frozenset[str]()
    assumed = ()

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
    "MaxPool": Rule(
        {1: largest}, ranks=(4,), only={"ceil_mode": 0, "dilations": [1, 1], "storage_order": 0}
    )
}
KINDS = {"max": MaxKind()}
FORMS = {
    "MaxPool": {
        7: Form((F,), 1, WINDOW),
        8: Form((F,), 1, {**WINDOW, "storage_order": FLAG}),
        10: Form((F,), 1, {**WINDOW, "storage_order": FLAG, "ceil_mode": FLAG,
                           "dilations": numbers(1, MOST, 2)}),
    }
}  # fmt: skip
