"""Gelu as one operator and as exporters write it, and Erf."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import LastbitError
from lastbit.graph import OnnxBuilder
from lastbit.operators.gelu import Erf, Gelu
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.operators import gelu
from lastbit_check.operators.curves import Family
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import built, subject_of

ROOT, ONE, HALF = np.float32(2**0.5), np.float32(1), np.float32(0.5)


def operator(b: OnnxBuilder, x: str, name: str) -> str:
    b.OPSET = 20  # type: ignore[misc]
    return b.operator("Gelu", [x], name)


def more(b: OnnxBuilder, x: str, name: str, root: np.float32 = ROOT) -> str:
    """1 + Erf(x / sqrt 2)."""
    error = b.operator("Erf", [b.affine(x, "div", root)], f"{name}.erf")
    return b.affine(error, "add", ONE)


def twice(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Mul", [x, more(b, x, name)], name)


def halved_last(b: OnnxBuilder, x: str, name: str) -> str:
    """As PyTorch's exporter does."""
    y = twice(b, x, f"{name}.twice")
    return b.operator("Mul", [y, b.constant(f"{name}.half", HALF)], name)


def halved_first(b: OnnxBuilder, x: str, name: str) -> str:
    s = more(b, x, name)
    return b.operator("Mul", [b.affine(x, "mul", HALF), s], name)


def halved_between(b: OnnxBuilder, x: str, name: str) -> str:
    """With a product in the place of the division."""
    error = b.operator("Erf", [b.affine(x, "mul", np.float32(0.5**0.5))], f"{name}.erf")
    half = b.affine(b.affine(error, "add", ONE), "mul", HALF)
    return b.operator("Mul", [half, x], name)


def erf(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Erf", [x], name)


ALL = pytest.mark.parametrize(
    "write", [operator, twice, halved_last, halved_first, halved_between, erf]
)
SOME = pytest.mark.parametrize("write", [halved_last, twice, erf])


@ALL
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@SOME
@pytest.mark.parametrize(("seed", "rate"), [(0, 0.0), (1, 1.0), (2, -1.0), (3, 1.0)])
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    rate: float,
    write: elementwise.Write,
) -> None:
    """By functions that use up nearly all that is assumed."""
    elementwise.wrong(monkeypatch, Erf, 18 * rate, lambda _, y: np.ones_like(y))
    elementwise.wrong(monkeypatch, Gelu, 12 * rate, lambda x, _: np.abs(x))
    elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@SOME
@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.05)


@ALL
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def test_the_products_are_the_operator(tmp_path: Path) -> None:
    one, *others = (
        elementwise.subject(w, tmp_path, 1)
        for w in (operator, halved_last, halved_first, halved_between)
    )
    for other in others:
        kinds = [[n.op for n in s.network.normal.nodes] for s in (one, other)]
        assert kinds[0] == kinds[1]
        assert one.derived.claims == other.derived.claims


def test_what_is_no_gelu_is_a_gate(tmp_path: Path) -> None:
    def other_root(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Mul", [x, more(b, x, name, np.float32(1.5))], name)

    def of_another(b: OnnxBuilder, x: str, name: str) -> str:
        y = b.affine(x, "add", np.float32(0.25))
        return b.operator("Mul", [y, more(b, x, name)], name)

    def other_one(b: OnnxBuilder, x: str, name: str) -> str:
        error = b.operator("Erf", [b.affine(x, "div", ROOT)], f"{name}.erf")
        return b.operator("Mul", [x, b.affine(error, "add", np.float32(2))], name)

    def thirds(b: OnnxBuilder, x: str, name: str) -> str:
        s = more(b, x, name)
        return b.operator("Mul", [b.affine(x, "mul", np.float32(0.3)), s], name)

    for write in (other_root, of_another, other_one, thirds):
        nodes = network_in(elementwise.network(write, 0).to_bytes()).nodes
        assert {"gate", "erf"} <= {n.op for n in nodes}
        assert "gelu" not in {n.op for n in nodes}
        elementwise.bounds_hold_under_attack(write, tmp_path, 0)


@pytest.mark.parametrize(("write", "scale"), [(halved_last, 1), (twice, 2)])
def test_a_root_that_is_folded_is_charged(write: elementwise.Write, scale: int) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
    for _ in range(3):
        x = b.affine(x, "mul", np.float32(0.7))
    b.softmax(b.dense(b.mean(write(b, x, "y")), np.eye(2), np.zeros(2)))
    node = network_in(b.to_bytes()).by_name["y"]
    assert [v.tolist() for v in node.parameters] == [[3 * scale] * 2, [scale] * 2]  # (2 5 + 2) / 4


def test_an_approximation_that_is_none_of_the_standard_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        b.OPSET = 20  # type: ignore[misc]
        return b.operator("Gelu", [x], name, approximate="erf")

    with pytest.raises(LastbitError, match="approximate"):
        subject_of(*built(elementwise.network(write, 0), tmp_path))


def test_a_value_that_overflows_before_it_is_halved_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return operator(b, b.affine(b.silu(x), "mul", np.float32(2.0**123)), name)

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


def narrow(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if every slope were the one in the middle of the range."""
    middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
    return gelu.PLAIN.slopes(middle, middle)


@pytest.mark.parametrize("change", [{"slopes": narrow}, {"error": Fraction(1, 16)}])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    def weak(node: object) -> object:
        return elementwise.changed(gelu.curve(node), folds=False, **change)  # type: ignore[arg-type]

    monkeypatch.setitem(elementwise.KINDS, "gelu", Family(weak))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(halved_first, tmp_path, seed)
