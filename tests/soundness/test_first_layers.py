"""The first layers' exact form: no image exceeds it, and it is what the ends of slopes allow."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32.executor import execute_float64
from lastbit_check.arithmetic import enclosure
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.derive.conclude import Balance
from lastbit_check.network import Node, Part, Shape
from lastbit_check.operators.kernels import Products, places_of
from lastbit_check.operators.kinds import Setting
from lastbit_check.operators.layers import Layer
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM
from lastbit_check.refine.first_layers import FirstLayers, first_layers
from soundness.attacks import flipped
from soundness.curved import SIDE, based, two_curved_layers
from soundness.harness import Subject, assault, built, subject_of
from soundness.programs import ways

pytestmark = pytest.mark.slow


def separable(subject: Subject, executions: str) -> Fraction:
    """What follows without the exact form of the first layers."""
    return Balance(subject.derivation, executions).claim(lambda _, __: None).upper


@pytest.mark.parametrize("after", ["", "curved"])
@pytest.mark.parametrize("seed", range(4))
def test_no_execution_exceeds_it(tmp_path: Path, seed: int, after: str) -> None:
    model, network = built(two_curved_layers(seed, after=after), tmp_path)
    subject = subject_of(model, network, based(network))
    for executions in EXECUTIONS:
        assert subject.upper(executions) < separable(subject, executions) < 1
    assault(subject, seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_climb_over_images_stays_below_and_comes_near(tmp_path: Path, seed: int) -> None:
    """One channel: few slopes to serve at once, so that a simple search comes within a factor."""
    builder = two_curved_layers(seed, channels=1, stride=1 + seed % 2)
    model, network = built(builder, tmp_path)
    derived = subject_of(model, network, based(network)).derived
    c, j, pixel = derived.claims[SAME_PROGRAM].worst

    def moved(image: np.ndarray) -> float:
        z = [
            execute_float64(network, v)[1][network.logits].reshape(-1)
            for v in (image, flipped(image, pixel))
        ]
        return abs(float((z[1] - z[0])[c] - (z[1] - z[0])[j]))

    random, best = np.random.default_rng(seed), 0.0
    for _ in range(10):
        image = random.integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8)
        value = moved(image)
        for k in [*random.permutation(image.size), *random.permutation(image.size)]:
            for byte in (0, 30, 64, 100, 128, 160, 192, 254):
                tried = image.copy()
                tried.reshape(-1)[k] = byte
                if (other := moved(tried)) > value:
                    image, value = tried, other
        best = max(best, value)
    for executions in EXECUTIONS:
        assert Fraction(best) <= derived.claims[executions].logits <= 8 * Fraction(best)


@pytest.mark.parametrize(("row", "column", "units"), [(4, 4, 1), (3, 4, 2), (0, 7, 1), (5, 3, 4)])
@pytest.mark.parametrize("seed", range(2))
def test_it_is_the_largest_of_all_ends_of_the_slopes(
    seed: int, row: int, column: int, units: int
) -> None:
    """Against all 2^(Q + P) ends, channel by channel, in float64 of few bits."""
    random = np.random.default_rng(seed)

    def ints(*shape: int, most: int = 7) -> Fix:
        return Fix(random.integers(-most, most + 1, shape).astype(np.float64), 0)

    def layer(groups: int, stride: int, source: Shape) -> Products:
        w = ints(2, 1, 3, 3).n
        part = Part("x", w.astype(np.float32), (stride, stride), (1, 1, 1, 1), groups)
        places = places_of(part, (2, 4, 4), source)
        return Products("x", places, w, 3, 0 * w, 0 * w, w != 0)

    def slopes() -> tuple[Fix, Fix]:
        low, width = ints(2, 4, 4, 1).n, np.abs(ints(2, 4, 4, 1).n)
        return Fix(low, enclosure.BITS), Fix(low + width, enclosure.BITS)

    first, second = layer(1, 2, (1, 8, 8)), layer(2, 1, (2, 4, 4))
    slopes1, slopes2, a = slopes(), slopes(), ints(2, 4, 4, 1)
    names = [("conv", "sum"), ("stem", "silu"), ("depthwise", "sum"), ("filtered", "silu")]
    nodes = (Node("image", "input", (), (1, 8, 8)), *(Node(*name, (), (2, 4, 4)) for name in names))
    none = Fix(np.zeros((2, 1, 1, 1)), ZERO_GRID)
    settings = {
        name: Setting(nodes[k], Layer((part,), none, none, none.n, 9, 1, (2, 4, 4)), none, False)
        for k, name, part in ((1, "conv", first), (3, "depthwise", second))
    }
    layers = FirstLayers(nodes, settings, LAST_BIT, Fraction(-1, 255))
    step = np.zeros((1, 8, 8, 1))
    step[0, row, column, 0] = 1
    moved = (first.w @ step.reshape(-1, 1)).reshape(2, 4, 4, 1)
    places = np.argwhere(moved[..., 0].any(0))
    assert len(places) == units
    most = {1: 0.0, -1: 0.0}
    for channel in range(2):
        values: list[float] = []
        for ends in itertools.product((0, 1), repeat=units):
            h = np.zeros((2, 4, 4, 1))
            for (v, w), end in zip(places, ends, strict=True):
                h[channel, v, w] = moved[channel, v, w] * slopes1[end].n[channel, v, w]
            z = (second.w @ h.reshape(-1, 1)).reshape(2, 4, 4, 1)[channel] * a.n[channel]
            both = np.stack([(z * s.n[channel])[z != 0] for s in slopes2])
            choices = np.array([*itertools.product((0, 1), repeat=both.shape[1])])
            values += np.sum(np.where(choices, both[1], both[0]), axis=1).tolist()
        most[1] += max(values)
        most[-1] += max(-v for v in values)
    found = layers.change(a.reshape(-1, 1), (row, column), [slopes1, slopes2])
    assert found == Fraction(max(most.values())) / 255 / Fraction(2) ** (6 + 2 * enclosure.BITS)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"after": "around"}, "the first SiLU has a second reader"),
        ({"stride": 1, "kernel": 5}, "a pixel moves 25 units of the first convolution"),
    ],
)
def test_where_it_does_not_apply_the_separable_bound_stands(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    model, network = built(two_curved_layers(0, **changes), tmp_path)  # pyright: ignore
    subject = subject_of(model, network, based(network))
    for executions in EXECUTIONS:
        assert subject.upper(executions) == separable(subject, executions), why
    assault(subject, 0)


def test_hints_cannot_pass_a_wrong_chain_off_as_the_first_layers(tmp_path: Path) -> None:
    """A base that is not the second SiLU: no exact form, whatever the pattern around it."""
    model, network = built(two_curved_layers(1), tmp_path)
    for name in ("stem", "depthwise", "conv", "mixed"):
        subject = subject_of(model, network, replace(based(network), bases=frozenset({name})))
        assert first_layers(subject.derivation.frame) is None
        for executions in EXECUTIONS:
            assert subject.upper(executions) == separable(subject, executions)
        assault(subject, 1)


@pytest.mark.parametrize("seed", range(4))
def test_how_far_an_execution_is_off_and_how_far_that_differs_between_two(
    tmp_path: Path, seed: int
) -> None:
    model, network = built(two_curved_layers(seed, after="curved"), tmp_path)
    subject = subject_of(model, network, based(network))
    random, some = np.random.default_rng(seed), ways(seed)
    for _ in range(12):
        image = random.integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8)
        place, way = int(random.integers(SIDE * SIDE)), next(some)
        pair = image, flipped(image, place)
        one, two = (subject.run(v, way) for v in pair)
        exact, moved = (execute_float64(network, v)[1] for v in pair)
        subject.check_errors(one, two, exact, moved, place)
