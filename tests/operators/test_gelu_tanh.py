"""Gelu by the hyperbolic tangent: as one operator, and as exporters write it."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.gelu_tanh import GeluTanh
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.operators import gelu_tanh
from lastbit_check.operators.curves import Family
from lastbit_check.verdict import Rejected
from operators import elementwise

ROOT, CUBED = float(np.float32((2 / np.pi) ** 0.5)), float(np.float32(0.044715))


def operator(b: OnnxBuilder, x: str, name: str) -> str:
    b.OPSET = 20  # type: ignore[misc]
    return b.operator("Gelu", [x], name, approximate="tanh")


def parts(
    halved: str, b: OnnxBuilder, x: str, name: str, *, root: float = ROOT, cubed: float = CUBED,
    one: float = 1.0, of: float = 0.0, power: float = 3.0, products: bool = False,
) -> str:  # fmt: skip
    """x (1 + tanh(root (x + cubed x^3))), halved somewhere; by a power or by products."""

    def made(op: str, part: str, *xs: str) -> str:
        return b.operator(op, [*xs], f"{name}.{part}")

    def by(op: str, part: str, x: str, value: float) -> str:
        return made(op, part, x, b.constant(f"{name}.{part}.by", np.float32(value)))

    if products:
        cube = made("Mul", "cube", made("Mul", "square", x, x), x)
    else:
        cube = by("Pow", "cube", x, power)
    inner = made("Add", "inner", x, by("Mul", "scaled", cube, cubed))
    more = by("Add", "more", made("Tanh", "tanh", by("Mul", "argument", inner, root)), one)
    x = by("Add", "moved", x, of) if of else x
    match halved:
        case "last":
            return by("Mul", "halved", made("Mul", "twice", x, more), 0.5)
        case "first":
            return made("Mul", "made", by("Mul", "half", x, 0.5), more)
        case "between":
            return made("Mul", "made", x, by("Mul", "half", more, 0.5))
        case _:
            return made("Mul", "made", x, more)


WRITERS = {
    "operator": operator,
    **{name: partial(parts, name) for name in ("last", "first", "between", "twice")},
    "products": partial(parts, "last", products=True),
}
ALL = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
SOME = pytest.mark.parametrize("name", ["operator", "last", "twice"])


@pytest.mark.parametrize("name", ["operator", "products", "twice"])
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, name: str) -> None:
    elementwise.every_reader_computes_the_same(WRITERS[name], tmp_path)


@SOME
@pytest.mark.parametrize(("seed", "rate"), [(0, 0.0), (1, 1.0), (2, -1.0)])
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rate: float, name: str
) -> None:
    """By functions that use up nearly all that is assumed."""
    elementwise.wrong(monkeypatch, GeluTanh, 9 * rate, lambda x, _: np.abs(x))
    elementwise.bounds_hold_under_attack(WRITERS[name], tmp_path, seed)


@SOME
@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, name: str) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(WRITERS[name], tmp_path, 0.05)


@ALL
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def test_the_products_are_the_operator(tmp_path: Path) -> None:
    one, *others = (
        elementwise.subject(WRITERS[name], tmp_path, 1)
        for name in ("operator", "last", "first", "between", "products")
    )
    for other in others:
        kinds = [[n.op for n in s.network.normal.nodes] for s in (one, other)]
        assert kinds[0] == kinds[1]
        assert one.derived.claims == other.derived.claims


OTHER = [{"root": 0.8}, {"cubed": 0.0447}, {"one": 1.5}, {"of": 0.25}, {"power": 2.0}]


@pytest.mark.parametrize("other", OTHER, ids=lambda other: next(iter(other)))
def test_what_is_no_gelu_is_a_gate(other: dict[str, float]) -> None:
    write = partial(parts, "last", **other)
    ops = {n.op for n in network_in(elementwise.network(write, 0).to_bytes()).nodes}
    assert {"gate", "tanh", "power"} <= ops
    assert "gelutanh" not in ops


@pytest.mark.parametrize(("name", "scale"), [("last", 1), ("twice", 2)])
def test_a_constant_that_is_folded_is_charged(name: str, scale: int) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
    for _ in range(3):
        x = b.affine(x, "mul", np.float32(0.7))
    made = WRITERS[name](b, x, "y")
    b.softmax(b.dense(b.mean(made), np.eye(2), np.zeros(2)))
    node = network_in(b.to_bytes()).by_name[made]
    assert node.op == "gelutanh"
    folded = np.ceil((2 * 5 + 2) * 0.7) * scale
    assert [v.tolist() for v in node.parameters] == [[folded] * 2, [scale] * 2]


def test_factors_that_are_too_large_to_be_cubed_are_refused() -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return operator(b, b.affine(x, "mul", np.float32(2.0**17)), name)

    with pytest.raises(Rejected, match="factors beyond"):
        network_in(elementwise.network(write, 0).to_bytes())


def test_a_value_whose_cube_may_overflow_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return operator(b, b.affine(b.silu(b.affine(x, "mul", np.float32(2.0**41))), "mul",
                                    np.float32(1.0)), name)  # fmt: skip

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


def narrow(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if every slope were the one in the middle of the range."""
    middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
    return gelu_tanh.PLAIN.slopes(middle, middle)


@pytest.mark.parametrize("change", [{"slopes": narrow}, {"error": Fraction(1, 16)}])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    def weak(node: object) -> object:
        return elementwise.changed(gelu_tanh.curve(node), folds=False, **change)  # type: ignore[arg-type]

    monkeypatch.setitem(elementwise.KINDS, "gelutanh", Family(weak))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(WRITERS["first"], tmp_path, seed)
