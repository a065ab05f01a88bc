"""Windows of any kind, maxima along axes, factors of Gemm, repeats: the same, and within bounds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32 import execute_float64
from lastbit.graph import between, read_onnx
from lastbit.runtimes import OnnxRuntime, PyTorch, Reference
from soundness.harness import assault, subject_of
from support.arranged import ArrangedNetwork


class WindowedNetwork(ArrangedNetwork):
    """The same dice, where pools, rows and reductions are of more kinds."""

    def pool(self, x: str) -> str:
        x = self.spatial(x)
        channels, *places = self.sizes[x]
        kernel, pads = [2, 2], [0, 1, 1, 0]
        most = self.random.random() < 0.5
        steps, up = int(self.random.integers(1, 3)), int(self.random.random() < 0.5)
        spread = 1 + int(most and min(places) > 2 and self.random.random() < 0.5)
        round_up = math.ceil if up else math.floor
        sizes = [round_up((n + 1 - spread - 1) / steps) + 1 for n in places]
        for k, n in enumerate(places):
            if up and (sizes[k] - 1) * steps >= n + pads[k]:
                sizes[k] -= 1
        if min(sizes) < 1 or min(places) < 2:
            return x
        kind, other = ("MaxPool", {"dilations": [spread] * 2}) if most else ("AveragePool", {})
        return self.op(kind, [x], (channels, *sizes), kernel_shape=kernel, pads=pads,
                       strides=[steps] * 2, ceil_mode=up, **other)  # fmt: skip

    def rows(self, x: str) -> str:
        if len(self.sizes[x]) > 1:
            repeats = [1, *self.random.integers(1, 3, len(self.sizes[x]))]
            sizes = tuple(n * k for n, k in zip(self.sizes[x], repeats[1:], strict=True))
            x = self.op("Tile", [x, self.constant(repeats, np.int64)], sizes)
        x = self.op("Flatten", [x], (math.prod(self.sizes[x]),))
        width = self.sizes[x][0]
        weight = self.random.normal(size=(width, 12)) / np.sqrt(width)
        given = [x, self.constant(weight), self.constant(self.random.normal(size=12))]
        given = given[: 2 + int(self.random.random() < 0.7)]
        x = self.op("Gemm", given, (12,), alpha=0.7, beta=float(self.random.choice([1.0, 1.3])))
        x = self.op("Reshape", [x, self.constant([0, 4, 1, 3], np.int64)], (4, 1, 3))
        return self.op("DepthToSpace", [x], (1, 2, 6), blocksize=2)

    def reduced(self, x: str) -> str:
        if len(self.sizes[x]) < 2:
            return x
        axis = int(self.random.integers(len(self.sizes[x])))
        sizes = (*self.sizes[x][:axis], 1, *self.sizes[x][axis + 1 :])
        return self.op("ReduceMax", [x], sizes, axes=[axis + 1])


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, seed: int) -> None:
    path = WindowedNetwork(seed).save(tmp_path / "model.onnx")
    network = read_onnx(path)
    grey = np.random.default_rng(seed).integers(0, 256, (3, *network.input_shape))
    images = between(grey, network.question)
    expected = np.stack([execute_float64(network, image)[0] for image in images])
    for runtime in (OnnxRuntime(), OnnxRuntime(optimise=False), PyTorch(), Reference()):
        found = runtime.probabilities(path, images)
        assert np.abs(found - expected).max() < 2e-5, runtime.name


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int) -> None:
    path = WindowedNetwork(100 + seed).save(tmp_path / "model.onnx")
    assault(subject_of(path.read_bytes(), read_onnx(path)), seed)


def test_every_kind_occurs() -> None:
    kinds = {node.op_type for seed in range(24) for node in WindowedNetwork(100 + seed).nodes}
    assert {"AveragePool", "DepthToSpace", "Gemm", "MaxPool", "ReduceMax", "Tile"} <= kinds
