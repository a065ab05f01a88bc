"""The bound at an image: no execution leaves it, on the image or on a neighbour.

Networks of every operator, ordinary and adversarial, at images that are attacked; rewritten graphs,
hostile orders; and each charge, taken away, is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.around.bases import bases_of
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit_check.around import at_image as at, walk as walking
from lastbit_check.around.at_image import AtImage, at_image, neighbours
from lastbit_check.around.images import numbers
from lastbit_check.around.linear import Prepared, prepared
from lastbit_check.around.near import Near
from lastbit_check.around.walk import Walk, walk
from lastbit_check.check import network_in
from lastbit_check.network import Network, Node
from lastbit_check.question import LAST_BIT
from lastbit_check.verdict import Rejected
from soundness.attacks import flipped
from soundness.harness import NearlyLinear, built
from soundness.programs import Both, Way, rewritten, ways
from support.arranged import ArrangedNetwork
from support.networks import RandomNetwork
from support.seeds import seeds

IMAGES = 3


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes keep what is known of neighbours."""
    monkeypatch.setattr(Near, "forgotten", lambda self: self)


def start(image: np.ndarray, shape: tuple[int, ...]) -> Near:
    x = numbers(image)
    none = np.zeros(x.size)
    return Near(x, neighbours(x, LAST_BIT, shape), {}, none, none)  # type: ignore[arg-type]


def images_of(shape: tuple[int, ...], seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    found = [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(IMAGES - 1)]
    return [*found, np.zeros(shape, np.uint8)]


def outside(found: Walk, name: str, values: Any, column: int | None) -> float:
    """By how much a node's values leave what is known of them; 0 if they do not."""
    near = found.near[name]
    reference = near.value if column is None else near.value + near.apart[:, column]
    over = np.abs(values[name].reshape(-1).astype(np.longdouble) - reference) - near.radius
    return float(np.max(over))


def assault(
    network: Any,
    seed: int,
    known: Prepared,
    bases: frozenset[str],
    executed: Callable[[int], Iterator[Way]] = ways,
) -> int:
    """Every value of every execution is where it is said to be; how many images say something."""
    both, said = Both(network, known.network), 0
    for image in images_of(network.input_shape, seed):
        try:
            found = walk(known, start(image, known.network.input.shape), bases)
            claim = at_image(known, numbers(image), LAST_BIT, bases)
        except Rejected as error:
            assert error.rule in ("around.radius", "finite.values", "precision"), error
            continue
        said += claim.drift < 1
        place = int(np.random.default_rng(seed).integers(image.size))
        one, two = islice(executed(seed), 2)
        runs = [both.run(x, way) for x in (image, flipped(image, place)) for way in (one, two)]
        for name in found.near:
            for values, column in zip(runs, (None, None, place, place), strict=True):
                assert outside(found, name, values, column) <= 0, (name, column)
        holds(claim, network, known, runs)
    return said


def holds(claim: AtImage, network: Any, known: Prepared, runs: list[Any]) -> None:
    p = [values[network.output].reshape(-1).astype(np.float64) for values in runs]
    z = [values[known.network.logits].reshape(-1).astype(np.float64) for values in runs]
    assert np.max(np.abs(p[0] - p[1])) <= claim.drift
    for a in (0, 1):
        if claim.decided:
            assert z[a].argmax() == p[a].argmax() == claim.label
        for b in (2, 3):
            assert np.max(np.abs(p[a] - p[b])) <= claim.upper
            gaps = [np.delete(z[k][claim.label] - z[k], claim.label) for k in (a, b)]
            assert np.max(np.abs(gaps[0] - gaps[1])) <= claim.logits
            if claim.decided == 2:
                assert z[b].argmax() == p[b].argmax() == claim.label


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("seed", seeds(8, 40))
@pytest.mark.parametrize("kind", [RandomNetwork, NearlyLinear])
@pytest.mark.first_is_quick
def test_no_execution_leaves_it(tmp_path: Path, seed: int, kind: type[RandomNetwork]) -> None:
    model, network = built(kind(seed, adversarial=seed % 4 == 3).b, tmp_path)
    known = prepared(network_in(model))
    names = [*known.settings]
    chosen = np.random.default_rng(seed).random(len(names)) < 0.5
    some = frozenset(name for name, one in zip(names, chosen, strict=True) if one)
    for bases in (frozenset(bases_of(known)), some):
        assault(network, seed, known, bases)


@pytest.mark.usefixtures("remembered")
def test_most_networks_have_a_bound_at_most_images(tmp_path: Path) -> None:
    said = 0
    for seed in range(6):
        model, network = built(RandomNetwork(seed).b, tmp_path)
        known = prepared(network_in(model))
        said += assault(network, seed, known, frozenset(bases_of(known)))
    assert said >= 12


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("seed", seeds(12, 60))
@pytest.mark.first_is_quick
def test_of_any_arrangement_and_any_curve(tmp_path: Path, seed: int) -> None:
    path = ArrangedNetwork(seed).save(tmp_path / "model.onnx")
    try:
        known = prepared(network_in(path.read_bytes()))
    except Rejected:
        return
    bases = frozenset(bases_of(known))
    assault(read_onnx(path), seed, known, bases, executed=rewritten)


def chain(depth: int) -> OnnxBuilder:
    """Convolutions of 3 x 3 places, with the weights that He's rule gives."""
    random, b, channels = np.random.default_rng(0), OnnxBuilder(), 1
    x = b.div(b.input_bytes((1, 8, 8)), 255)
    for _ in range(depth):
        weight = random.normal(0, (2 / (9 * channels)) ** 0.5, (4, channels, 3, 3))
        x, channels = b.silu(b.conv(x, weight, random.normal(0, 0.1, 4), padding=1)), 4
    b.softmax(b.dense(b.mean(x), random.normal(size=(3, 4)), np.zeros(3)))
    return b


@pytest.mark.usefixtures("remembered")
def test_signs_count_from_layer_to_layer_of_a_deep_chain(tmp_path: Path) -> None:
    """What sums of several places read are bases; without them the bound grows by the layer."""
    model, network = built(chain(10), tmp_path)
    known = prepared(network_in(model))
    image = numbers(images_of(network.input_shape, 3)[0])
    drift = at_image(known, image, LAST_BIT, frozenset(bases_of(known))).drift
    assert drift < 1e-4
    assert at_image(known, image, LAST_BIT, frozenset()).drift > 20 * drift
    assault(network, 0, known, frozenset(bases_of(known)))


def trained_like() -> OnnxBuilder:
    """Two convolutions with SiLUs between, and a pool: large enough for roundings to be seen."""
    random = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 6, 6)), 255)
    x = b.silu(b.conv(x, random.normal(size=(4, 1, 3, 3)), random.normal(size=4)))
    x = b.silu(b.conv(x, random.normal(size=(6, 4, 3, 3)) / 2, random.normal(size=6)))
    b.softmax(b.dense(b.mean(x), random.normal(size=(3, 6)), random.normal(size=3)))
    return b


