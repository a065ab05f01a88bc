"""HardSwish as one operator and as a product, and HardSigmoid."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.hard import SIXTH
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.operators.hard import KINDS
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import built, subject_of


def swish(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("HardSwish", [x], name)


def sigmoid(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("HardSigmoid", [x], name, alpha=float(SIXTH), beta=0.5)


def product(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Mul", [sigmoid(b, x, f"{name}.hard"), x], name)


WRITE = pytest.mark.parametrize("write", [swish, sigmoid, product])


@WRITE
def test_every_reader_computes_the_same(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@WRITE
@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_under_attack(tmp_path: Path, seed: int, write: elementwise.Write) -> None:
    elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@WRITE
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.05)


@WRITE
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def test_the_product_is_the_operator(tmp_path: Path) -> None:
    one, other = (elementwise.subject(w, tmp_path, 1) for w in (swish, product))
    assert [n.op for n in one.network.normal.nodes] == [n.op for n in other.network.normal.nodes]
    assert one.derived.claims == other.derived.claims


@pytest.mark.parametrize(("alpha", "beta"), [(None, 0.5), (1 / 6, 0.25), (0.2, None)])
def test_other_parameters_are_refused(
    tmp_path: Path, alpha: float | None, beta: float | None
) -> None:
    given = {k: v for k, v in (("alpha", alpha), ("beta", beta)) if v is not None}

    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("HardSigmoid", [x], name, **given)

    with pytest.raises(Exception, match="not 1/6 and 1/2"):
        subject_of(*built(elementwise.network(write, 0), tmp_path))


def test_hard_swish_is_no_operator_of_an_older_set() -> None:
    b = elementwise.network(swish, 0)
    b.OPSET = 13  # type: ignore[misc]
    with pytest.raises(Rejected, match="no HardSwish in operator set 13"):
        network_in(b.to_bytes())


def test_a_value_that_overflows_before_the_division_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return swish(b, b.affine(b.silu(x), "mul", np.float32(2.0**123)), name)

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


@pytest.mark.parametrize(
    ("constants", "more"), [((), 0), ((-6.0,), 1), ((100.0,), 17), ((40.0, -40.0), 28)]
)
def test_constants_that_may_be_folded_with_the_3_are_charged(
    constants: tuple[float, ...], more: int
) -> None:
    """s + (b + 3) in place of (s + b) + 3, as XLA has it."""
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
    for constant in constants:
        x = b.affine(x, "add", np.float32(constant))
    b.softmax(b.dense(b.mean(swish(b, x, "y")), np.eye(2), np.zeros(2)))
    node = network_in(b.to_bytes()).by_name["y"]
    assert node.parameters[0].tolist() == [more, more]


SLOPES = {op: kind.slopes for op, kind in KINDS.items()}


def narrow(op: str) -> object:
    """As if every slope were the one in the middle of the range."""

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
        return SLOPES[op](middle, middle)

    return slopes


@pytest.mark.parametrize(("op", "write"), [("hardsigmoid", sigmoid), ("hardswish", swish)])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op: str, write: elementwise.Write
) -> None:
    elementwise.weaker(monkeypatch, op, slopes=narrow(op))
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@pytest.mark.parametrize(("op", "write"), [("hardsigmoid", sigmoid), ("hardswish", swish)])
def test_without_its_roundings_it_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op: str, write: elementwise.Write
) -> None:
    elementwise.weaker(monkeypatch, op, error=Fraction(1, 16))
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(write, tmp_path, seed)
