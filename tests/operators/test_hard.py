"""HardSwish as one operator and as a product, and HardSigmoid of any constants."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.affine import AffineKind
from lastbit.operators.hard import SIXTH
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.network import Node
from lastbit_check.operators import hard
from lastbit_check.operators.curves import CurveKind, Family
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import built, subject_of


def swish(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("HardSwish", [x], name)


def sigmoid(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("HardSigmoid", [x], name, alpha=float(SIXTH), beta=0.5)


def product(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Mul", [sigmoid(b, x, f"{name}.hard"), x], name)


def line(alpha: float | None, beta: float, b: OnnxBuilder, x: str, name: str) -> str:
    given = {} if alpha is None else {"alpha": alpha}
    return b.operator("HardSigmoid", [x], name, beta=beta, **given)


LINES = {
    "default": partial(line, None, 0.5),
    "falling": partial(line, -0.7, 0.3),
    "plain": partial(line, 1.0, 0.0),
    "steep": partial(line, 3.5, -2.0),
}
WRITERS = {"swish": swish, "sigmoid": sigmoid, "product": product, **LINES}
WRITE = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@WRITE
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.every_reader_computes_the_same(write, tmp_path)


@WRITE
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int, write: elementwise.Write) -> None:
    elementwise.bounds_hold_under_attack(write, tmp_path, seed)


@WRITE
@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.02)


@WRITE
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def test_the_product_is_the_operator(tmp_path: Path) -> None:
    one, other = (elementwise.subject(w, tmp_path, 1) for w in (swish, product))
    assert [n.op for n in one.network.normal.nodes] == [n.op for n in other.network.normal.nodes]
    assert one.derived.claims == other.derived.claims


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.5), (1e-9, 0.5), (2.0, 1e8)])
def test_other_parameters_are_refused(tmp_path: Path, alpha: float, beta: float) -> None:
    write = partial(line, alpha, beta)
    with pytest.raises(Exception, match="HardSigmoid with alpha"):
        subject_of(*built(elementwise.network(write, 0), tmp_path))


def test_a_product_with_another_line_is_a_gate() -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Mul", [line(0.25, 0.5, b, x, f"{name}.line"), x], name)

    nodes = network_in(elementwise.network(write, 0).to_bytes()).nodes
    assert {"gate", "line"} <= {n.op for n in nodes}


def curve(a: float, b: float, units: float = 4) -> CurveKind:
    parameters = tuple(np.full(1, v, np.float32) for v in (a, b, units))
    return hard.line(Node("y", "line", ("x",), (1, 1, 1), parameters=parameters))


@pytest.mark.parametrize("seed", range(40))
def test_values_and_slopes_of_a_line_are_enclosed(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (float(np.float32(v)) for v in (random.normal() * 2.0 ** random.integers(-9, 9),
                                           random.normal()))  # fmt: skip
    kind, e = curve(a, b), int(random.integers(10, 40))
    spread = 2.0**e / abs(a) * random.choice([0.1, 1.0, 4.0])
    ends = np.sort(np.rint(random.normal(size=(2, 1, 8, 1, 1)) * spread), 0)
    (low, high), (least, most) = (
        [np.ldexp(v.n, -v.e) for v in f(Fix(ends[0], e), Fix(ends[1], e))]
        for f in (kind.values, kind.slopes)
    )
    for share in np.linspace(0, 1, 17):
        z = np.ldexp(np.rint(ends[0] + (ends[1] - ends[0]) * share), -e).astype("g")
        y = np.clip(a * z + b, 0, 1)
        assert np.all((low <= y) & (y <= high))
        slope = np.where((a * z + b > 0) & (a * z + b < 1), a, 0.0)
        assert np.all((least <= slope) & (slope <= most))


def test_what_a_line_may_round_is_charged() -> None:
    def units(alpha: float, *steps: tuple[AffineKind, float]) -> float:
        b = OnnxBuilder()
        x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
        for how, value in steps:
            x = b.affine(x, how, np.float32(value))
        made = line(alpha, 0.5, b, x, "y")
        b.softmax(b.dense(b.mean(made), np.eye(2), np.zeros(2)))
        return float(network_in(b.to_bytes()).by_name["y"].parameters[2][0])

    assert units(0.25) == np.ceil(2.5 + (2 * 2 + 2) * 1.5)
    assert units(0.25, ("mul", 0.7)) == np.ceil(2.5 + (2 * 3 + 2) * 1.5)
    assert units(1.0, ("add", 8.0)) == np.ceil(2.5 + 6 * 1.5 + 8 + 0.5 + 1.5)


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


SLOPES = {op: kind.slopes for op, kind in hard.KINDS.items() if isinstance(kind, CurveKind)}


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


@pytest.mark.parametrize("part", ["slopes", "error"])
def test_a_weaker_line_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def weak(node: Node) -> CurveKind:
        kind = hard.line(node)

        def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
            middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
            return kind.slopes(middle, middle)

        less = {"slopes": slopes} if part == "slopes" else {"error": Fraction(1, 16)}
        return elementwise.changed(kind, **less)

    monkeypatch.setitem(elementwise.KINDS, "line", Family(weak))
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(LINES["default"], tmp_path, seed)
