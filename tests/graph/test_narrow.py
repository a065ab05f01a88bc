"""The narrow network computes what the network computes, and leaves out only what is quiet."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.float32 import execute
from lastbit.graph import Linear, Network, OnnxBuilder, narrowed, read_onnx
from lastbit.models import resolve_model
from support.networks import RandomNetwork, random_images


def both(b: OnnxBuilder, folder: Path) -> tuple[Network, Network]:
    """A network and the narrow one."""
    network = read_onnx(b.save(folder / "model.onnx"))
    narrow = narrowed(network)
    assert narrow is not None
    (folder / "narrow.onnx").write_bytes(narrow)
    return network, read_onnx(folder / "narrow.onnx")


def widths(network: Network) -> dict[str, int]:
    return {node.name: node.shape[0] for node in network}


@pytest.mark.parametrize("seed", range(20))
def test_every_operator_is_written_as_it_was(seed: int, tmp_path: Path) -> None:
    """The same names, the same bits in the answer."""
    network, narrow = both(RandomNetwork(seed, adversarial=seed % 2 == 1).b, tmp_path)
    assert [node.name for node in narrow] == [node.name for node in network]
    for image in random_images(network, seed, 3):
        assert np.array_equal(execute(narrow, image), execute(network, image))


def block(*, weight: float = 0.0, bias: float = 0.0, read: float = 0.0) -> OnnxBuilder:
    """Three channels through a gated block; of the middle one the numbers are given."""
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 6, 6)), 255)
    x = b.conv(
        x, np.array([1, weight, -1], float)[:, None, None, None], [0.5, bias, 0.25], name="in"
    )
    x = b.silu(x, "silu")
    x = b.conv(
        x, np.array([1, weight, 2], float)[:, None, None, None], [0, bias, 0], group=3, name="dw"
    )
    s = b.mean(x, "mean", reduce=True)
    s = b.sigmoid(b.conv(s, np.diag([1.0, weight, 1])[:, :, None, None], [0.0, bias, 0]), "sigmoid")
    x = b.add(b.gate(x, s, "gate"), x, "sum")
    mixed = np.array([[1, read, 2], [-1, read, 1.0]])[:, :, None, None]
    b.softmax(b.dense(b.mean(b.conv(x, mixed, name="out")), np.eye(2), [0.0, 0.1]))
    return b


def test_a_quiet_channel_that_nothing_reads_is_left_out(tmp_path: Path) -> None:
    network, narrow = both(block(), tmp_path)
    assert {
        name: widths(narrow)[name] for name in ("in", "silu", "dw", "gate", "sum")
    } == dict.fromkeys(("in", "silu", "dw", "gate", "sum"), 2)
    assert widths(narrow)["sigmoid"] == 2
    for image in random_images(network, 1, 5):
        assert np.array_equal(execute(narrow, image), execute(network, image))


@pytest.mark.parametrize("changes", [{"weight": 1.0}, {"bias": 1.0}, {"read": 1.0}], ids=str)
def test_a_channel_that_is_loud_or_read_is_kept(changes: dict[str, float], tmp_path: Path) -> None:
    """What is not 0 might overflow, and then a product with 0 is NaN."""
    network, narrow = both(block(**changes), tmp_path)
    assert widths(narrow)["gate"] == widths(network)["gate"] == 3


def test_a_last_layer_that_is_no_dense_one(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.flatten(b.mean(b.conv(b.input_bytes((1, 4, 4)), np.ones((2, 1, 3, 3)))))
    b.softmax(b.affine(b.dense(x, np.eye(2)), "mul", [1.0, 2.0]))
    assert narrowed(read_onnx(b.save(tmp_path / "model.onnx"))) is None


def test_the_shipped_model_becomes_a_tenth() -> None:
    network = read_onnx(resolve_model("tight").model)
    narrow = narrowed(network)
    assert narrow is not None
    count = sum(node.weight.size for node in network if isinstance(node, Linear))
    assert len(narrow) < 4 * count / 4
