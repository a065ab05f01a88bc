"""What each node adds to a bound, and what it may hold."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit.hints.breakdown import divided
from lastbit.report.contents import Layer, Layers
from lastbit_check.check import Derived, ceil_float
from lastbit_check.derive.ledger import DEFECT, REMAINDER, ROUNDING
from lastbit_check.network import Node
from lastbit_check.operators.forms import Value

ZERO = Fraction(0)


def layers_of(derived: Derived, executions: str) -> Layers:
    """All nodes but softmax, for the worst pair of classes and place.

    What nodes of the first layers let through as separate units is more than their exact form says:
    it is divided in proportion. All that is said adds up to R.
    """
    derivation, claim = derived.derivation, derived.claims[executions]
    division = divided(derived, executions)
    moved = claim.upper - division.parts["softmax"]
    rate = moved / claim.logits if claim.logits else ZERO
    parts = {kind: part / rate if rate else ZERO for kind, part in division.parts.items()}
    early = {node.name: node for node in derivation.frame.early}
    last = derivation.frame.early[-1].name
    alone = {
        name: kinds[REMAINDER] + (kinds[DEFECT] if name != last else ZERO)
        for name, kinds in division.nodes.items()
        if name in early
    }
    together = sum(alone.values(), ZERO)
    rows = list[Layer]()
    for node in derivation.frame.network.computed:
        kinds = division.nodes[node.name]
        inside = alone.get(node.name, ZERO)
        first = inside * parts["first_layer"] / together if together else ZERO
        remainder = kinds[REMAINDER] + kinds[DEFECT] - inside
        rows.append(_layer(node, derivation.values[node.name], first, remainder, kinds[ROUNDING],
                           claim.logits))  # fmt: skip
    rounded = sum((division.nodes[row.name][ROUNDING] for row in rows), ZERO)
    slopes = parts["rounding"] - rounded if rate else ZERO
    return Layers(executions, (*rows,), ceil_float(max(slopes, ZERO)))


def _layer(
    node: Node, value: Value, first: Fraction, remainder: Fraction, rounding: Fraction, r: Fraction
) -> Layer:
    low, high = value.interval
    share = float((first + remainder + rounding) / r) if r else 0.0
    least = float(np.ldexp(low.n.min(), -low.e))
    most = float(np.ldexp(high.n.max(), -high.e))
    return Layer(
        node.name, node.op, node.shape, node.inputs, ceil_float(first), ceil_float(remainder),
        ceil_float(rounding), share, least, most, ceil_float(value.noise.largest()),
    )  # fmt: skip
