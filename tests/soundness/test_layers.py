"""A sum's sparse matrices are its convolutions, factors folded: against the reference map."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.hints.adjoint import matrix
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.network import Network, Node, Part, Sum, exact
from lastbit_check.operators import layers
from lastbit_check.operators.affine import divided_by
from lastbit_check.operators.layers import Layer, layer_of
from lastbit_check.operators.patterns import products
from soundness.exactly import real
from soundness.harness import built

FORMS: list[dict[str, Any]] = [
    {},
    {"stride": (2, 1), "padding": (1, 0, 2, 1)},
    {"stride": 3, "padding": (0, 2, 1, 0)},
    {"group": 2, "padding": 1},
    {"group": 4, "stride": (1, 2), "padding": (2, 1, 1, 0)},
]


def weights(seed: int, options: dict[str, Any]) -> np.ndarray:
    """Integers, many of them 0, for 8 channels of 4."""
    random = np.random.default_rng(seed)
    weight = random.integers(-9, 10, (8, 4 // options.get("group", 1), 3, 2)).astype(float)
    weight *= random.random(weight.shape) < 0.6
    weight[0, 0, 0, 0] = 1.0  # its number is 0, which a sparse matrix could take for nothing
    return weight


def layer(network: Network, name: str) -> Layer:
    return layer_of(network.by_name[name], {node.name: node.shape for node in network.nodes})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", FORMS)
def test_it_is_the_convolution(tmp_path: Path, seed: int, options: dict[str, Any]) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((4, 5, 6)), weights(seed, options), name="it", **options)
    b.softmax(b.dense(b.mean(x), np.ones((2, 8))))
    model, written = built(b, tmp_path)
    network = network_in(model)
    node, found = network.by_name["it"], layer(network, "it")
    assert node.sum is not None
    (part,), (made,) = node.sum.parts, found.parts
    columns = matrix(written["it"], (4, 5, 6))
    assert found.shape == node.shape == written["it"].shape
    assert np.array_equal(np.ldexp(made.w.toarray(), -made.e), columns)
    places = products(part, node.shape, (4, 5, 6))
    assert 0 in places.data
    places.data = part.weight.ravel()[places.data]
    assert np.array_equal(places.toarray(), columns)
    assert places.nnz == np.count_nonzero(columns)


@pytest.mark.parametrize("seed", range(6))
def test_factors_are_folded_within_a_unit_and_every_one_of_them_may_round(
    tmp_path: Path, seed: int
) -> None:
    """Two factors before, one after, a residual; constants on the way, times what follows them."""
    random = np.random.default_rng(seed)
    options = FORMS[3]
    weight = weights(seed, options)
    before, after = random.uniform(0.5, 3, (2, 8)).astype(np.float32)
    before[0], after[1], after[2] = 2.0, -0.25, 0.0
    shift = random.normal(size=8).astype(np.float32)
    b = OnnxBuilder()
    image = b.input_bytes((4, 5, 6))
    x = b.affine(b.conv(image, weight, name="conv", **options), "mul", before)
    y = b.affine(b.affine(x, "add", shift), "div", np.float32(3.0), name="y")
    z = b.affine(b.conv(image, weight[:, :, ::-1], name="other", **options), "mul", after, name="z")
    b.softmax(b.dense(b.mean(b.add(y, z, name="it")), np.ones((2, 8))))
    network = network_in(built(b, tmp_path)[0])
    node, found = network.by_name["it"], layer(network, "it")
    assert node.sum is not None and len(found.parts) == 2
    scales = [exact(before) / 3, exact(after)]
    counted = [np.where(before == 2, 0, 1) + 2, np.where(np.abs(after) == 0.25, 0, 1)]
    for part, made, scale, more in zip(node.sum.parts, found.parts, scales, counted, strict=True):
        places = products(part, node.shape, (4, 5, 6))
        row = np.repeat(np.repeat(np.arange(8), 35), np.diff(places.indptr))
        for k, number in enumerate(places.data.tolist()):
            true = Fraction(part.weight.item(number)) * scale[row[k]] * Fraction(2) ** made.e
            core = int(made.w.data[k])
            assert abs(core - true) <= (1 if made.inexact[k] else 0)
            assert abs(true) <= int(made.heavy.data[k])
            own = np.frexp(abs(part.weight.item(number)))[0] != 0.5
            assert made.roundings[k] == own + more[row[k]]
    assert [found.constant_roundings.tolist(), found.steps] == [[[2.0]] * 8, found.terms + 4]
    size = -(-exact(np.abs(shift)) / 3 * Fraction(2) ** found.constants.e // 1)
    assert found.constants.n.ravel().tolist() == size.tolist()


def test_coarser_weights_of_a_long_sum_bound_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mean of 12,544 numbers has them: rounded up, and hardly more."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(5, 7, 3, 3)).astype(np.float32)
    node = Node("n", "sum", ("x",), (5, 6, 6), Sum((Part("x", weight, (1, 1), (1, 1, 1, 1)),)))
    layer = layer_of(node, {"x": (7, 6, 6)})
    reach = Fix(random.integers(0, 2**20, (7, 6, 6, 1)).astype(float), 20)
    whole = layer.spread([reach])
    fine = real(layer.rounding([reach], whole))
    monkeypatch.setattr(type(layer), "_coarser", lambda *_: layers.COARSER)
    coarse = real(layer.rounding([reach], whole))
    assert np.all(coarse >= fine)
    assert np.all(coarse <= fine * 1.02)


def test_a_mean_of_a_large_image_is_bounded() -> None:
    ones = np.ones((2, 1, 112, 112), np.float32)
    by = divided_by(np.full(2, 112.0**2, np.float32))
    node = Node("n", "sum", ("x",), (2, 1, 1), Sum((Part("x", ones, groups=2, factors=(by,)),)))
    layer = layer_of(node, {"x": (2, 112, 112)})
    reach = Fix(np.full((2, 112, 112, 1), 2.0**20), 20)
    found = real(layer.rounding([reach], layer.spread([reach])))
    in_a_chain = 2.0**-24 * 112**2 / 2  # a sum that grows evenly to 1, and each of its roundings
    assert np.all(found >= in_a_chain * 0.99)
    assert np.all(found <= 3 * in_a_chain)
