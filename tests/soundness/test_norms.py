"""Certified operator norms: never below the true one, and no claim below it is believed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.bound.linear import LinearMap
from lastbit.graph import Network, OnnxBuilder
from lastbit_check.exact import Fix
from lastbit_check.forms import gain as certified_gain, norm, root
from lastbit_check.layers import Layer, layer_of
from lastbit_check.network import Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected
from soundness.harness import built


def layer(folder: Path, weight: np.ndarray, **options: object) -> tuple[Layer, Node, Network]:
    """A convolution on an image of 6 x 5, as the checker sees it."""
    group = options.get("group", 1)
    assert isinstance(group, int)
    b = OnnxBuilder()
    x = b.input_bytes((weight.shape[1] * group, 6, 5))
    x = b.conv(x, weight, name="it", **options)  # type: ignore[arg-type]
    b.softmax(b.dense(b.mean(x), np.ones((2, len(weight)))))
    model, network = built(b, folder)
    nodes = {n.name: n for n in normal_form(read(model))}
    return layer_of(nodes["it"], nodes["image"].shape), nodes["it"], network


def true_norm(network: Network) -> float:
    node = network["it"]
    shape = network.input_shape
    size = int(np.prod(shape))
    columns = LinearMap(node, shape)(np.eye(size).reshape(*shape, size))  # type: ignore[arg-type]
    return float(np.linalg.norm(columns.reshape(-1, size), 2))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (12, 4), (1, 7), (6, 1)])
def test_a_claim_just_above_is_accepted_and_just_below_rejected(
    tmp_path: Path, shape: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6)
    if seed % 2:  # of low rank, so that s^2 I - A^T A is singular where it matters
        weight = np.outer(weight[:, 0], weight[0])
    built_layer, node, network = layer(tmp_path, weight[:, :, None, None])
    size = true_norm(network)
    gain = certified_gain(built_layer, node, size * (1 + 2.0**-10))
    assert size <= float(gain) <= size * 1.01
    if built_layer.w.shape[1] > 1:
        for claim in (size * (1 - 1e-5), size * 0.5):
            with pytest.raises(Rejected) as caught:
                certified_gain(built_layer, node, claim)
            assert caught.value.rule == "norm.spectral"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": (1, 0, 2, 1)},
        {"group": 2, "padding": 1},
        {"group": 4, "stride": 2},
    ],
)
def test_no_gain_is_below_the_true_norm(
    tmp_path: Path, options: dict[str, object], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    group = int(options.get("group", 1))  # type: ignore[call-overload]
    weight = rng.normal(size=(4, 4 // group, 3, 2))
    weight *= rng.choice([1e-5, 1.0, 1e5, 0.0], weight.shape) if seed % 2 else 1
    built_layer, node, network = layer(tmp_path, weight, **options)
    assert true_norm(network) <= float(certified_gain(built_layer, node, None)) * (1 + 1e-12)


def test_root_and_norm_are_upper_bounds() -> None:
    rng = np.random.default_rng(0)
    for value in (Fraction(0), Fraction(2), Fraction(1, 3), Fraction(2) ** 301, Fraction(1, 7**90)):
        assert root(value) ** 2 >= value
    for count in (1, 5, 300, 20000):
        n = rng.integers(-(2**44), 2**44, (2, count), dtype=np.int64)
        exact = sum(int(v) ** 2 for v in n.reshape(-1))
        assert norm(Fix(n.astype(np.float64), 0)) ** 2 >= exact


def test_a_norm_of_many_entries_is_exact() -> None:
    """20,000 squares of 2^20 - 1 in one row: their sum passes 2^53, and is odd on the way."""
    n = np.full((1, 20_000), 2.0**20 - 1)
    assert norm(Fix(n, 0)) ** 2 >= 20_000 * (2**20 - 1) ** 2
