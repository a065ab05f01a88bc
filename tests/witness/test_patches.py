"""The search before a linear head: the first layers, the patch, and the balance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.errors import UsageError
from lastbit.graph import Gate, Linear, Network, OnnxBuilder, Silu, read_onnx
from lastbit.progress import silent
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness import Patch
from lastbit.witness.search import search
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.patches import class_balance, patch_search
from lastbit.witness.search.patches.linear_head import fold_linear_head
from lastbit.witness.search.patches.patch_search import PatchSearch
from lastbit.witness.search.patches.receptive_field import ReceptiveFields
from support.networks import random_network


@pytest.fixture(autouse=True)
def less_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks need few patches."""
    for name, value in {
        "IMAGES": 16,
        "POPULATION": 12,
        "MIXED": 1,
        "MOVED": 2,
        "REFINED": 4,
    }.items():
        monkeypatch.setattr(patch_search, name, value)
    for name in ("FIRST", "AGAIN", "LAST"):
        monkeypatch.setattr(patch_search, name, (15, *getattr(patch_search, name)[1:]))
    monkeypatch.setattr(class_balance, "IMAGES", 16)


def two_layers(path: Path, seed: int, *, later: float = 1e-9, size: int = 12) -> Path:
    """Two live SiLUs, a third one that reads values of about `later`, and three classes."""
    random = np.random.default_rng(seed)
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, size, size)), 255), "sub", np.float32(0.3))
    x = b.silu(b.conv(x, random.normal(0, 2, (3, 1, 3, 3)), random.normal(0, 1, 3), stride=2,
                      padding=(0, 0, 1, 1)))  # fmt: skip
    x = b.silu(b.conv(x, random.normal(0, 1, (3, 1, 3, 3)), padding=1, group=3))
    x = b.silu(b.conv(x, random.normal(0, later, (4, 3, 3, 3)), padding=1))
    x = b.conv(x, random.normal(0, 6 / later, (4, 4, size // 2, size // 2)))
    b.softmax(b.dense(x, random.normal(0, 0.1, (3, 4))))
    return b.save(path)


def one_layer(path: Path, dense: list[list[float]], bias: list[float]) -> Path:
    """On 1 x 8 images: pairs of pixels, each read by three SiLUs."""
    random = np.random.default_rng(5)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 1, 8)), 255)
    x = b.silu(b.conv(x, random.normal(0, 20, (3, 1, 1, 2)), random.normal(0, 5, 3), stride=(1, 2)))
    x = b.conv(x, random.normal(0, 1, (2, 3, 1, 4)))
    b.softmax(b.dense(x, dense, bias))
    return b.save(path)


def largest_difference(network: Network) -> float:
    """R of `one_layer`, by trying every patch of every pixel."""
    values = np.arange(256, dtype=np.uint8)
    pairs = np.stack(np.meshgrid(values, values, indexing="ij"), -1)
    best = 0.0
    for place in range(0, 8, 2):
        images = np.zeros((256, 256, 1, 1, 8))
        images[..., 0, 0, place : place + 2] = pairs
        x = torch.from_numpy(images.reshape(-1, 1, 1, 8))
        logits = TorchNetwork(network, torch.float64).logits(x).numpy().reshape(256, 256, -1)
        for moved in (logits[1::2] - logits[::2], logits[:, 1::2] - logits[:, ::2]):
            best = max(best, float((moved.max(-1) - moved.min(-1)).max()))
    return best


def patches_of(network: Network, seed: int = 0) -> list[Patch]:
    budget = Budget(600, silent)
    return PatchSearch(network, np.random.default_rng(seed), budget, 1.0).search(None)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_head_is_one_dense_layer(tmp_path: Path, seed: int):
    network = read_onnx(two_layers(tmp_path / "m.onnx", seed))
    folded = fold_linear_head(network)
    assert folded is not None
    *chain, dense, _ = folded.nodes
    assert chain == list(network.nodes[: len(chain)])
    assert isinstance(dense, Linear)
    assert dense.x == [node.name for node in network if isinstance(node, Silu)][1]
    images = np.random.default_rng(seed).integers(0, 256, (20, 1, 12, 12))
    x = torch.from_numpy(images).double()
    before = TorchNetwork(network, torch.float64).logits(x)
    after = TorchNetwork(folded, torch.float64).logits(x)
    assert torch.allclose(before, after, rtol=0, atol=1e-5 * float(before.abs().max()))


