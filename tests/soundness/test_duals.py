"""The dual vectors that the checker derives: as near the exact adjoint as it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array

from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.duals import DUAL_BITS as BITS, Dual
from lastbit_check.derive.frame import Frame, frame_of
from lastbit_check.network import Node
from lastbit_check.question import LAST_BIT
from soundness.harness import NearlyLinear, built, random_hints
from support.networks import RandomNetwork

GRID = 400
Duals = Mapping[str, Dual]


def integers(x: Fix) -> np.ndarray:
    """The numbers as Python integers over 2^GRID."""
    assert x.e <= GRID
    return np.vectorize(int, otypes=[object])(x.n) * 2 ** (GRID - x.e)


def pulled(frame: Frame, duals: Duals, node: Node) -> np.ndarray:
    """sum_k L_kj^T a_k over the readers k (units, classes), exactly."""
    total = np.zeros((int(np.prod(node.shape)), frame.network.classes), object)
    for reader in frame.network.readers[node.name]:
        a = integers(duals[reader.name].a)
        for core in frame.cores.get(reader.name, ()):
            if core.source == node.name:
                w = coo_array(core.written)
                for k, j, n in zip(*w.coords, w.data.tolist(), strict=True):
                    product = a[k] * int(n)
                    total[j] += product // 2**core.e if core.e > 0 else product * 2**-core.e
    return total


def excess(frame: Frame, node: Node, duals: Duals | None = None) -> int:
    """By how much more than it says a node's dual vectors are off, in units of 2^-GRID."""
    found = duals or frame.duals
    dual = found[node.name]
    gap = pulled(frame, found, node) - integers(dual.a)
    return int(np.max(np.abs(gap))) - int(integers(dual.off)[0])


def framed(model: bytes, hints: Hints) -> Frame:
    return frame_of(network_in(model), LAST_BIT, hints)


def inner(frame: Frame) -> list[Node]:
    """All nodes but the last two."""
    return [n for n in frame.network.computed if n.name != frame.network.logits]


@pytest.mark.parametrize("seed", range(16))
def test_they_are_as_near_as_they_say(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    hints = random_hints(network_in(model), seed) if seed % 3 else hints_for(network)
    frame = framed(model, hints)
    for node in inner(frame):
        assert excess(frame, node) <= 0, node.name


@pytest.mark.parametrize("seed", range(8))
def test_through_sums_of_several_parts_on_grids_of_their_own(seed: int) -> None:
    """A node that is read twice by one sum, and a part so heavy that its product is split."""
    random, size = np.random.default_rng(seed), 10.0 ** np.random.default_rng(seed).integers(-6, 7)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.input_bytes((1, 2, 2)), random.normal(size=(40, 1, 1, 1))), "x")
    heavy = b.conv(x, random.normal(size=(40, 40, 1, 1)) * size + 4 * size, name="heavy")
    y = b.affine(b.add(heavy, x), "div", np.float32(3), name="y")
    z = b.conv(b.silu(y, "z"), random.normal(size=(40, 40, 1, 1)))
    b.softmax(b.dense(b.mean(b.add(b.add(z, x), y)), random.normal(size=(3, 40)) * 1e6))
    frame = framed(b.to_bytes(), Hints({}))
    assert len(frame.cores["y"]) == 2
    for node in inner(frame):
        assert excess(frame, node) <= 0, node.name


def test_coarser_ones_would_not_be(tmp_path: Path) -> None:
    model, network = built(RandomNetwork(0).b, tmp_path)
    frame = framed(model, hints_for(network))
    coarse = {
        name: replace(dual, a=dual.a.fit(BITS - 6, up=False)) for name, dual in frame.duals.items()
    }
    assert max(excess(frame, node, coarse) for node in inner(frame)) > 0