def exceeded(tmp_path: Path) -> bool:
    """Whether some execution of a network is outside of what is said."""
    model, network = built(trained_like(), tmp_path)
    known = prepared(network_in(model))
    both = Both(network, known.network)
    for image in images_of(network.input_shape, 7):
        found = walk(known, start(image, known.network.input.shape), frozenset(bases_of(known)))
        for way in islice(ways(3), 6):
            for place in range(0, image.size, 5):
                values = both.run(flipped(image, place), way)
                if any(outside(found, name, values, place) > 0 for name in found.near):
                    return True
    return False


@pytest.mark.usefixtures("remembered")
def test_nothing_is_exceeded_there(tmp_path: Path) -> None:
    assert not exceeded(tmp_path)


@pytest.mark.usefixtures("remembered")
def test_without_the_rounding_it_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = walking._noise

    def a_tenth(*given: Any) -> Any:
        found, before = noise(*given)
        return found / 10, before

    monkeypatch.setattr(walking, "_noise", a_tenth)
    assert exceeded(tmp_path)


@pytest.mark.usefixtures("remembered")
def test_with_another_reference_it_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at, "_changed", lambda image, _: [image])
    assert exceeded(tmp_path)


@pytest.mark.parametrize("value", [0.0, -1e-9, 1e-9])
def test_at_a_kink_both_sides_are_covered(tmp_path: Path, value: float) -> None:
    """The input of a Relu is 0, or nearly so, at the image; its rounding decides the sign."""
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 1, 2)), np.array([[[[1.0, -1.0]]]]), np.array([value]))
    x = b.operator("Relu", [x], "relu")
    b.softmax(b.dense(x, [[1.0], [-1.0]], [0.5, 0.0]))
    model, network = built(b, tmp_path)
    known = prepared(network_in(model))
    image = np.full((1, 1, 2), 100, np.uint8)
    claim = at_image(known, numbers(image), LAST_BIT, frozenset())
    runs = [Both(network, known.network).run(x, way)
            for x in (image, flipped(image, 1)) for way in islice(ways(1), 2)]  # fmt: skip
    holds(claim, network, known, runs)
    assert 0.9 < claim.logits < 2.1


def test_equal_logits_are_no_answer(tmp_path: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 2, 2))), [[1.0], [1.0]], [0.0, 0.0]))
    model, _ = built(b, tmp_path)
    claim = at_image(prepared(network_in(model)), np.full(4, 7.0), LAST_BIT, frozenset())
    assert claim.decided == 0


def test_a_tie_in_a_window_may_go_to_either(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 2, 2)), 3)
    x = b.operator("MaxPool", [x], "max", kernel_shape=[2, 2])
    b.softmax(b.dense(x, [[1.0], [-1.0]], [0.0, 0.0]))
    model, network = built(b, tmp_path)
    known = prepared(network_in(model))
    image = np.full((1, 2, 2), 10, np.uint8)
    for place in range(4):
        runs = [Both(network, known.network).run(x, way)
                for x in (image, flipped(image, place)) for way in islice(ways(1), 2)]  # fmt: skip
        holds(at_image(known, numbers(image), LAST_BIT, frozenset()), network, known, runs)


def test_a_linear_network_moves_by_its_largest_weight(tmp_path: Path) -> None:
    """Q is known: the weights are powers of two, and nothing rounds."""
    b = OnnxBuilder()
    weights = np.array([[[[0.25, 0.5], [0.125, 0.0]]]])
    x = b.conv(b.input_bytes((1, 2, 2)), weights)
    b.softmax(b.dense(x, [[1.0], [0.0]], [-40.0, 0.0]))
    model, _ = built(b, tmp_path)
    claim = at_image(prepared(network_in(model)), np.full(4, 45.0), LAST_BIT, frozenset())
    assert 0.5 <= claim.logits < 0.5001


def test_logits_that_something_else_reads_keep_their_neighbours(tmp_path: Path) -> None:
    """What is known of them is not forgotten with their last reader."""
    b = OnnxBuilder()
    z = b.dense(b.mean(b.input_bytes((1, 2, 2))), [[4.0], [0.0]], [-600.0, 0.0])
    b.softmax(z)
    model, _ = built(b, tmp_path)
    form = network_in(model)
    other = Node("other", "silu", (form.logits,), form.by_name[form.logits].shape)
    more = Network((*form.computed, other, form.nodes[-1]))
    claim = at_image(prepared(more), np.full(4, 151.0), LAST_BIT, frozenset())
    assert claim.logits >= 1.0
