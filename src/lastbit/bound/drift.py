"""How far two allowed executions of the same image may be apart.

Section 3 of docs/bound.md says D_k = x'_k - x_k for two runs, and asks nothing of their images
but a bound of D_0. With the same image D_0 = 0: of

    |D_c - D_j| <= |b . D_0| + sum |d_j||D_j| + sum |a_k||nu_k| + 2 sum |a_k| r_k

the first term is gone, and every other D_j is what the roundings before it make of nothing: the
checker's forms with an input that does not move. Remainders (|nu_k| <= e |D_k|), defects, softmax
and the rules for |D_k| stay as they are, because they hold for any two executions.

Where a layer absorbs the last bit, the layers before it and around it would be bounded badly: their
rounding is what they are there for. Such nodes have tables of what is computed for each byte
(`lastbit_check.bytes`, under the assumption ``binary32-values``); there x_k and D_k are read off,
and the core is 0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from lastbit.bound.absorb import absorbed_node, tables
from lastbit.bound.walk import Kept, Walk, Watch
from lastbit_check.bytes import GRID, Row
from lastbit_check.certificate import Hints
from lastbit_check.cores import adjoint
from lastbit_check.exact import ZERO_GRID, Fix, beside, from_float, total
from lastbit_check.forward import Form, Outcome
from lastbit_check.network import Node, normal_form
from lastbit_check.onnxfile import read


def derive_drift(model: bytes, hints: Hints, *, watch: Watch | None = None) -> Kept:
    """As `lastbit_check.check.derive`, for two executions on one image.

    `upper` bounds |prob_c(v) as one execution has it - prob_c(v) as another has it| over all images
    v and classes c; there is one group of pixels, number 0, and `parts["first_layer"]` holds the
    remainders of the first layer alone.

    Args:
        model: the bytes of an ONNX file.
        hints: any.
        watch: told after each node.

    Raises:
        lastbit_check.verdict.Rejected: the hints prove nothing (a range overflows, say).
        lastbit_check.verdict.Unreadable: the model cannot be read.
    """
    return SameImage(model, hints, watch=watch).run()


class SameImage(Walk):
    """The checker's walk through the network, begun with an image that both runs share.

    `tables` holds what is computed for each byte, where a node absorbs the last bit.
    """

    def __init__(
        self, model: bytes, hints: Hints, *, keep: bool = False, watch: Watch | None = None
    ) -> None:
        absorbed = absorbed_node(model)
        listed = tables(normal_form(read(model))) if absorbed else ()
        self.tables: dict[str, list[Row]] = {node.name: table for node, table in listed}
        super().__init__(model, replace(hints, absorbed=""), watch=watch)
        self.keep = keep
        readers = {name: [node for node in found if node.name not in self.tables]
                   for name, found in self.readers.items()}  # fmt: skip
        self.duals = adjoint(self.nodes, readers, self.layers, hints)

    def forward(self, node: Node) -> tuple[Form, Outcome]:
        """A node with a table has no core: all of its change is remainder."""
        if node.op != "input" and node.name not in self.tables:
            return super().forward(node)
        form = self._listed(node) if node.op != "input" else unmoved(super().forward(node)[0])
        none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
        return form, Outcome(form.c, form.error, form.moves, none)

    def first_layers(self) -> None:
        """None: the images are the same."""

    def _listed(self, node: Node) -> Form:
        """The hull of all bytes, and as a change the width of the widest byte's interval.

        Its exact group is of no use, because `first_layers` is not; the same width stands there.
        """
        ends = np.array([_ends(row) for row in self.tables[node.name]]).reshape(*node.shape, 1, 3)
        low, high, width = (ends[..., k] for k in range(3))
        c, inexact = from_float((low + high) / 2, 40)
        wide = total(above((high - low) / 2), Fix(inexact + 1, c.e))
        error = beside(beside(wide, above(width)), above(width))
        return Form(c, error, Fix(np.zeros_like(error.n), ZERO_GRID))


@cache
def _ends(row: Row) -> tuple[float, float, float]:
    """The least and the largest number in a table's row, and the widest interval."""
    low, high = min(x[0] for x in row), max(x[1] for x in row)
    return low / 2**GRID, high / 2**GRID, max(x[1] - x[0] for x in row) / 2**GRID


def above(x: np.ndarray) -> Fix:
    """Numbers >= 0 from above, on a grid of 40 bits; 0 stays 0."""
    near, inexact = from_float(np.where(x > 0, np.nextafter(x, np.inf), 0.0), 40)
    return Fix(near.n + inexact, near.e)


def unmoved(form: Form) -> Form:
    """The same range, and no change: one group of pixels, whose bound is 0, and the exact one."""
    ranges = form.error.n[..., :1]
    error = Fix(np.concatenate([ranges, 0 * ranges, 0 * ranges], axis=3), form.error.e)
    return replace(form, error=error)
