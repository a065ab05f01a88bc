"""Where a bound is lost: the parts make it up, and every node's share is one of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from support.absorbing import absorber
from lastbit.bound import derive
from lastbit.bound.parts import KINDS
from lastbit_check.certificate import Hints
from lastbit_check.check import derive as checked, softmax_error
from soundness.curved import based, two_curved_layers
from soundness.harness import NearlyLinear, built
from soundness.known import with_base


@pytest.mark.parametrize("seed", range(6))
def test_they_add_up(tmp_path: Path, seed: int) -> None:
    model, _, hints = with_base(tmp_path, seed)
    found = derive(model, hints)
    assert found[:] == checked(model, hints)[:]
    assert sum(found.parts.values()) == found.upper
    assert all(value >= 0 for value in found.parts.values())
    rate = (found.upper - 2 * softmax_error(3)) / found.logits
    entries = {kind: sum(node[kind] for node in found.nodes.values()) for kind in KINDS}
    least = entries["rounding"] * rate
    assert least <= found.parts["rounding"] + Fraction(1, 2**30)
    inside = found.parts["first_layer"] + found.parts["remainder"]
    assert inside <= (entries["remainder"] + entries["defect"]) * rate + Fraction(1, 2**30)


def test_the_roundings_of_the_first_layers_slopes_are_rounding(tmp_path: Path) -> None:
    """More than those of all nodes; and the exact form makes the first layers' part smaller."""
    model, network = built(two_curved_layers(0), tmp_path)
    found = derive(model, based(network))
    rate = (found.upper - found.parts["softmax"]) / found.logits
    nodes = [node["rounding"] for node in found.nodes.values()]
    assert found.parts["rounding"] > sum(nodes) * rate
    inside = sum(found.nodes[name]["remainder"] for name in found.nodes)
    assert 0 < found.parts["first_layer"] < inside * rate


def test_nothing_is_lost_where_no_last_bit_is_told() -> None:
    found = derive(absorber(), Hints({}, absorbed="stem"))
    assert {*found.parts.values()} == {0}
    assert {value for node in found.nodes.values() for value in node.values()} == {0}


def test_a_bound_of_1_is_divided_too(tmp_path: Path) -> None:
    model, _ = built(NearlyLinear(0, adversarial=True).b, tmp_path)
    found = derive(model, Hints({}))
    assert sum(found.parts.values()) == found.upper
