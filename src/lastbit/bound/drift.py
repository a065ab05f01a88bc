"""How far two allowed executions of the same image may be apart.

Section 3 of docs/bound.md says D_k = x'_k - x_k for two runs, and asks nothing of their images
but a bound of D_0. With the same image D_0 = 0: of

    |D_c - D_j| <= |b . D_0| + sum |d_j||D_j| + sum |a_k||nu_k| + 2 sum |a_k| r_k

the first term is gone, and every other D_j is what the roundings before it make of nothing: the
checker's forms with an input that does not move. Remainders (|nu_k| <= e |D_k|), defects, softmax
and the rules for |D_k| stay as they are, because they hold for any two executions.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lastbit_check.check import Derived, Pass, Watch
from lastbit_check.exact import Fix
from lastbit_check.forms import Form, input_form
from lastbit_check.hints import Hints
from lastbit_check.network import Node


def derive_drift(model: bytes, hints: Hints, *, watch: Watch | None = None) -> Derived:
    """As `lastbit_check.check.derive`, for two executions on one image.

    `upper` bounds |prob_c(v) as one execution has it - prob_c(v) as another has it| over all images
    v and classes c; there is one group of pixels, number 0, and `parts["first_layer"]` holds the
    remainders of the first layer alone.

    Args:
        model: the bytes of an ONNX file.
        hints: any; how pixels are grouped in them does not matter here.
        watch: told after each node.

    Raises:
        lastbit_check.verdict.Rejected: the hints prove nothing (a range overflows, say).
        lastbit_check.verdict.Unreadable: the model cannot be read.
    """
    return _SameImage(model, replace(hints, coarsen="", block=1)).run(watch)


class _SameImage(Pass):
    """The checker's walk through the network, begun with an image that both runs share."""

    def visit(self, node: Node) -> None:
        if node.op != "input":
            super().visit(node)
            return
        self.ledger.close(None)
        form = unmoved(input_form(node.shape))
        based = node.name in self.hints.bases
        self.forms[node.name] = self.based(node, form) if based else form


def unmoved(form: Form) -> Form:
    """The same range, and no change: one group of pixels, whose bound is 0."""
    ranges = form.error.n[..., :1]
    error = Fix(np.concatenate([ranges, np.zeros_like(ranges)], axis=3), form.error.e)
    return Form(form.c, error, form.spread, form.size, Fraction(0))
