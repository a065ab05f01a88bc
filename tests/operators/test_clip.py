"""Clip."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Node
from lastbit_check.operators import clip
from lastbit_check.operators.curves import CurveKind, Family
from operators import elementwise
from soundness.harness import built, subject_of


def write(low: float | None, high: float | None, b: OnnxBuilder, x: str, name: str) -> str:
    names = [
        "" if v is None else b.constant(f"{name}.{k}", np.float32(v))
        for k, v in (("low", low), ("high", high))
    ]
    return b.operator("Clip", [x, *names[: 2 if high is not None else low is not None]], name)


BOUNDS = pytest.mark.parametrize(
    "bounds", [(0.0, 6.0), (-1.0, 0.5), (None, 0.3), (-0.2, None), (0.1, 0.9)]
)
Bounds = tuple[float | None, float | None]


@BOUNDS
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, bounds: Bounds) -> None:
    elementwise.every_reader_computes_the_same(partial(write, *bounds), tmp_path)


@BOUNDS
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int, bounds: Bounds) -> None:
    elementwise.bounds_hold_under_attack(partial(write, *bounds), tmp_path, seed)


@pytest.mark.first_is_quick
def test_a_bound_is_not_far_from_what_is_attained(tmp_path: Path) -> None:
    elementwise.a_bound_is_not_far_from_what_is_attained(partial(write, 0.0, 6.0), tmp_path, 0.05)


@BOUNDS
@pytest.mark.first_is_quick
def test_rewritten_graphs_are_matched(tmp_path: Path, bounds: Bounds) -> None:
    elementwise.rewritten_graphs_are_matched(partial(write, *bounds), tmp_path)


def curve(low: float, high: float) -> CurveKind:
    bounds = tuple(np.full(1, v, np.float32) for v in (low, high))
    return clip.curve(Node("y", "clip", ("x",), (1, 1, 1), parameters=bounds))


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 0.5), (2, 3), (-3, -2.5), (0.1, 0.1)])
def test_values_and_slopes_are_enclosed(low: float, high: float) -> None:
    kind, random = curve(low, high), np.random.default_rng(0)
    low, high = float(np.float32(low)), float(np.float32(high))
    ends = np.sort(np.rint(random.normal(size=(2, 400, 1, 1, 1)) * 3 * 2.0**20), 0)
    lo, hi = Fix(ends[0], 20), Fix(ends[1], 20)
    assert np.ldexp(kind.at_zero.n, -kind.at_zero.e) == np.clip(0, low, high)
    least, most = kind.values(lo, hi)
    shallow, steep = kind.slopes(lo, hi)
    for share in np.linspace(0, 1, 9):
        z = np.rint(ends[0] + (ends[1] - ends[0]) * share) / 2**20
        y = np.clip(z, low, high)
        assert np.all((np.ldexp(least.n, -least.e) <= y) & (y <= np.ldexp(most.n, -most.e)))
        step = np.minimum(z + 2.0**-20, ends[1] / 2**20) - z
        rise = np.clip(z + step, low, high) - y
        assert np.all((shallow.n * step <= rise) & (rise <= steep.n * step))


@pytest.mark.parametrize("bounds", [(1.0, 0.5), (3e38, None), (None, -3e38)])
def test_other_bounds_are_refused(tmp_path: Path, bounds: Bounds) -> None:
    with pytest.raises(Exception, match="between"):
        subject_of(*built(elementwise.network(partial(write, *bounds), 0), tmp_path))


def nowhere(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """As if a range were on the side where its middle is."""
    middle = (np.ldexp(lo.n, -lo.e) + np.ldexp(hi.n, -hi.e)) / 2
    slope = Fix(((middle > 0) & (middle < 0.5)).astype(np.float64), 0)
    return slope, slope


def test_a_weaker_rule_is_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Family(lambda node: elementwise.changed(clip.curve(node), slopes=nowhere))
    monkeypatch.setitem(elementwise.KINDS, "clip", weak)
    with pytest.raises(AssertionError):
        for seed in range(6):
            elementwise.bounds_hold_under_attack(partial(write, 0.0, 0.5), tmp_path, seed)
