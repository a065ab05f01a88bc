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
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, Pass, derive
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.layers import Layer, products
from lastbit_check.network import Node, Norm, Shape, Weights, exact
from lastbit_check.patches import FirstLayers
from soundness.curved import SIDE, based, two_curved_layers
from soundness.harness import assault, built, flipped, run, subject_of, ways


class _Separable(Pass):
    """The checker's walk without the first layers' exact form."""

    def first_layers(self) -> None:
        pass


def separable(model: bytes, hints: Hints) -> Derived:
    return _Separable(model, hints).run()


@pytest.mark.parametrize("after", ["", "curved"])
@pytest.mark.parametrize("seed", range(4))
def test_no_execution_exceeds_it(tmp_path: Path, seed: int, after: str) -> None:
    model, network = built(two_curved_layers(seed, after=after), tmp_path)
    hints = based(network)
    subject = subject_of(model, network, hints)
    assert subject.derived.upper < separable(model, hints).upper < 1
    assault(subject, seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_climb_over_images_stays_below_and_comes_near(tmp_path: Path, seed: int) -> None:
    """One channel: few slopes to serve at once, so that a simple search comes within a factor."""
    builder = two_curved_layers(seed, channels=1, stride=1 + seed % 2)
    model, network = built(builder, tmp_path)
    derived = derive(model, based(network))
    c, j, pixel = derived.worst

    def moved(image: np.ndarray) -> float:
        z = [
            execute_float64(network, v)[1][network.logits].reshape(-1)
            for v in (image, flipped(network, image, pixel))
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
    assert Fraction(best) <= derived.logits <= 8 * Fraction(best)


@pytest.mark.parametrize(("row", "column", "units"), [(4, 4, 1), (3, 4, 2), (0, 7, 1), (5, 3, 4)])
@pytest.mark.parametrize("seed", range(2))
def test_it_is_the_largest_of_all_ends_of_the_slopes(
    seed: int, row: int, column: int, units: int
) -> None:
    """Against all 2^(Q + P) ends, channel by channel, in float64 of few bits."""
    random = np.random.default_rng(seed)

    def ints(*shape: int, most: int = 7) -> Fix:
        return Fix(random.integers(-most, most + 1, shape).astype(np.float64), 0)

    def layer(groups: int, stride: int, source: Shape) -> Layer:
        w, none = ints(2, 1, 3, 3).n, ints(2, 1, 1, 1, most=0)
        one = exact(np.ones(2, np.float32))
        alone, steps, pads = Norm(one, one, one, one), (stride, stride), (1, 1, 1, 1)
        no_bias = np.zeros(2, np.float32)
        conv = Weights(w.astype(np.float32), no_bias, alone, steps, pads, groups)
        made = products(conv, (2, 4, 4), source)
        made.data = w.ravel()[made.data]
        return Layer(made, 3, 0 * made.data, none, none, 1, 9, 1, (2, 4, 4), source)

    def slopes() -> tuple[Fix, Fix]:
        low, width = ints(2, 4, 4, 1).n, np.abs(ints(2, 4, 4, 1).n)
        return Fix(low, enclosure.BITS), Fix(low + width, enclosure.BITS)

    first, second = layer(1, 2, (1, 8, 8)), layer(2, 1, (2, 4, 4))
    slopes1, slopes2, a = slopes(), slopes(), ints(2, 4, 4, 1)
    names = [("conv", "linear"), ("stem", "silu"), ("depthwise", "linear"), ("filtered", "silu")]
    nodes = [Node(name, op, (), (2, 4, 4)) for name, op in names]
    linear = {"conv": first, "depthwise": second}
    layers = FirstLayers(nodes, linear, Hints({}), Fraction(-1, 255))
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
    hints = based(network)
    subject = subject_of(model, network, hints)
    assert subject.derived.upper == separable(model, hints).upper, why
    assault(subject, 0)


def test_hints_cannot_pass_a_wrong_chain_off_as_the_first_layers(tmp_path: Path) -> None:
    """A base that is not the second SiLU: no exact form, whatever the pattern around it."""
    model, network = built(two_curved_layers(1), tmp_path)
    for name in ("stem", "depthwise", "conv", "mixed"):
        hints = replace(based(network), bases=frozenset({name}))
        assert derive(model, hints).upper == separable(model, hints).upper
        assault(subject_of(model, network, hints), 1)


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_group_bounds_how_far_an_execution_is_off(tmp_path: Path, seed: int) -> None:
    model, network = built(two_curved_layers(seed, after="curved"), tmp_path)
    subject = subject_of(model, network, based(network))
    random, some = np.random.default_rng(seed), ways(seed)
    for _ in range(12):
        image = random.integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8)
        _, exact = execute_float64(network, image)
        subject.check_exact_group(run(network, image, next(some)), exact)
