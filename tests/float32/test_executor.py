"""The reference executor against exact bounds, against float64, and in all its forms."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import UsageError
from lastbit.float32 import ORDERS, execute, execute_float64
from lastbit.graph import Linear, Network, OnnxBuilder, read_onnx
from lastbit.operators.linear import grouped_weight, patches
from support.networks import random_images, random_network, without_batch_norm

ALL_ORDERS = [*ORDERS, "random:0"]
U = 2.0**-24
TINY = 2.0**-126


def linear_error_bound(node: Linear, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact value of a linear node on the float32 input x, nearly, and its error bound.

    n terms and a bias: each product passes at most n + 1 roundings. A flushed operand or result
    loses at most 2^-126. Double precision adds n 2^-52 of the sum of magnitudes.
    """
    weight = grouped_weight(node).astype(np.float64)
    columns = patches(x.astype(np.float64), node)
    bias = node.bias.astype(np.float64)[:, None, None]
    n = weight.shape[-1]
    value = (weight @ columns).reshape(node.shape) + bias
    magnitude = (abs(weight) @ abs(columns)).reshape(node.shape) + abs(bias)
    gamma = (n + 1) * U / (1 - (n + 1) * U)
    operands = (abs(weight).sum(-1)[..., None] + abs(columns).sum(1)[:, None]).reshape(node.shape)
    lost = TINY * (1 + gamma) * (operands + 4 * n + 4)
    return value, gamma * magnitude + lost + n * 2.0**-52 * magnitude


@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_every_linear_node_is_within_its_bound(tmp_path: Path, seed: int, adversarial: bool):
    network = without_batch_norm(random_network(tmp_path, seed, adversarial=adversarial)[1])
    for image in random_images(network, seed):
        for order in ALL_ORDERS:
            for flush_to_zero in (False, True):
                _, values = execute(
                    network, image, order=order, flush_to_zero=flush_to_zero, keep=True
                )
                for node in network:
                    if isinstance(node, Linear):
                        exact, bound = linear_error_bound(node, values[node.x])
                        assert (abs(values[node.name] - exact) <= bound).all(), node.name


@pytest.mark.parametrize("seed", range(15))
def test_all_forms_agree_with_float64_on_ordinary_weights(tmp_path: Path, seed: int):
    network = random_network(tmp_path, seed)[1]
    forms = [
        {"batch_norm_form": "scaled"},
        {"flush_to_zero": True},
        *({"order": order} for order in ALL_ORDERS),
    ]
    for image in random_images(network, seed):
        exact, exact_values = execute_float64(network, image)
        for form in forms:
            probabilities, values = execute(network, image, keep=True, **form)
            assert probabilities.dtype == np.float32
            # Some 50 roundings in a row of values up to about 10, or 2^-24 * 500.
            assert abs(probabilities - exact).max() < 3e-5
            for node in network:
                assert values[node.name].dtype == np.float32
                assert values[node.name].shape == node.shape == exact_values[node.name].shape


@pytest.mark.parametrize("seed", range(10))
def test_orders_differ(tmp_path: Path, seed: int):
    network = random_network(tmp_path, seed)[1]
    image = random_images(network, seed)[0]
    logits = {
        execute(network, image, order=order, keep=True)[1][network.logits].tobytes()
        for order in ALL_ORDERS
    }
    assert len(logits) > 1


def one_layer(tmp_path: Path, weight: float) -> Network:
    b = OnnxBuilder()
    x = b.conv(b.div(b.input_bytes((1, 2, 2)), 255), np.full((2, 1, 1, 1), weight))
    b.softmax(b.dense(b.mean(x), np.eye(2)))
    return read_onnx(b.save(tmp_path / "one.onnx"))


def test_sigmoid_and_exp_can_be_replaced(tmp_path: Path):
    b = OnnxBuilder()
    x = b.silu(b.div(b.input_bytes((1, 1, 1)), 255), "half")
    b.softmax(b.dense(x, [[1], [-1]]))
    network = read_onnx(b.save(tmp_path / "silu.onnx"))
    image = np.array([[255]], np.uint8)
    _, values = execute(
        network,
        image,
        keep=True,
        sigmoid=lambda z: np.full_like(z, 0.25),
        exp=lambda z: np.ones_like(z),
    )
    assert values["half"] == 0.25
    assert values[network.output].reshape(-1).tolist() == [0.5, 0.5]


def test_flush_to_zero_kills_a_subnormal_path(tmp_path: Path):
    network = one_layer(tmp_path, 1e-40)
    image = np.full((2, 2), 255, np.uint8)
    name = next(node.name for node in network if isinstance(node, Linear))
    assert execute(network, image, keep=True)[1][name].min() > 0
    assert execute(network, image, keep=True, flush_to_zero=True)[1][name].max() == 0


def test_overflow_is_not_hidden(tmp_path: Path):
    network = one_layer(tmp_path, 3e38)
    image = np.full((2, 2), 255, np.uint8)
    assert not np.isfinite(execute(network, image)).all()


def test_unknown_order_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no summation order"):
        execute(one_layer(tmp_path, 1.0), np.zeros((2, 2), np.uint8), order="sideways")
