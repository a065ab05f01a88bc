"""Small networks whose first two layers are curved, as those of EfficientNet are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lastbit.certificate import draft
from lastbit.graph import Network, OnnxBuilder
from lastbit.hints import Branching, hints_for
from lastbit_check.certificate import Hints, Manifest, load
from soundness.harness import built

SIDE = 8


def two_curved_layers(
    seed: int, *, channels: int = 3, kernel: int = 3, stride: int = 2, after: str = ""
) -> OnnxBuilder:
    """Pixels, convolution, SiLU, depthwise convolution, SiLU, then linear; weights of 20 bits."""
    random = np.random.default_rng(seed)

    def weights(*shape: int, size: float) -> np.ndarray:
        return np.rint(random.normal(size=shape) * size * 2**12) / 2**12

    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, SIDE, SIDE)), 255, "pixels")
    conv = b.conv(x, weights(channels, 1, kernel, kernel, size=4), random.normal(size=channels),
                  stride=stride, padding=kernel // 2, name="conv")  # fmt: skip
    stem = b.silu(conv, "stem")
    y = b.conv(stem, weights(channels, 1, 3, 3, size=1), random.normal(size=channels),
               padding=1, group=channels, name="depthwise")  # fmt: skip
    y = b.silu(y, "filtered")
    if after == "around":
        y = b.add(y, stem)
    y = b.conv(y, weights(4, channels, 1, 1, size=0.02), name="mixed")
    if after == "curved":
        y = b.silu(y, "late")
    b.softmax(b.dense(b.flatten(b.mean(y)), weights(3, 4, size=1)))
    return b


def based(network: Network) -> Hints:
    """The hints, with the second SiLU as the first base, as in `tight`."""
    hints = hints_for(network)
    return replace(hints, boxes=hints.boxes | {"stem", "filtered"}, bases=frozenset({"filtered"}))


@cache
def _branched() -> tuple[bytes, bytes]:
    with TemporaryDirectory() as folder:
        model, network = built(two_curved_layers(0, channels=2), Path(folder))
    return model, draft(model, based(network), branching=Branching(5)).manifest


def branched(folder: Path) -> tuple[bytes, Manifest]:
    """A certificate in ``folder``, with one tree of five leaves, as the checker reads it."""
    model, manifest = _branched()
    path = folder / "certificate.json"
    path.write_bytes(manifest)
    return model, load(path)
