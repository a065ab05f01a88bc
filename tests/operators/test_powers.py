"""Powers, reciprocals, constants by a tensor, and quotients of two tensors."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.network import Node
from lastbit_check.operators import powers
from lastbit_check.operators.curves import CurveKind, Family
from lastbit_check.operators.forms import Bound, Change, Made, Value
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.quotients import QuotientKind
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import assault, built, random_hints, subject_of


def raised(n: float, b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Pow", [x, b.constant(f"{name}.n", np.float32(n))], name)


def small(b: OnnxBuilder, x: str, name: str) -> str:
    """Between -1 and 1."""
    return b.operator("Tanh", [x], f"{name}.tanh")


def power(n: float, b: OnnxBuilder, x: str, name: str) -> str:
    return raised(n, b, small(b, x, name), name)


def product(n: int, b: OnnxBuilder, x: str, name: str) -> str:
    """x x ... x, one after the other."""
    y = x = small(b, x, name)
    for k in range(n - 1):
        y = b.operator("Mul", [y, x], f"{name}.{k}" if k < n - 2 else name)
    return y


def positive(b: OnnxBuilder, x: str, name: str, least: float = 0.5) -> str:
    x = b.operator("Tanh", [x], f"{name}.small")
    return b.affine(b.operator("Mul", [x, x], f"{name}.square"), "add", np.float32(least))


def reciprocal(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Reciprocal", [positive(b, x, name)], name)


def inverse_power(b: OnnxBuilder, x: str, name: str) -> str:
    return raised(-1.0, b, positive(b, x, name), name)


def over(b: OnnxBuilder, x: str, name: str) -> str:
    """A constant by a negative number."""
    below = b.operator("Neg", [positive(b, x, name, 1.0)], f"{name}.below")
    return b.operator("Div", [b.constant(f"{name}.c", np.float32(-1.7)), below], name)


def quotient(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Div", [x, positive(b, x, name, 1.0)], name)


def scaled_quotient(b: OnnxBuilder, x: str, name: str) -> str:
    """With factors on both sides that may be moved to the other one."""
    y = b.affine(positive(b, x, name, 1.0), "mul", np.float32(1.7))
    y = b.affine(y, "mul", np.float32(0.9))
    return b.operator("Div", [b.affine(x, "mul", np.float32(1.3)), y], name)


def by_a_gate(b: OnnxBuilder, x: str, name: str) -> str:
    """By one number for each channel."""
    pooled = b.operator("GlobalAveragePool", [x], f"{name}.pooled")
    s = b.affine(b.operator("Sigmoid", [pooled], f"{name}.s"), "add", np.float32(0.5))
    return b.operator("Div", [x, s], name)


WRITERS = {
    **{f"power-{n}": partial(power, n) for n in (1, 2, 3, 4)},
    **{f"product-{n}": partial(product, n) for n in (2, 3, 4)},
    "reciprocal": reciprocal,
    "inverse-power": inverse_power,
    "over": over,
    "quotient": quotient,
    "scaled": scaled_quotient,
    "gate": by_a_gate,
}
ALL = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
SOME = pytest.mark.parametrize(
    "name", ["power-2", "power-3", "reciprocal", "over", "quotient", "scaled", "gate"]
)
READ = pytest.mark.parametrize("name", ["power-2", "reciprocal", "over", "quotient", "gate"])


@READ
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, name: str) -> None:
    elementwise.every_reader_computes_the_same(WRITERS[name], tmp_path)


@SOME
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int, name: str) -> None:
    bounds_hold_under_attack(WRITERS[name], tmp_path, seed)


def bounds_hold_under_attack(write: elementwise.Write, folder: Path, seed: int) -> None:
    """From good hints, and from any of those that show that no divisor is 0."""
    model, made = built(elementwise.network(write, seed), folder)
    assault(subject_of(model, made), seed)
    good, hostile = hints_for(made), random_hints(made.normal, seed)
    last = [n.name for n in made.normal.computed if n.op in ("power", "reciprocal", "quotient")]
    for names in (made.normal.by_name, last):
        slopes = {**good.slopes, **{k: v for k, v in hostile.slopes.items() if k in names}}
        boxes = good.boxes | {k for k in hostile.boxes if k in names}
        try:
            found = subject_of(model, made, Hints(slopes, boxes, hostile.bases))
        except Rejected as error:
            assert error.rule == "finite.values"
            continue
        assault(found, seed)


@pytest.mark.parametrize(("name", "least"), [("power-2", 1e-3), ("over", 3e-4), ("gate", 5e-6)])
def test_a_bound_says_something(tmp_path: Path, name: str, least: float) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(WRITERS[name], tmp_path, least)


@ALL
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_products_are_the_power(tmp_path: Path, n: int) -> None:
    one, other = (
        elementwise.subject(w, tmp_path, 1) for w in (partial(power, n), partial(product, n))
    )
    kinds = [[n.op for n in s.network.normal.nodes if n.op != "power"] for s in (one, other)]
    assert kinds[0] == kinds[1]
    assert one.derived.claims == other.derived.claims


@pytest.mark.parametrize("n", [0.0, 0.5, -2.0, 2.5, 5.0])
def test_other_powers_are_refused(n: float) -> None:
    with pytest.raises(Rejected, match=rf"by {n}, not by one"):
        network_in(elementwise.network(partial(raised, n), 0).to_bytes())


def test_a_power_of_several_exponents_is_refused() -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Pow", [x, b.constant(f"{name}.n", np.array([[[2.0]], [[3.0]]]))], name)

    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
    b.softmax(b.dense(b.mean(write(b, x, "y")), np.eye(2), np.zeros(2)))
    with pytest.raises(Rejected, match="several numbers"):
        network_in(b.to_bytes())


def plain(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Reciprocal", [x], name)


def nearly(b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("Div", [x, positive(b, x, name, 2.0**-30)], name)


def large(b: OnnxBuilder, x: str, name: str) -> str:
    far = b.affine(b.operator("Sigmoid", [x], f"{name}.s"), "add", np.float32(2.0**25))
    return b.operator("Div", [x, far], name)


@pytest.mark.parametrize("write", [plain, nearly, large])
def test_a_divisor_that_may_be_0_or_huge_is_refused(
    tmp_path: Path, write: elementwise.Write
) -> None:
    with pytest.raises(Rejected, match="a divisor may be 0, or beyond"):
        elementwise.subject(write, tmp_path, 0)


def test_a_quotient_of_quotients_is_refused() -> None:
    """XLA makes (a / b) / c a / (b c), and a / (b / c) a c / b."""

    def first(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Div", [quotient(b, x, f"{name}.x"), positive(b, x, name, 1.0)], name)

    def second(b: OnnxBuilder, x: str, name: str) -> str:
        y = b.affine(reciprocal(b, x, f"{name}.y"), "mul", np.float32(2))
        return b.operator("Div", [x, y], name)

    def inverse(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Reciprocal", [reciprocal(b, x, f"{name}.y")], name)

    for write in (first, second, inverse):
        with pytest.raises(Rejected, match="of a quotient"):
            network_in(elementwise.network(write, 0).to_bytes())


def test_factors_that_are_too_large_to_be_moved_are_refused() -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return raised(2, b, b.affine(x, "mul", np.float32(2.0**9)), name)

    with pytest.raises(Rejected, match="factors beyond"):
        network_in(elementwise.network(write, 0).to_bytes())


@pytest.mark.parametrize("c", [1e-9, 1e9])
def test_constants_that_are_too_small_or_large_are_refused(c: float) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return b.operator("Div", [b.constant(f"{name}.c", np.float32(c)), positive(b, x, name)],
                          name)  # fmt: skip

    with pytest.raises(Rejected, match="of constants that are not between"):
        network_in(elementwise.network(write, 0).to_bytes())


def curve(op: str, own: float) -> CurveKind:
    parameters = tuple(np.full(1, v, np.float32) for v in (own, 0, 1))
    made = powers.power_curve if op == "power" else powers.reciprocal_curve
    return made(Node("y", op, ("x",), (1, 1, 1), parameters=parameters))


@pytest.mark.parametrize("seed", range(40))
def test_values_and_slopes_are_enclosed(seed: int) -> None:
    random = np.random.default_rng(seed)
    op, own = [("power", 2), ("power", 3), ("power", 4), ("reciprocal", -1.7)][seed % 4]
    e, spread = int(random.integers(10, 40)), random.choice([0.01, 1.0, 50.0])
    ends = np.sort(np.rint(random.normal(size=(2, 1, 8, 1, 1)) * spread * 2.0**e), 0)
    if op == "reciprocal":
        ends = np.sort(np.abs(ends) + 2.0 ** (e - 3), 0) * random.choice([1.0, -1.0])
        ends = np.sort(ends, 0)
    kind = curve(op, own)
    (low, high), (least, most) = (
        [np.ldexp(v.n, -v.e) for v in f(Fix(ends[0], e), Fix(ends[1], e))]
        for f in (kind.values, kind.slopes)
    )
    c = float(np.float32(own))
    for share in np.linspace(0, 1, 17):
        z = np.ldexp(np.clip(np.rint(ends[0] + (ends[1] - ends[0]) * share), *ends), -e)
        z = z.astype("g")
        y, slope = (z**own, own * z ** (own - 1)) if op == "power" else (c / z, -c / z**2)
        assert np.all((low <= y) & (y <= high))
        assert np.all((least <= slope) & (slope <= most))


def narrow(kind: CurveKind) -> object:
    """As if every slope were the one in the middle of the range."""

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
        return kind.slopes(middle, middle)

    return slopes


@pytest.mark.parametrize(
    ("name", "part"), [("power-3", "slopes"), ("power-3", "error"), ("over", "error")]
)
def test_a_weaker_curve_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, part: str
) -> None:
    op = "power" if name == "power-3" else "reciprocal"
    right = powers.power_curve if op == "power" else powers.reciprocal_curve

    def weak(node: Node) -> CurveKind:
        kind = right(node)
        less = {"slopes": narrow(kind)} if part == "slopes" else {"error": Fraction(1, 16)}
        return elementwise.changed(kind, **less)

    monkeypatch.setitem(elementwise.KINDS, op, Family(weak))
    with pytest.raises(AssertionError):
        for seed in range(6):
            bounds_hold_under_attack(WRITERS[name], tmp_path, seed)


class WithoutRoundings(QuotientKind):
    """No quotient rounds."""

    def value(self, setting: Setting, sources: list[Value], spread: Fix) -> Made:
        made = super().value(setting, sources, spread)
        return made._replace(noise=Fix(0 * made.noise.n, made.noise.e))


class OfTheFirst(QuotientKind):
    """As if the divisor did not change."""

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound]) -> Change:
        return super().change(setting, sources, [moves[0], elementwise.still(moves[1])])


@pytest.mark.parametrize("kind", [WithoutRoundings(), OfTheFirst()])
def test_a_weaker_quotient_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: QuotientKind
) -> None:
    monkeypatch.setitem(elementwise.KINDS, "quotient", kind)
    with pytest.raises(AssertionError):
        for seed in range(6):
            bounds_hold_under_attack(by_a_gate, tmp_path, seed)
