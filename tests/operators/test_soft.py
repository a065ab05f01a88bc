"""Softplus, Softsign, and Mish as one operator and as exporters write it."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import mpmath
import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.soft import Mish, Softplus, Softsign
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.operators import soft
from lastbit_check.verdict import Rejected
from operators import elementwise


def operator(op: str, b: OnnxBuilder, x: str, name: str) -> str:
    b.OPSET = 18  # type: ignore[misc]
    return b.operator(op, [x], name)


def parts(b: OnnxBuilder, x: str, name: str) -> str:
    soft = b.operator("Softplus", [x], f"{name}.softplus")
    return b.operator("Mul", [x, b.operator("Tanh", [soft], f"{name}.tanh")], name)


WRITERS = {op: partial(operator, op) for op in ("Softplus", "Softsign", "Mish")}
WRITE = pytest.mark.parametrize("write", [*WRITERS.values(), parts], ids=[*WRITERS, "parts"])
NAME = pytest.mark.parametrize("name", WRITERS)


@WRITE
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@NAME
@pytest.mark.parametrize(("seed", "rate"), [(0, 0.0), (1, 1.0), (2, -1.0)])
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rate: float, name: str
) -> None:
    """By functions that use up nearly all that is assumed."""
    elementwise.wrong(monkeypatch, Softplus, rate, lambda x, _: 3 + np.abs(x))
    elementwise.wrong(monkeypatch, Softsign, 1.5 * rate, lambda _, y: np.abs(y))
    elementwise.wrong(monkeypatch, Mish, 10 * rate, lambda x, _: np.abs(x))
    elementwise.bounds_hold_under_attack(WRITERS[name], tmp_path, seed)


@NAME
@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, name: str) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(WRITERS[name], tmp_path, 0.02)


@WRITE
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def test_the_product_is_the_operator(tmp_path: Path) -> None:
    one, other = (elementwise.subject(w, tmp_path, 1) for w in (WRITERS["Mish"], parts))
    assert [n.op for n in one.network.normal.nodes] == [n.op for n in other.network.normal.nodes]
    assert one.derived.claims == other.derived.claims


def test_what_is_no_mish_is_a_gate(tmp_path: Path) -> None:
    def of_another(b: OnnxBuilder, x: str, name: str) -> str:
        soft = WRITERS["Softplus"](b, b.affine(x, "add", np.float32(0.5)), f"{name}.softplus")
        return b.operator("Mul", [x, b.operator("Tanh", [soft], f"{name}.tanh")], name)

    def without_tanh(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Mul", [x, WRITERS["Softplus"](b, x, f"{name}.softplus")], name)

    for write in (of_another, without_tanh):
        nodes = network_in(elementwise.network(write, 0).to_bytes()).nodes
        assert {"gate", "softplus"} <= {n.op for n in nodes}
        assert "mish" not in {n.op for n in nodes}
        elementwise.bounds_hold_under_attack(write, tmp_path, 0)


def test_mish_is_no_operator_of_an_older_set() -> None:
    b = elementwise.network(WRITERS["Mish"], 0)
    b.OPSET = 17  # type: ignore[misc]
    with pytest.raises(Rejected, match="no Mish in operator set 17"):
        network_in(b.to_bytes())


@NAME
def test_a_value_that_overflows_is_refused(tmp_path: Path, name: str) -> None:
    def write(b: OnnxBuilder, x: str, made: str) -> str:
        return WRITERS[name](b, b.affine(b.silu(x), "mul", np.float32(2.0**123)), made)

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


@pytest.mark.parametrize("z", [Fraction(k, 7) for k in (7, 8, 9, 11, 13, 14)])
def test_the_logarithm(z: Fraction) -> None:
    low, high = soft.logarithm(z)
    with mpmath.workdps(80):
        exact = mpmath.log(mpmath.mpf(z.numerator) / z.denominator)
        assert mpmath.mpf(low.numerator) / low.denominator <= exact
        assert exact <= mpmath.mpf(high.numerator) / high.denominator
    assert high - low <= Fraction(1, 10**49)


def narrow(name: str) -> object:
    """As if every slope were the one in the middle of the range."""
    slopes = soft.KINDS[name].slopes

    def made(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
        return slopes(middle, middle)

    return made


@NAME
@pytest.mark.parametrize("part", ["slopes", "error"])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, part: str
) -> None:
    changes = {"error": Fraction(1, 16), "also": Fraction(0)}
    if part == "slopes":
        changes = {"slopes": narrow(name.lower())}  # type: ignore[dict-item]
    elementwise.weaker(monkeypatch, name.lower(), **changes)
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(WRITERS[name], tmp_path, seed)
