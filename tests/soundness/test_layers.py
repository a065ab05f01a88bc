"""A layer's sparse matrix is the convolution: against the reference map, unit by unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.hints.linear import LinearMap
from lastbit.graph import OnnxBuilder
from lastbit_check.layers import Layer, layer_of, products
from lastbit_check.network import Node, Weights, normal_form
from lastbit_check.onnxfile import read
from soundness.harness import built

FORMS: list[dict[str, Any]] = [
    {},
    {"stride": (2, 1), "padding": (1, 0, 2, 1)},
    {"stride": 3, "padding": (0, 2, 1, 0)},
    {"group": 2, "padding": 1},
    {"group": 4, "stride": (1, 2), "padding": (2, 1, 1, 0)},
]


def made(
    folder: Path, seed: int, options: dict[str, Any]
) -> tuple[Node, Weights, Layer, LinearMap]:
    """A layer of integer weights, many of them 0, on an image of 4 x 5 x 6."""
    random = np.random.default_rng(seed)
    weight = random.integers(-9, 10, (8, 4 // options.get("group", 1), 3, 2)).astype(float)
    weight *= random.random(weight.shape) < 0.6
    weight[0, 0, 0, 0] = 1.0  # its number is 0, which a sparse matrix could take for nothing
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((4, 5, 6)), weight, name="it", **options)
    b.softmax(b.dense(b.mean(x), np.ones((2, 8))))
    model, network = built(b, folder)
    node = next(node for node in normal_form(read(model)) if node.name == "it")
    assert node.weights is not None
    reference: Any = network["it"]
    return node, node.weights, layer_of(node, (4, 5, 6)), LinearMap(reference, (4, 5, 6))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", FORMS)
def test_it_is_the_convolution(tmp_path: Path, seed: int, options: dict[str, Any]) -> None:
    node, weights, layer, reference = made(tmp_path, seed, options)
    columns = reference(np.eye(120).reshape(4, 5, 6, 120)).reshape(-1, 120)
    assert layer.shape == node.shape == reference.shape
    assert np.array_equal(np.ldexp(layer.w.toarray(), -layer.e), columns)
    places = products(weights, node.shape, (4, 5, 6))
    assert 0 in places.data
    places.data = weights.weight.ravel()[places.data]
    assert np.array_equal(places.toarray(), columns)
    assert places.nnz == np.count_nonzero(columns)
