"""Bounds by place: the largest is U, to the last bit; each holds; and the layers add up to R."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32.executor import execute
from lastbit.graph import flip_last_bit, read_onnx
from lastbit.hints import hints_for
from lastbit.report import places
from lastbit.report.layers import layers_of
from lastbit.report.maps import map_of
from lastbit.report.places import bounds_by_place
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, check, proved
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM
from soundness.curved import branched
from support.absorbing import absorber
from support.networks import RandomNetwork


def random_network(seed: int, folder: Path) -> tuple[Path, Derived]:
    model = RandomNetwork(seed).b.save(folder / "net.onnx")
    hints = hints_for(read_onnx(model))
    return model, proved(model.read_bytes(), LAST_BIT, hints)


@pytest.fixture(scope="module")
def with_a_tree(tmp_path_factory: pytest.TempPathFactory) -> Derived:
    return check(*branched(tmp_path_factory.mktemp("branched")))


def holds_together(derived: Derived) -> None:
    """The largest bound of a place is U; the parts of R are those of the nodes."""
    for name in EXECUTIONS:
        claim, bounds = derived.claims[name], bounds_by_place(derived, name)
        assert bounds is not None and max(bounds) == claim.upper
        layers = layers_of(derived, name)
        assert layers.slopes is not None
        adds = [Fraction(node.added) for node in layers.nodes]
        total = sum(adds, Fraction(layers.slopes))
        assert claim.logits * (1 - Fraction(1, 2**48)) <= total
        assert total <= claim.logits * (1 + Fraction(1, 2**40))
        if claim.logits:
            shares = sum(node.share or 0 for node in layers.nodes) + layers.slopes / claim.logits
            assert shares == pytest.approx(1, rel=1e-9)
        for node in layers.nodes:
            assert node.low is not None and node.high is not None and node.low <= node.high


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_is_the_claim(seed: int, tmp_path: Path) -> None:
    holds_together(random_network(seed, tmp_path)[1])


def test_with_the_exact_form_of_the_first_layers(with_a_tree: Derived) -> None:
    holds_together(with_a_tree)
    (tree,) = with_a_tree.derivation.frame.hints.trees.values()
    bounds = bounds_by_place(with_a_tree, SAME_PROGRAM)
    assert bounds is not None and len(set(bounds)) > 10
    layers = layers_of(with_a_tree, SAME_PROGRAM)
    first = sum(node.first or 0 for node in layers.nodes)
    assert 0 < first < float(with_a_tree.claims[SAME_PROGRAM].logits)
    assert tree.pixel[0] < 8


def test_where_nothing_moves() -> None:
    derived = proved(absorber(), LAST_BIT, Hints({}, absorbed="stem"))
    bounds = bounds_by_place(derived, SAME_PROGRAM)
    assert bounds is not None and {*bounds} == {0}
    assert max(bounds_by_place(derived, ANY_TWO) or [0]) == derived.claims[ANY_TWO].upper > 0
    assert all(node.added == 0 for node in layers_of(derived, SAME_PROGRAM).nodes)


@pytest.mark.parametrize("seed", range(3))
def test_no_place_moves_further_than_its_own_bound(seed: int, tmp_path: Path) -> None:
    """On random images, and on those at the ends of the bytes."""
    model, derived = random_network(seed, tmp_path)
    network, random = read_onnx(model), np.random.default_rng(seed)
    bounds = bounds_by_place(derived, SAME_PROGRAM)
    assert bounds is not None
    height, width = network.input_shape[1:]
    for low, high in ((0, 256), (0, 2), (254, 256)):
        image = random.integers(low, high, size=(1, height, width), dtype=np.uint8)
        before = execute(network, image)
        for place, bound in enumerate(bounds):
            after = execute(network, flip_last_bit(image, *divmod(place, width)))
            moved = max(abs(Fraction(float(a)) - Fraction(float(b)))
                        for a, b in zip(after.ravel(), before.ravel(), strict=True))  # fmt: skip
            assert moved <= bound


def test_too_many_sums_make_no_map(with_a_tree: Derived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_SUMS", 10)
    assert bounds_by_place(with_a_tree, ANY_TWO) is None


def test_maps_of_other_shapes() -> None:
    """Of channels the largest, of vectors rows, of large images blocks."""
    of_channels = map_of("", "", range(24), (2, 3, 4))
    assert of_channels.values.tolist() == np.arange(12, 24).reshape(3, 4).tolist()
    of_vector = map_of("", "", range(30), (30, 1, 1))
    assert of_vector.values.shape == (2, 28) and np.isnan(of_vector.values[1, 2:]).all()
    assert np.nanmax(of_vector.values) == 29
    large = map_of("", "", range(130 * 70), (1, 130, 70))
    assert large.block == 3 and large.values.shape == (44, 24)
    assert large.values.max() == 130 * 70 - 1 and large.values[0, 0] == 2 * 70 + 2
