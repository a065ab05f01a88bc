"""How far two allowed executions of the same image may be apart.

Section 3 of docs/bound.md says D_k = x'_k - x_k for two runs, and asks nothing of their images
but a bound of D_0. With the same image D_0 = 0: of

    |D_c - D_j| <= |b . D_0| + sum |d_j||D_j| + sum |a_k||nu_k| + 2 sum |a_k| r_k

the first term is gone, and every other D_j is what the roundings before it make of nothing: the
checker's forms with an input that does not move. Remainders (|nu_k| <= e |D_k|), defects, softmax
and the rules for |D_k| stay as they are, because they hold for any two executions.

Where a layer absorbs the last bit, the layers before it and around it would be bounded badly: their
rounding is what they are there for. Such nodes have tables of what is computed for each byte
(`lastbit_check.refine.byte_tables`, under the assumption ``binary32-values``); there x_k and D_k
are read off, and the core is 0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lastbit.questions.absorbing import absorbed_node, tables
from lastbit_check.arithmetic.exact import Fix, from_float, total
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in, or_by_norms
from lastbit_check.derive.conclude import Balance, Claim
from lastbit_check.derive.derivation import Derivation, Observe, derived, ignore
from lastbit_check.derive.frame import Given, frame_of
from lastbit_check.network import Network, Node
from lastbit_check.norms.given import framed
from lastbit_check.operators.forms import Bound, Value, nothing
from lastbit_check.question import ANY_TWO, LAST_BIT, Question, of_one_image
from lastbit_check.refine.byte_tables import GRID, Row


def derived_drift(
    model: bytes, hints: Hints, observe: Observe = ignore, question: Question = LAST_BIT
) -> tuple[Derivation, Claim]:
    """For two executions on one image: the derivation, and what follows.

    The claim bounds |prob_c(v) as one execution has it - prob_c(v) as another has it| over all
    images v and classes c; there is one place, number 0.

    Args:
        model: the bytes of an ONNX file.
        hints: any.
        observe: told of each node.
        question: what the inputs are.

    Raises:
        lastbit_check.verdict.Rejected: the hints prove nothing (a range overflows, say).
        lastbit_check.verdict.Unreadable: the model cannot be read.
    """
    network = network_in(model, question)
    given = known_by_tables(network) if absorbed_node(model, question) else {}
    hints, asked = replace(hints, absorbed="", together={}, trees={}), of_one_image(question)
    frame = frame_of(network, asked, hints, given) if given else framed(network, asked, hints)
    found = derived(frame, observe)
    return found, or_by_norms(Balance(found, ANY_TWO).claim(lambda _, __: None), frame, ANY_TWO)


def known_by_tables(network: Network) -> dict[str, Given]:
    """The hull of all bytes, and as a change the width of the widest byte's interval."""
    return {node.name: _listed(node, table) for node, table in tables(network)
            if node.op != "input"}  # fmt: skip


def _listed(node: Node, table: list[Row]) -> Given:
    ends = np.array([_ends(row) for row in table]).reshape(*node.shape, 1, 3)
    low, high, width = (ends[..., k] for k in range(3))
    c, inexact = from_float((low + high) / 2, 40)
    wide = total(above((high - low) / 2), Fix(inexact + 1, c.e))
    none = nothing(c)
    return Given(Value(c, Bound(wide, none), none), Bound(above(width), none))


@cache
def _ends(row: Row) -> tuple[float, float, float]:
    """The least and the largest number in a table's row, and the widest interval."""
    low, high = min(x[0] for x in row), max(x[1] for x in row)
    return low / 2**GRID, high / 2**GRID, max(x[1] - x[0] for x in row) / 2**GRID


def above(x: NDArray[np.float64]) -> Fix:
    """Numbers >= 0 from above, on a grid of 40 bits; 0 stays 0."""
    near, inexact = from_float(np.where(x > 0, np.nextafter(x, np.inf), 0.0), 40)
    return Fix(near.n + inexact, near.e)
