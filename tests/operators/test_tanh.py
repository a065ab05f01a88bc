"""Tanh."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.tanh import Tanh
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.operators.tanh import KINDS
from operators import elementwise


def write(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Tanh", [x], name)


@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@pytest.mark.parametrize("rate", [0.0, 11.0])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rate: float
) -> None:
    elementwise.wrong(monkeypatch, Tanh, rate, lambda _, y: np.abs(y))
    elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.05)


@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def narrow(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if every slope were the one in the middle of the range."""
    middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
    return KINDS["tanh"].slopes(middle, middle)


@pytest.mark.parametrize("change", [{"slopes": narrow}, {"error": Fraction(1, 16)}])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    elementwise.weaker(monkeypatch, "tanh", **change)
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(write, tmp_path, seed)