def test_without_a_linear_head_nothing_is_folded(tmp_path: Path):
    assert fold_linear_head(read_onnx(two_layers(tmp_path / "m.onnx", 0, later=3.0))) is not None
    path, network = next(
        made
        for made in (random_network(tmp_path, seed) for seed in range(99))
        if any(isinstance(node, Gate) for node in made[1])
    )
    assert fold_linear_head(network) is None
    found = search(path, starts=4, rounds=1)
    assert (found.patch, found.share) == (None, None)
    assert found.witness.lower > 0


@pytest.mark.parametrize("seed", range(3))
def test_receptive_fields_see_all_that_a_pixel_changes(tmp_path: Path, seed: int):
    folded = fold_linear_head(read_onnx(two_layers(tmp_path / "m.onnx", seed)))
    assert folded is not None
    windows = ReceptiveFields(folded, torch.float64)
    assert windows.shape == (13, 13)
    images = np.random.default_rng(seed).integers(0, 255, (144, 12, 12), dtype=np.uint8)
    pixels = torch.arange(144)
    changes = windows.changes(windows.cut(images, pixels).double(), pixels)
    x = torch.from_numpy(images).double().unsqueeze(1)
    up = x.clone()
    up.flatten(1)[pixels, pixels] += 1
    whole = TorchNetwork(folded, torch.float64)
    assert torch.allclose(changes, whole.logits(up) - whole.logits(x), rtol=0, atol=1e-9)
    assert float(changes.abs().max()) > 1e-3


def test_the_largest_patch_is_found(tmp_path: Path):
    network = read_onnx(one_layer(tmp_path / "m.onnx", [[1, 0], [0, 1], [-0.3, 0.4]], [0, 0, 0]))
    folded = fold_linear_head(network)
    assert folded is not None
    best = patches_of(folded)[0]
    assert best.values.shape == (1, 2)
    assert best.change == pytest.approx(largest_difference(network), rel=1e-5)
    image = best.pasted(np.random.default_rng(0).integers(0, 256, (1, 8), dtype=np.uint8))
    pair = torch.from_numpy(np.stack([image, image]))[:, None].double()
    pair[1, 0, 0, best.pixel[1]] += 1
    logits = TorchNetwork(network, torch.float64).logits(pair)
    moved = logits[1] - logits[0]
    c, j = best.classes
    assert float(moved[c] - moved[j]) == pytest.approx(best.change, rel=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_the_balance_attains_what_the_patch_allows(tmp_path: Path, tied: bool):
    rows = [[0.3, 0.0], [0.3, 0.0], [0.0, 0.3]] if tied else [[0.3, 0.0], [0.0, 0.3]]
    path = one_layer(tmp_path / "m.onnx", rows, [0.0] * len(rows))
    found = search(path, seconds=600, seed=1)
    assert found.patch is not None and found.share is not None
    assert found.patch.change == pytest.approx(largest_difference(read_onnx(path)), rel=1e-5)
    assert found.share > 0.99
    assert found.witness.lower <= found.patch.limit + 1e-6
    if tied:
        assert found.witness.class_index == 2


def test_a_third_class_in_the_way(tmp_path: Path):
    rows = [[0.3, 0.0], [0.0, 0.3], [0.0, 0.0]]
    found = search(one_layer(tmp_path / "m.onnx", rows, [0, 0, 99]), starts=8, rounds=1)
    assert found.share is not None
    assert 0 <= found.share < 0.5


def test_the_seed_decides_and_patches_may_be_handed_in(tmp_path: Path):
    path = one_layer(tmp_path / "m.onnx", [[0.3, 0.0], [0.0, 0.3]], [0.0, 0.0])
    one, same = (search(path, seconds=600, seed=3) for _ in range(2))
    assert (one.witness.image == same.witness.image).all()
    assert one.patch is not None
    assert max(one.seconds, same.seconds) < 600  # it knows when it is done
    again = search(path, seconds=0.01, rounds=0, patches=[one.patch]).patch
    assert again is not None
    assert again.change >= (1 - 1e-5) * one.patch.change


def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path):
    path = two_layers(tmp_path / "m.onnx", 1)
    square = np.zeros((3, 3), np.uint8)
    for patch in (
        Patch((5, 5), (0, 1), (10, 4), square),
        Patch((5, 5), (0, 1), (-1, 4), square),
        Patch((9, 5), (0, 1), (4, 4), square),
    ):
        with pytest.raises(UsageError, match="does not fit"):
            search(path, seconds=1, rounds=0, patches=[patch])
