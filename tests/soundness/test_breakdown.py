"""Where a bound is lost: the parts make it up, and every node's share is one of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from lastbit.hints.breakdown import divided
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, proved
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.derive.ledger import DEFECT, REMAINDER, ROUNDING
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM
from soundness.curved import based, two_curved_layers
from soundness.harness import NearlyLinear, built
from soundness.known import with_base
from support.absorbing import absorber

both = pytest.mark.parametrize("executions", EXECUTIONS)


def derived(model: bytes, hints: Hints) -> Derived:
    return proved(model, LAST_BIT, hints)


@both
@pytest.mark.parametrize("seed", range(6))
def test_they_add_up(tmp_path: Path, seed: int, executions: str) -> None:
    model, _, hints = with_base(tmp_path, seed)
    found = derived(model, hints)
    claim, division = found.claims[executions], divided(found, executions)
    assert sum(division.parts.values()) == claim.upper
    assert all(value >= 0 for value in division.parts.values())
    rate = (claim.upper - 2 * softmax_error(3)) / claim.logits
    kinds = (REMAINDER, ROUNDING, DEFECT)
    entries = {kind: sum(node[kind] for node in division.nodes.values()) for kind in kinds}
    assert entries[ROUNDING] * rate <= division.parts["rounding"] + Fraction(1, 2**30)
    inside = division.parts["first_layer"] + division.parts["remainder"]
    assert inside <= (entries[REMAINDER] + entries[DEFECT]) * rate + Fraction(1, 2**30)


@both
def test_the_roundings_of_the_first_layers_slopes_are_rounding(
    tmp_path: Path, executions: str
) -> None:
    """More than those of all nodes; and the exact form makes the first layers' part smaller."""
    model, network = built(two_curved_layers(0), tmp_path)
    found = derived(model, based(network))
    claim, division = found.claims[executions], divided(found, executions)
    rate = (claim.upper - division.parts["softmax"]) / claim.logits
    assert division.parts["rounding"] > sum(n[ROUNDING] for n in division.nodes.values()) * rate
    inside = sum(node[REMAINDER] for node in division.nodes.values())
    assert 0 < division.parts["first_layer"] < inside * rate


def test_nothing_is_lost_where_no_last_bit_is_told() -> None:
    """By one program; two of them still round as they like."""
    found = derived(absorber(), Hints({}, absorbed="stem"))
    division = divided(found, SAME_PROGRAM)
    assert {*division.parts.values()} == {0}
    assert {value for node in division.nodes.values() for value in node.values()} == {0}
    assert all(divided(found, "any-two").parts.values())


@both
def test_a_bound_of_1_is_divided_too(tmp_path: Path, executions: str) -> None:
    model, _ = built(NearlyLinear(0, adversarial=True).b, tmp_path)
    found = derived(model, Hints({}))
    assert sum(divided(found, executions).parts.values()) == found.claims[executions].upper
