"""What is measured of a network, on one whose figures are known beforehand."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.data import LabelledImages
from lastbit.graph import OnnxBuilder
from lastbit.progress import silent
from lastbit.training.figures import DEAD, measure

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
TEST = LabelledImages(IMAGES, np.zeros(60, np.uint8), "random")
SCALES, SHIFTS = np.array([4.0, 0.5, 1e-4, 0.0]), np.array([-2.0, 30.0, -0.3, 1.0])
"""A channel that bends, one far in the linear part, one next to still, one constant."""
BRANCH, STRENGTH = 0.25, 0.8


def silu(z: np.ndarray) -> np.ndarray:
    return z / (1 + np.exp(-z))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SiLU of four channels; gates of their means; a shortcut; two classes."""
    b = OnnxBuilder()
    pixels = b.div(b.input_bytes((1, 4, 4)), 255.0, "pixels")
    bent = b.silu(b.conv(pixels, SCALES[:, None, None, None], SHIFTS, name="first"), "bent")
    mean = b.mean(bent, "mean", reduce=True)
    gate = b.sigmoid(
        b.conv(mean, STRENGTH * np.eye(4)[..., None, None], np.zeros(4), name="squeeze"), "gate"
    )
    branch = b.conv(
        b.gate(bent, gate, "gated"), BRANCH * np.eye(4)[..., None, None], np.zeros(4), name="branch"
    )
    total = b.add(branch, bent, "sum")
    b.softmax(b.dense(b.mean(total, "pool"), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]]), np.zeros(2)))
    return b.save(tmp_path_factory.mktemp("planted") / "model.onnx")


def test_the_figures_are_those_of_the_definitions(planted: Path):
    found = measure(planted, TEST, silent)["nonlinearity"]
    z = SCALES[:, None] * (IMAGES.astype(np.float64).ravel() / 255) + SHIFTS[:, None]
    x = silu(z)
    residual = [
        np.sum((out - np.polyval(np.polyfit(z_, out, 1), z_)) ** 2) if scale else 0.0
        for z_, out, scale in zip(z, x, SCALES, strict=True)
    ]
    varied = np.sum((x - x.mean(1, keepdims=True)) ** 2)
    assert found["silu"]["bent"] == pytest.approx(np.sqrt(np.sum(residual) / varied), rel=1e-3)
    assert 0.1 < found["silu"]["bent"] < 1

    by_image = x.reshape(4, 60, 16)
    gates = 1 / (1 + np.exp(-STRENGTH * by_image.mean(2)))
    assert found["gate"]["gate"] == pytest.approx(np.sqrt(gates.var(1).mean()), rel=1e-3)

    branch = BRANCH * gates[:, :, None] * by_image
    share = np.linalg.norm(branch) / np.linalg.norm(branch + by_image)
    assert found["residual"]["sum"] == pytest.approx(share, rel=1e-4)

    deviations = x.std(1)
    assert (deviations < DEAD * np.sqrt((deviations**2).mean())).tolist() == [False, False, 1, 1]
    assert found["dead"]["bent"] == 0.5


def test_accuracy_and_likelihood_are_the_answers(planted: Path):
    found = measure(planted, TEST, silent)["accuracy"]
    assert found["test"] == 0.0  # the linear channel is the larger one, and class 1
    assert found["nll"] > 1
