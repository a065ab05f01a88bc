"""Pruning: fewer channels, the same answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.graph import BatchNorm, Input, Linear, Network, Node, read_onnx
from lastbit.models.efficientnet import random_state
from lastbit.models.export import export_efficientnet
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.pruning import prune
from support.networks import random_images, random_network


def with_dead_channels(network: Network, seed: int) -> Network:
    """Some outputs and some inputs of linear nodes set to zero, batch norm included."""
    random = np.random.default_rng(seed)

    dead: dict[str, np.ndarray] = {}

    def deadened(node: Node) -> Node:
        if isinstance(node, BatchNorm) and node.x in dead:
            out = dead[node.x]
            mean, beta = node.mean.copy(), node.beta.copy()
            mean[out] = 0
            beta[out] = 0
            return replace(node, mean=mean, beta=beta)
        if not isinstance(node, Linear):
            return node
        out = dead[node.name] = random.random(len(node.weight)) < 0.4
        read = random.random(node.weight.shape[1]) < 0.2
        weight, bias = node.weight.copy(), node.bias.copy()
        weight[out] = 0
        weight[:, read] = 0
        bias[out] = 0
        return replace(node, weight=weight, bias=bias)

    return replace(network, nodes=tuple(map(deadened, network)), form=None)


def assert_same(network: Network, images: np.ndarray) -> int:
    small = prune(network)
    x = torch.from_numpy(images).double()
    before = TorchNetwork(network, torch.float64).logits(x)
    after = TorchNetwork(small, torch.float64).logits(x)
    assert torch.allclose(before, after, rtol=1e-9, atol=1e-12)
    assert isinstance(small.nodes[0], Input)
    return sum(node.shape[0] for node in network) - sum(node.shape[0] for node in small)


def test_random_networks(tmp_path: Path):
    dropped = 0
    for seed in range(60):
        _, network = random_network(tmp_path, seed)
        images = random_images(network, seed)
        dropped += assert_same(with_dead_channels(network, seed), images)
        assert_same(network, images)
    assert dropped > 100


@pytest.mark.parametrize("fold", [False, True])
def test_a_small_network_in_the_corner_of_a_large_one(tmp_path: Path, fold: bool):
    state = random_state(0)
    dead = tuple(f"blocks.2.0.{layer}." for layer in ("conv_pw", "bn1", "conv_dw", "bn2"))
    for name, values in state.items():
        if name.startswith(dead):
            values[10:] = 1 if name.endswith("running_var") else 0
    path = export_efficientnet(state, tmp_path / "m.onnx", fold_batch_norm=fold)
    network = read_onnx(path)
    random = np.random.default_rng(0)
    assert_same(network, random.integers(0, 256, (2, 1, 28, 28), dtype=np.uint8))
    assert prune(network)["blocks.2.0.expanded"].shape[0] == 10
