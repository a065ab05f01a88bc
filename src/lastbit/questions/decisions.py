"""Which decisions no allowed execution can change.

One execution of an image gives logits z; any other gives z_c - z_j at least m_j - R_cj, where m_j
is the margin of class c over j and R_cj bounds the drift. Softmax keeps the order but for its own
error s: c is what every execution decides, if for all j != c

    d_j = m_j - R_cj > 0   and   p (1 - exp(-d_j)) > 2 s,   p = 1 / (1 + sum_j exp(-d_j)),

because p is at most the exact softmax of c, and p_c - p_j = p_c (1 - exp(z_j - z_c)). A tie is no
decision. Where the image may change, too, E(v') is another execution of another image: it is
compared with E(v), by the bound of one program, and that with the one that was run, by the drift.

R_cj for all images is the drift bound. For some images it is smaller by far, because what they make
of the network's nodes is known: let one execution of each be run, and x_k be between the smallest
and the largest value that these have. Any execution's x_k is within |D_k| of that interval. With it
as the range and a bound of |D_k| as the change, the checker's rules give r_k, |nu_k| and |D_k| of
the next node for these images; |D_k| is no larger than for all images. Where all that follows goes
through the end k of the first layers, what these add is at most |a_k||D_k|, too. The fewer images,
the sharper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.questions.drift import above, derived_drift
from lastbit_check.arithmetic.enclosure import exp_bounds
from lastbit_check.arithmetic.exact import Fix, from_float, least, matmul_up, total
from lastbit_check.certificate import Hints
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.derive.derivation import Observe, ignore
from lastbit_check.derive.ledger import DEFECT, both_runs
from lastbit_check.network import Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import Bound, Value, nothing
from lastbit_check.question import ANY_TWO, LAST_BIT, Question

Values = Mapping[str, NDArray[np.float64]]
"""What an execution computes: (C, H, W) by node."""


class Reached:
    """The least and the largest value of every node over some executions, one an image."""

    def __init__(self, *executions: Values) -> None:
        self.low = dict[str, NDArray[np.float64]]()
        self.high = dict[str, NDArray[np.float64]]()
        for values in executions:
            self.add(values)

    def add(self, values: Values) -> None:
        """Take in one more execution."""
        for name, v in values.items():
            self.low[name] = np.minimum(self.low[name], v) if name in self.low else v
            self.high[name] = np.maximum(self.high[name], v) if name in self.high else v


class Decisions:
    """The drift of a model, for all images and for some.

    Args of the constructor: the bytes of an ONNX file, hints as for its bound, what the inputs are,
    and what a difference of two logits may change besides, because the image does (0: it does not;
    None: no bound is known).

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: as `derived_drift`.
    """

    def __init__(
        self,
        model: bytes,
        hints: Hints,
        observe: Observe = ignore,
        question: Question = LAST_BIT,
        moved: Fraction | None = Fraction(0),
    ) -> None:
        self.derivation, claim = derived_drift(model, hints, observe, question)
        self.frame, self.everywhere, self.moved = self.derivation.frame, claim.logits, moved
        network, ledger = self.frame.network, self.derivation.ledger
        self.logits, self.classes = network.logits, network.classes
        self.defect = total(*ledger.of(ANY_TWO, DEFECT, [n.name for n in network.computed]))
        early = self.frame.early
        readers = {r.name for node in early[:-1] for r in network.readers[node.name]}
        self.cut = early[-1].name if readers <= {node.name for node in early} else ""

    def changes(self, reached: Reached, c: int) -> list[Fraction]:
        """R_cj for all j, and 0 for c, on each of the images that have been run."""
        sums, values, bounds = list[Fix](), dict[str, Value](), dict[str, Bound]()
        for node in self.frame.network.computed:
            moves = self.derivation.moves[ANY_TWO][node.name].radius
            moved = moves
            if node.op != "input" and node.name not in self.frame.given:
                moved, bound = self._through(node, values, bounds)
                moves = least(bound, moves)
            values[node.name], bounds[node.name] = self._value(node.name, reached, moves)
            weights = _against(self.frame.duals[node.name].a, c)
            units = weights.n.shape[1]
            if weights.n.any():
                sums.append(matmul_up(weights, moved.reshape(units, 1)))
            if sums and node.name == self.cut:
                directly = matmul_up(weights, moves.reshape(units, 1))
                sums = [least(total(*sums), directly)]
        found = [Fraction(int(n)) / Fraction(2) ** s.e for s in [total(*sums)] for n in s.n[:, 0]]
        pairs = self.derivation.ledger.pairs
        for (a, b), n in zip(pairs, self.defect.n[:, 0], strict=True):
            if c in (a, b):
                found[a + b - c] += Fraction(int(n)) / Fraction(2) ** self.defect.e
        found[c] = Fraction(0)
        return found

    def _through(
        self, node: Node, values: Mapping[str, Value], bounds: Mapping[str, Bound]
    ) -> tuple[Fix, Fix]:
        """What a node adds besides its core, and how far it is apart; roundings are in both."""
        setting, kind = self.frame.settings[node.name], KINDS[node.op]
        sources = [values[name] for name in node.inputs]
        none = nothing(Fix(np.zeros((*node.shape, 1)), 0))
        noise = both_runs(kind.value(setting, sources, none).noise).reshape(*node.shape, 1)
        change = kind.change(setting, sources, [bounds[name] for name in node.inputs])
        return total(noise, change.bend), total(noise, change.error)

    def _value(self, name: str, reached: Reached, moves: Fix) -> tuple[Value, Bound]:
        """Any execution's value on these images: within the drift of those that were run."""
        shape = moves.n.shape
        low, high = reached.low[name], reached.high[name]
        middle = (low + high) / 2
        radius = above(np.maximum(high - middle, middle - low).reshape(shape))
        c, inexact = from_float(middle.reshape(shape), 40)
        near, none = total(moves, Fix(inexact, c.e), radius), nothing(moves)
        return Value(c, Bound(near, none), none), Bound(moves, none)

    def level(self, values: Values, label: int, changes: Sequence[Fraction] | None = None) -> int:
        """Who decides for ``label``: 1 every allowed execution of the image that was run.

        2 also every one of what the image may change to; 0 none of this is known.

        ``changes`` are those for that label and some images, this one among them; by default the
        bound for all images stands for each.
        """
        z = [Fraction(float(v)) for v in values[self.logits].ravel()]
        margins = [z[label] - v for v in z]
        others = [j for j in range(self.classes) if j != label]
        if min(margins[j] for j in others) <= 0:
            return 0
        changes = changes or [self.everywhere] * self.classes
        left = [margins[j] - changes[j] for j in others]
        if not decided(left, self.classes):
            return 0
        moved = self.moved
        return 1 if moved is None else 1 + decided([d - moved for d in left], self.classes)


def decided(left: list[Fraction], classes: int) -> bool:
    """Whether the computed probability of a class is the largest, if its logit leads by ``left``.

    ``left`` holds lower bounds of the lead over every other class.
    """
    if not min(left) > 0:
        return False
    behind = [exp_bounds(-min(d, Fraction(60)))[1] for d in left]
    p = 1 / (1 + sum(behind))
    return p * (1 - max(behind)) > 2 * softmax_error(classes)


def _against(dual: Fix, c: int) -> Fix:
    """|a_c - a_j| for every j (classes, units) from a (units, classes)."""
    flat = dual.n.T
    return Fix(np.abs(flat[c] - flat), dual.e)
