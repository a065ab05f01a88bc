"""A sweep finds what plain loops over every neighbour find, whatever program runs the model."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.models.shipped import resolve_model
from lastbit.runtimes import NAMED
from lastbit.sweep import Goals, Local, no_limits, sweep
from soundness.small import certified, model as small_model
from support.absorbing import absorber
from support.networks import random_network
from support.seeds import seeds
from support.swept import BOTH, images_at, known, random_images, swept, told


def available(runtime: str) -> bool:
    return runtime not in ("torch", "jax") or find_spec(runtime) is not None


@pytest.mark.parametrize("runtime", NAMED)
def test_a_sweep_finds_what_loops_find(tmp_path: Path, runtime: str) -> None:
    if not available(runtime):
        pytest.skip(f"needs {runtime}")
    model = certified(tmp_path) / "model.onnx"
    bytes_of = random_images(5, 6)
    images = images_at(tmp_path / "i.npy", resolve_model(model), bytes_of)
    truth = known(model, bytes_of, runtime)
    fast = swept(tmp_path / "fast", images, model, runtime=runtime)
    slow = swept(tmp_path / "slow", images, model, runtime=runtime, limits=no_limits)
    assert fast.content() == slow.content()
    assert [*fast.rows_of_each()] == [*slow.rows_of_each()]
    assert [told(found) for found in fast.largest] == truth.largest()
    assert fast.by_place is not None
    for place, found in enumerate(fast.by_place):
        assert found is not None and told(found) == truth.at_place(place)
    lines = b"".join(fast.rows_of_each()).decode().splitlines()[1:]
    for number, line in enumerate(lines):
        change, _, place, chosen = truth.of_image(number)
        row, column = divmod(place, 6)
        cells = line.split(",")
        assert cells[:6] == [str(number), "", "0", str(row), str(column), str(chosen)]
        assert float(cells[8]) == float(change)
    # every neighbour, and each task's image once more
    assert slow.executions == 5 + 5 * (3 + 36) and slow.brute_force == 5 * 37


@pytest.mark.parametrize("seed", seeds(2, 12))
def test_random_networks_are_swept_exactly(tmp_path: Path, seed: int) -> None:
    path, network = random_network(tmp_path, seed)
    channels, height, width = network.input_shape
    random = np.random.default_rng(seed)
    given = random.integers(0, 256, (4, channels, height, width), dtype=np.uint8)
    images = images_at(tmp_path / "i.npy", resolve_model(path), given)
    for goals in (Goals(), BOTH):
        fast = swept(tmp_path / f"f{goals.each}", images, path, goals=goals)
        slow = swept(tmp_path / f"s{goals.each}", images, path, goals=goals, limits=no_limits)
        assert fast.content() == slow.content()
        assert fast.verdict == "swept"


def test_a_layer_that_absorbs_leaves_one_run_for_each_image(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(absorber())
    images = images_at(tmp_path / "i.npy", resolve_model(path), random_images(50, 4))
    fast = swept(tmp_path / "fast", images, path, goals=Goals())
    slow = swept(tmp_path / "slow", images, path, goals=Goals(), limits=no_limits)
    assert fast.content() == slow.content()
    # the ten largest changes, all 0, are those of the first image's first places
    assert fast.executions == 50 + (1 + 8) + (1 + 8)
    assert slow.executions > 50 * 16
    assert "no last bit gets through" in fast.limits


def linear(folder: Path, weights: np.ndarray, bias: float) -> Path:
    """Two classes whose logits differ by 2 (w . v / 255 + bias)."""
    b = OnnxBuilder()
    side = len(weights)
    x = b.conv(b.div(b.input_bytes((1, side, side)), 255), weights[None, None], np.array([bias]))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    return b.save(folder / "model.onnx")


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_a_planted_maximum_is_found_and_little_else_is_run(tmp_path: Path, seed: int) -> None:
    """Of a linear network the change of every pair is known; one image stands on the boundary."""
    random = np.random.default_rng(seed)
    weights = random.uniform(-8, 8, (4, 4))
    given = random.integers(0, 256, (60, 4, 4), dtype=np.uint8)
    boundary = float((weights * given[random.integers(60)]).sum() / 255)
    model = linear(tmp_path, weights, -boundary)
    images = images_at(tmp_path / "i.npy", resolve_model(model), given)
    found = swept(tmp_path / "s", images, model, goals=Goals())
    logits = 2 * ((weights * given).sum(axis=(1, 2)) / 255 - boundary)[:, None]
    steps = (2 / 255 * weights * (1 - 2.0 * (given & 1))).reshape(60, 16)
    truth = np.abs(1 / (1 + np.exp(-logits - steps)) - 1 / (1 + np.exp(-logits)))
    for item, change in zip(found.largest, np.sort(truth, axis=None)[::-1], strict=False):
        assert item.change.high == pytest.approx(change, abs=1e-5)
        assert truth[item.image, item.place] == pytest.approx(change, abs=2e-5)
    assert found.largest[0].change.high > 0.8 * np.abs(weights).max() / 255 / 2
    assert found.executions < found.brute_force / 4


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(6, 6))
    one = swept(tmp_path / "one", images, model)
    files = resolve_model(model)
    two = sweep(files, images, tmp_path / "two", engine=Local(2), goals=BOTH)
    assert one.content() == two.content()
    assert [*one.rows_of_each()] == [*two.rows_of_each()]


def test_a_second_sweep_runs_nothing_and_other_goals_go_on(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(4, 6))
    first = swept(tmp_path / "s", images, model, goals=Goals())
    again = swept(tmp_path / "s", images, model, goals=Goals())
    assert first.content() == again.content()
    assert again.executions == again.resumed == first.executions
    more = swept(tmp_path / "s", images, model, goals=BOTH)
    assert more.resumed == first.executions <= more.executions
    assert more.content() == swept(tmp_path / "t", images, model).content()


def test_numbers_move_within_their_box_only(tmp_path: Path) -> None:
    """Of a model of float32 numbers a neighbour outside the box is no input."""
    b = OnnxBuilder()
    kernel = np.array([[[[3.0, -2.0], [1.0, 0.5]]]])
    x = b.conv(b.input_bytes((1, 2, 2)), kernel, np.zeros(1))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    proto = onnx.load_from_string(b.to_bytes())
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    files = resolve_model(path)
    given = np.array([[[0.0, 1.0], [-0.0, 0.3]]], np.float32)
    images = images_at(tmp_path / "i.npy", files, given)
    found = sweep(files, images, tmp_path / "s", engine=Local(1), goals=BOTH)
    # 1 and -0 would leave the box; 0 becomes the smallest number there is
    assert found.by_place is not None and found.pairs == 2
    assert [place is None for place in found.by_place] == [False, True, True, False]
    slow = sweep(files, images, tmp_path / "t", engine=Local(1), goals=BOTH, limits=no_limits)
    assert found.content() == slow.content()
    assert json.loads(found.content())["question"]["box"] == [0.0, 1.0]


def test_a_model_without_a_certificate_is_bounded_anew(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model())
    images = images_at(tmp_path / "i.npy", resolve_model(path), random_images(3, 6))
    found = swept(tmp_path / "s", images, path)
    assert "no certificate" in found.limits
    assert found.upper == {} and found.verdict == "swept"
    assert found.content() == swept(tmp_path / "t", images, path, limits=no_limits).content()
