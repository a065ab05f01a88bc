"""Search: it finds true maxima where these are known, and ends as it should."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import MissingExtraError, UsageError
from lastbit.graph import OnnxBuilder
from lastbit.runtimes import OnnxRuntime
from lastbit.witness import measure, replay
from lastbit.witness.search import search
from support.networks import random_network

pytestmark = pytest.mark.slow


def two_pixels(path: Path, seed: int) -> Path:
    """A network on 1 x 2 images with bumps: SiLUs with large weights, of both signs."""
    random = np.random.default_rng(seed)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 1, 2)), 255)
    x = b.silu(b.conv(x, random.normal(0, 20, (6, 1, 1, 2)), random.normal(0, 10, 6)))
    b.softmax(b.dense(x, random.normal(0, 0.5, (3, 6)), random.normal(0, 1, 3)))
    return b.save(path)


def true_maximum(path: Path) -> float:
    """Over all 65,536 images, both pixels and all classes, by ONNX Runtime."""
    values = np.arange(256, dtype=np.uint8)
    images = np.stack(np.meshgrid(values, values, indexing="ij"), -1).reshape(256, 256, 2)
    answers = OnnxRuntime().probabilities(path, images.reshape(-1, 1, 1, 2)).astype(np.float64)
    answers = answers.reshape(256, 256, -1)
    left = abs(answers[values ^ 1] - answers).max()
    right = abs(answers[:, values ^ 1] - answers).max()
    return float(max(left, right))


@pytest.mark.parametrize("seed", range(3))
def test_the_maximum_over_all_images(tmp_path: Path, seed: int):
    path = two_pixels(tmp_path / "m.onnx", seed)
    found = search(path, starts=16, seed=seed, rounds=4)
    assert found.witness.lower >= (1 - 1e-4) * true_maximum(path)
    assert not found.interrupted


def test_a_separable_network_on_a_large_image(tmp_path: Path):
    """The slope of logit_0 is largest where one pixel is 255, and logit_0 = 0 needs the others."""
    random = np.random.default_rng(0)
    weight = random.uniform(-1, 1, (1, 1, 8, 8))
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 8, 8)), 255)
    x = b.conv(x, weight)
    b.softmax(b.dense(x, [[1.0], [0.0]], [0.0, 0.3]))
    path = b.save(tmp_path / "m.onnx")
    found = search(path, starts=16, rounds=2)
    strongest = abs(weight).max() / 255
    # The logits can be balanced to within a fraction of one step: the step then spans the middle.
    assert found.witness.lower >= 0.9999 * np.tanh(strongest / 4)
    assert found.witness.lower <= np.tanh(strongest / 4) + 1e-6
    assert np.ravel_multi_index(found.witness.pixel, (8, 8)) == abs(weight).argmax()


def test_it_starts_from_what_is_known_and_never_loses_it(tmp_path: Path):
    path, network = random_network(tmp_path, 0)
    first = search(path, starts=8, rounds=1).witness
    again = search(path, seconds=0.01, starts=1, known=first, seed=1).witness
    assert again.lower >= first.lower > 0
    assert again.image.shape == network.input_shape[1:]
    assert replay(path, again).confirmed


def test_the_seed_decides(tmp_path: Path):
    path, _ = random_network(tmp_path, 0)
    one, same, other = (search(path, starts=4, seed=s, rounds=1).witness for s in (1, 1, 2))
    assert (one.image == same.image).all()
    assert (one.image != other.image).any()


def test_a_network_that_never_moves(tmp_path: Path):
    b = OnnxBuilder()
    x = b.conv(b.div(b.input_bytes((1, 4, 4)), 255), np.zeros((2, 1, 3, 3)))
    b.softmax(b.dense(b.mean(x), np.eye(2)))
    found = search(b.save(tmp_path / "m.onnx"), starts=4, rounds=1)
    assert found.witness.lower == 0


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path):
    path, _ = random_network(tmp_path, 0)
    reports = []

    def report(score: float, *_: object) -> None:
        reports.append(score)
        raise KeyboardInterrupt

    found = search(path, seconds=60, starts=4, report=report)
    assert found.interrupted
    assert len(reports) == 1
    assert found.witness.lower == pytest.approx(reports[0], abs=1e-6)
    assert found.seconds < 60


def test_the_witness_is_what_measure_says(tmp_path: Path):
    path, _ = random_network(tmp_path, 0)
    w = search(path, starts=4, rounds=1).witness
    same = measure(path, w.image, w.pixel, w.class_index)
    assert (same.lower, same.runtimes) == (w.lower, w.runtimes)


def test_one_large_dense_layer_keeps_to_the_time(tmp_path: Path):
    """A patch of 55 x 55 pixels is no part of an image of 28 x 28: nothing is gained by it."""
    random = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.conv(b.div(b.input_bytes((1, 28, 28)), 255), random.normal(size=(4, 1, 28, 28)) / 28)
    b.softmax(b.dense(b.mean(b.sigmoid(x)), random.normal(size=(10, 4))))
    path, reports = b.save(tmp_path / "m.onnx"), list[float]()
    found = search(path, seconds=2, starts=8, report=lambda *said: reports.append(said[-1]))
    assert found.patch is None and found.searched and found.starts > 0
    assert reports[0] < 2 and found.seconds < 6  # seconds, on a machine that does other things too


def test_a_pair_that_is_known_is_not_run_again_if_nothing_beats_it(tmp_path: Path):
    path, _ = random_network(tmp_path, 0)
    first = search(path, starts=4, rounds=1).witness
    found = search(path, seconds=1e-9, starts=1, known=first)
    assert found.witness is first and not found.searched and found.starts == 0


def test_what_makes_no_sense(tmp_path: Path):
    path, _ = random_network(tmp_path, 0)
    with pytest.raises(UsageError, match="some time"):
        search(path, seconds=float("nan"))
    with pytest.raises(UsageError, match="at least one start"):
        search(path, starts=0)


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, _ = random_network(tmp_path, 0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"\[train\]"):
        search(path)
