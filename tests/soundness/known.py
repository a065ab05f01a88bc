"""Networks that several soundness tests need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import Network, OnnxBuilder
from lastbit.hints import hints_for
from lastbit_check.certificate import Hints
from soundness.harness import NearlyLinear, built


def losing() -> OnnxBuilder:
    """257.55 and 48 products just below half a unit in its last place: forward sums lose them."""
    weight = np.full((2, 1, 7, 7), 0.499 * 2.0**-15 / 255, np.float32)
    weight[:, 0, 0, 0] = 1.01
    weight[1] = -weight[1]
    b = OnnxBuilder()
    b.softmax(b.dense(b.conv(b.input_bytes((1, 7, 7)), weight), np.eye(2) * 64, np.zeros(2)))
    return b


def with_base(folder: Path, seed: int) -> tuple[bytes, Network, Hints]:
    """A nearly linear network and its hints; the test is skipped where these have no base."""
    model, network = built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, folder)
    hints = hints_for(network)
    if not hints.bases:
        pytest.skip("this network has no SiLU that bends before one that does not")
    return model, network, hints
