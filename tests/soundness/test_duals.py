"""The dual vectors that the checker derives: as near the exact adjoint as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lastbit.hints import hints_for
from lastbit_check.certificate import Hints
from lastbit_check.check import Pass
from lastbit_check.derive.duals import DUAL_BITS as BITS, Dual
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Node
from support.networks import RandomNetwork
from soundness.harness import NearlyLinear, built, random_hints

GRID = 400


def integers(x: Fix) -> np.ndarray:
    """The numbers as Python integers over 2^GRID."""
    assert x.e <= GRID
    return np.vectorize(int, otypes=[object])(x.n) * 2 ** (GRID - x.e)


def pulled(walk: Pass, hints: Hints, node: Node) -> np.ndarray:
    """sum_k L_kj^T a_k over the readers k (units, classes), exactly."""
    units = int(np.prod(node.shape))
    total = np.zeros((units, walk.classes), object)
    for reader in walk.readers[node.name]:
        a = integers(walk.duals[reader.name].a).reshape(-1, walk.classes)
        if reader.name in walk.layers:
            layer = walk.layers[reader.name]
            core = integers(Fix(layer.w.toarray(), 0)) // 2**GRID
            total += core.T @ a // 2**layer.e if layer.e > 0 else core.T @ a * 2**-layer.e
        elif reader.op == "add":
            total += a * reader.inputs.count(node.name)
        elif reader.inputs[0] == node.name:
            m = np.broadcast_to(hints.slope(reader).n, (*reader.shape, 1)).reshape(-1, 1)
            total += a * np.vectorize(int, otypes=[object])(m) // 2**20
    return total


def excess(walk: Pass, hints: Hints, node: Node) -> int:
    """By how much more than it says a node's dual vectors are off, in units of 2^-GRID."""
    dual: Dual = walk.duals[node.name]
    gap = pulled(walk, hints, node) - integers(dual.a).reshape(-1, walk.classes)
    return int(np.max(np.abs(gap))) - int(integers(dual.off)[0])


@pytest.mark.parametrize("seed", range(16))
def test_they_are_as_near_as_they_say(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    hints = random_hints(network, seed) if seed % 3 else hints_for(network)
    walk = Pass(model, hints)
    for node in walk.nodes[:-1]:
        if node.name != walk.logits:
            assert excess(walk, hints, node) <= 0, node.name


def test_coarser_ones_would_not_be(tmp_path: Path) -> None:
    model, network = built(RandomNetwork(0).b, tmp_path)
    hints = hints_for(network)
    walk = Pass(model, hints)
    for name, dual in walk.duals.items():
        walk.duals[name] = dual._replace(a=dual.a.fit(BITS - 6, up=False))
    found = [excess(walk, hints, node) for node in walk.nodes[:-1] if node.name != walk.logits]
    assert max(found) > 0
