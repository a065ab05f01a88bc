"""Relu."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from operators import elementwise
from support.seeds import seeds


def write(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Relu", [x], name)


@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@pytest.mark.parametrize("seed", seeds(4, 8))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int) -> None:
    elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.09)


@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def one_side(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if no range held 0: the slope of the side where its middle is."""
    slope = Fix((np.ldexp(lo.n, -lo.e) + np.ldexp(hi.n, -hi.e) > 0).astype(np.float64), 0)
    return slope, slope


def no_kink(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    return lo, hi


@pytest.mark.parametrize("wrong", [{"slopes": one_side}, {"values": no_kink, "slopes": one_side}])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict
) -> None:
    elementwise.weaker(monkeypatch, "relu", **wrong)
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(write, tmp_path, seed)
