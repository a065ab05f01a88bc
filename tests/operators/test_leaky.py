"""LeakyRelu and PRelu."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Node
from lastbit_check.operators import leaky
from lastbit_check.operators.curves import CurveKind, Family
from lastbit_check.verdict import Rejected
from operators import elementwise
from soundness.harness import built, subject_of


def leaky_relu(alpha: float, b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("LeakyRelu", [x], name, alpha=alpha)


def prelu(slopes: ArrayLike, b: OnnxBuilder, x: str, name: str) -> str:
    return b.operator("PRelu", [x, b.constant(f"{name}.slopes", slopes)], name)


EACH = np.array([0.25, -0.7, 0.0, 1.3]).reshape(4, 1, 1)
WRITE = pytest.mark.parametrize(
    "write",
    [
        pytest.param(partial(leaky_relu, 0.01), id="leaky"),
        pytest.param(partial(leaky_relu, -1.7), id="negative"),
        pytest.param(partial(prelu, np.float32(0.3)), id="scalar"),
        pytest.param(partial(prelu, EACH), id="channels"),
    ],
)


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
    elementwise.a_bound_is_not_far_from_what_is_attained(write, tmp_path, 0.05)


@WRITE
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, write: elementwise.Write) -> None:
    elementwise.rewritten_graphs_are_matched(write, tmp_path)


def curve(*slopes: float) -> CurveKind:
    a, n = np.array(slopes, np.float32), np.full(len(slopes), 2, np.float32)
    return leaky.curve(Node("y", "leakyrelu", ("x",), (len(a), 1, 1), parameters=(a, n)))


@pytest.mark.parametrize("seed", range(40))
def test_values_and_slopes_are_enclosed(seed: int) -> None:
    random = np.random.default_rng(seed)
    a = random.choice([0.01, -0.3, 0.0, 1.0, 3.7, -250.5], 6).astype(np.float32)
    kind, e = curve(*a), int(random.integers(10, 60))
    ends = np.sort(np.rint(random.normal(size=(2, 6, 1, 1, 1)) * 2.0 ** random.integers(1, 40)), 0)
    lo, hi = Fix(ends[0], e), Fix(ends[1], e)
    for k, share in enumerate(np.linspace(0, 1, 9)):
        z = np.clip(np.rint(ends[0] + (ends[1] - ends[0]) * share), *ends)
        y = np.where(z < 0, z * a.reshape(-1, 1, 1, 1).astype(np.longdouble), z)
        low, high = kind.values(lo, hi)
        assert np.all(np.ldexp(low.n, -low.e) <= np.ldexp(y, -e)), k
        assert np.all(np.ldexp(y, -e) <= np.ldexp(high.n, -high.e)), k
        moved = np.clip(z + 1, *ends)
        rise = np.where(moved < 0, moved * a.reshape(-1, 1, 1, 1).astype(np.longdouble), moved) - y
        least, most = kind.slopes(lo, hi)
        step = moved - z
        assert np.all(np.ldexp(least.n, -least.e) * step <= rise)
        assert np.all(rise <= np.ldexp(most.n, -most.e) * step)


def test_only_what_rounds_is_charged() -> None:
    assert curve(0.5, 0.0, -4.0).error == 0
    assert curve(0.5, 0.01).error == 1 / 16  # the least unit
    assert curve(0.5, 3.7).error >= 2 * np.float32(3.7)
    assert curve(0.5, -8.5).gain == 8.5


@pytest.mark.parametrize("slopes", [np.ones((2, 1, 1)), np.ones((4, 6, 5)), np.float32(1e-30)])
def test_other_slopes_are_refused(tmp_path: Path, slopes: ArrayLike) -> None:
    with pytest.raises(Exception, match="slopes"):
        subject_of(*built(elementwise.network(partial(prelu, slopes), 0), tmp_path))


def test_a_product_that_may_overflow_is_refused(tmp_path: Path) -> None:
    def write(b: OnnxBuilder, x: str, name: str) -> str:
        return leaky_relu(1024.0, b, b.affine(x, "mul", np.float32(2.0**112)), name)

    with pytest.raises(Rejected, match="may overflow"):
        elementwise.subject(write, tmp_path, 0)


def one_side(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if no range held 0: the slope of the side where its middle is."""
    above = np.ldexp(lo.n, -lo.e) + np.ldexp(hi.n, -hi.e) > 0
    slope = Fix(np.where(above, 1.0, 0.25), 0)
    return slope, slope


def test_a_weaker_rule_is_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Family(lambda node: elementwise.changed(leaky.curve(node), slopes=one_side))
    monkeypatch.setitem(elementwise.KINDS, "leakyrelu", weak)
    with pytest.raises(AssertionError):
        for seed in range(6):
            write = partial(leaky_relu, 0.25)
            elementwise.bounds_hold_under_attack(write, tmp_path, seed)
