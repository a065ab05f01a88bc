"""Elu, Selu and Celu."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.base import Float64Array
from lastbit.operators.elu import Elu
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.network import Node
from lastbit_check.operators import elu
from lastbit_check.operators.curves import CurveKind, Family
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import built, subject_of


def operator(op: str, b: OnnxBuilder, x: str, name: str, **given: float) -> str:
    return b.operator(op, [x], name, **given)


WRITERS = {
    "elu": partial(operator, "Elu"),
    "small": partial(operator, "Elu", alpha=0.1),
    "negative": partial(operator, "Elu", alpha=-1.5),
    "relu": partial(operator, "Elu", alpha=0.0),
    "selu": partial(operator, "Selu"),
    "other-selu": partial(operator, "Selu", alpha=0.75, gamma=2.0),
    "celu": partial(operator, "Celu", alpha=2.5),
    "sharp-celu": partial(operator, "Celu", alpha=0.25),
}
ALL = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
SOME = pytest.mark.parametrize("name", ["elu", "negative", "selu", "sharp-celu"])


@SOME
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, name: str) -> None:
    elementwise.every_reader_computes_the_same(WRITERS[name], tmp_path)


def size(name: str) -> float:
    """What the assumed error is a multiple of."""
    return {"elu": 1.0, "negative": 1.5, "selu": elu.ALPHA * elu.GAMMA, "sharp-celu": 0.25}[name]


@SOME
@pytest.mark.parametrize(("seed", "rate"), [(0, 0.0), (1, 3.0), (2, -3.0)])
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rate: float, name: str
) -> None:
    """By functions that use up nearly all that is assumed."""

    def below_zero(x: Float64Array, y: Float64Array) -> Float64Array:
        return np.where(x < 0, size(name), 0.0)

    elementwise.wrong(monkeypatch, Elu, rate, below_zero)
    elementwise.bounds_hold_under_attack(WRITERS[name], tmp_path, seed)


@ALL
@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.02)


@ALL
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def curve(a: float, g: float, d: float, folded: float = 0) -> CurveKind:
    parameters = tuple(np.full(1, v, np.float32) for v in (a, g, d, folded))
    return elu.curve(Node("y", "elu", ("x",), (1, 1, 1), parameters=parameters))


CONSTANTS = [(1, 1, 1), (-1.5, 1, 1), (0, 1, 1), (1.6732632, 1.050701, 1), (0.3, 1, 0.3), (4, 1, 4)]


@pytest.mark.parametrize("seed", range(30))
def test_values_and_slopes_are_enclosed(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, g, d = (float(np.float32(v)) for v in CONSTANTS[seed % len(CONSTANTS)])
    kind, e = curve(a, g, d), int(random.integers(10, 40))
    spread = random.choice([0.01, 1.0, 5.0, 60.0])
    ends = np.sort(np.rint(random.normal(size=(2, 1, 8, 1, 1)) * spread * 2.0**e), 0)
    lo, hi = Fix(ends[0], e), Fix(ends[1], e)
    (low, high), (least, most) = (
        [np.ldexp(v.n, -v.e) for v in f(lo, hi)] for f in (kind.values, kind.slopes)
    )
    for share in np.linspace(0, 1, 17):
        z = np.ldexp(np.clip(ends[0] + (ends[1] - ends[0]) * share, *ends), -e).astype("g")
        power = np.exp(np.minimum(z, 0) / d)
        y = np.where(z < 0, a * g * np.expm1(np.minimum(z, 0) / d), g * z)
        slope = np.where(z < 0, a * g / d * power, g)
        assert np.all((low <= y) & (y <= high))
        assert np.all((least <= slope) & (slope <= most))


def test_a_divisor_that_is_folded_is_charged() -> None:
    def folding(write: elementwise.Write) -> float:
        b = OnnxBuilder()
        x = b.conv(b.input_bytes((1, 3, 3)), np.ones((2, 1, 3, 3)))
        for _ in range(3):
            x = b.affine(x, "mul", np.float32(0.7))
        b.softmax(b.dense(b.mean(write(b, x, "y")), np.eye(2), np.zeros(2)))
        return float(network_in(b.to_bytes()).by_name["y"].parameters[3][0])

    assert folding(WRITERS["celu"]) == 2 * (3 + 2) + 2
    assert folding(WRITERS["elu"]) == folding(WRITERS["selu"]) == 0
    assert curve(1, 1, 2, 12).error > curve(1, 1, 2).error


@pytest.mark.parametrize(
    "given", [{"alpha": 2000.0}, {"alpha": 1e-5}, {"gamma": -1.0}, {"gamma": 1e4}]
)
def test_other_constants_are_refused(tmp_path: Path, given: dict[str, float]) -> None:
    write = partial(operator, "Selu", **given)
    with pytest.raises(Exception, match="with alpha"):
        subject_of(*built(elementwise.network(write, 0), tmp_path))


def test_a_celu_by_a_negative_number_is_refused(tmp_path: Path) -> None:
    write = partial(operator, "Celu", alpha=-1.0)
    with pytest.raises(Exception, match="with alpha -1"):
        subject_of(*built(elementwise.network(write, 0), tmp_path))


def test_a_value_that_may_overflow_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return WRITERS["elu"](b, b.affine(b.silu(x), "mul", np.float32(2.0**105)), name)

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


def one_side(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if every slope were the one in the middle of the range."""
    middle = Fix(np.rint(np.ldexp(lo.n, 23 - lo.e) + np.ldexp(hi.n, 23 - hi.e)), 24)
    return curve(1, 1, 1).slopes(middle, middle)


@pytest.mark.parametrize("change", [{"slopes": one_side}, {"error": Fraction(1, 16)}])
def test_a_weaker_rule_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    def weak(node: object) -> object:
        return elementwise.changed(elu.curve(node), **change)  # type: ignore[arg-type]

    monkeypatch.setitem(elementwise.KINDS, "elu", Family(weak))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(WRITERS["elu"], tmp_path, seed)
