"""Replay: the runtimes agree with each other, and the lower bound is never rounded up."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from lastbit.errors import ModelError, UsageError
from lastbit.float32 import execute_float64
from lastbit.graph import (
    Float32Array,
    ImageArray,
    Model,
    OnnxBuilder,
    flip_last_bit,
    read_onnx,
)
from lastbit.runtimes import THREADS, OnnxRuntime, PyTorch, Run, runtimes, thread_settings
from lastbit.witness import measure, read_witness, replay, write_witness
from lastbit.witness.replay import distance
from support.networks import random_images, random_network


def test_names_tell_versions():
    names = [runtime.name for runtime in runtimes()]
    assert names[0].startswith("onnxruntime ")
    assert names[-1].startswith("lastbit-reference ")
    assert len(set(names)) == len(names)
    assert OnnxRuntime(optimise=False).name.endswith("unoptimised")


@pytest.mark.parametrize("seed", range(12))
def test_every_runtime_computes_the_network(tmp_path: Path, seed: int):
    path, network = random_network(tmp_path, seed)
    images = random_images(network, seed)
    exact = np.stack([execute_float64(network, image)[0] for image in images])
    for runtime in [*runtimes(), OnnxRuntime(optimise=False)]:
        got = runtime.probabilities(path, images)
        assert got.dtype == np.float32
        assert got.shape == exact.shape
        # Some 50 roundings in a row of values up to about 10, or 2^-24 * 500.
        assert abs(got - exact).max() < 3e-5


@pytest.mark.parametrize("kind", [OnnxRuntime, PyTorch])
def test_a_witness_is_attained_at_every_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[OnnxRuntime | PyTorch]
):
    """Sums split among threads end in other last bits; here one number of threads moves less."""
    path, network = random_network(tmp_path, 1)
    image = random_images(network, 1)[0, 0]
    plain = replay(path, measure(path, image, (2, 1), 1), on=[kind()]).lower
    computed = kind.probabilities

    def wavering(self: OnnxRuntime | PyTorch, model: Path, images: ImageArray) -> Float32Array:
        found = computed(self, model, images)  # pyright: ignore[reportArgumentType]
        return found * np.float32(0.5) if self.threads == THREADS[-1] else found

    monkeypatch.setattr(kind, "probabilities", wavering)
    found = measure(path, image, (2, 1), 1, on=[kind()])
    settings = thread_settings(kind())
    assert found.lower == min(replay(path, found, on=[one]).lower for one in settings) < plain
    assert found.runtimes == {kind().name: found.lower}
    assert [one for one in settings if replay(path, found, on=[one]).confirmed] == settings
    assert not replay(path, replace(found, lower=plain), on=settings[-1:]).confirmed


def test_the_number_of_threads_of_the_process_stays_as_it_was(tmp_path: Path):
    path, network = random_network(tmp_path, 1)
    before = torch.get_num_threads()
    PyTorch(threads=before + 1).probabilities(path, random_images(network, 1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("optimise", [False, True])
def test_settings_differ_in_threads_alone(optimise: bool):
    settings = thread_settings(OnnxRuntime(optimise=optimise))
    assert {one.name for one in settings} == {OnnxRuntime(optimise=optimise).name}
    assert thread_settings(broken := Broken()) == [broken]


def test_measure_write_read_replay(tmp_path: Path):
    path, network = random_network(tmp_path, 1)
    image = random_images(network, 1)[0, 0]
    witness = measure(path, image, (2, 1), 1)
    assert witness.lower == min(witness.runtimes.values())
    assert set(witness.runtimes) == {runtime.name for runtime in runtimes()}
    write_witness(tmp_path / "witness.json", witness)
    result = replay(path, read_witness(tmp_path / "witness.json"))
    assert result.changes == witness.runtimes
    assert result.lower == witness.lower
    assert result.confirmed
    pair = image[None], flip_last_bit(image, 2, 1)[None]
    for runtime in runtimes():
        first, second = result.probabilities[runtime.name]
        assert result.changes[runtime.name] == abs(second - first)
        assert (first, second) in [
            tuple(float(setting.probabilities(path, one)[0, 1]) for one in pair)
            for setting in thread_settings(runtime)
        ]


def test_more_than_a_runtime_shows_is_not_confirmed(tmp_path: Path):
    path, network = random_network(tmp_path, 1)
    witness = measure(path, random_images(network, 1)[0], (2, 1), 1)
    above = replace(witness, lower=math.nextafter(witness.lower, 1.0))
    assert not replay(path, above).confirmed


def test_wrong_model_class_pixel_and_shape(tmp_path: Path):
    path, network = random_network(tmp_path, 1)
    other = random_network(tmp_path, 2)[0]
    image = random_images(network, 1)[0]
    witness = measure(path, image, (2, 1), 1)
    with pytest.raises(UsageError, match="the witness is for the model"):
        replay(other, witness)
    with pytest.raises(UsageError, match="class 10 is not one of"):
        replay(path, replace(witness, class_index=10))
    with pytest.raises(UsageError, match="outside"):
        measure(path, image, (99, 0), 0)
    with pytest.raises(UsageError, match="do not fit"):
        replay(path, replace(witness, image=np.zeros((28, 28), np.uint8)))


def test_models_with_a_fixed_batch_run_one_image_at_a_time(tmp_path: Path):
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 2, 2)), 255)
    b.softmax(b.dense(b.mean(x), [[1], [-1]]))
    model = b.model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "fixed.onnx"
    path.write_bytes(model.SerializeToString())
    images = random_images(read_onnx(path), 0, count=5)
    for runtime in runtimes():
        assert runtime.probabilities(path, images).shape == (5, 2)


class Broken:
    """A runtime that returns NaN."""

    name = "broken 0"

    def load(self, model: Model) -> Run:
        return lambda images: np.full((len(images), 10), np.nan, np.float32)

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)


def test_a_runtime_without_numbers_is_no_evidence(tmp_path: Path):
    path, network = random_network(tmp_path, 1)
    with pytest.raises(ModelError, match="broken 0 returns no number"):
        measure(path, random_images(network, 1)[0], (2, 1), 1, on=[Broken()])


def test_onnxruntime_refuses_in_our_words(tmp_path: Path):
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not an ONNX file"):
        OnnxRuntime().load(tmp_path / "bad.onnx")


def test_distance_never_rounds_up():
    assert distance(0.75, 0.5) == 0.25
    assert distance(0.5, 0.75) == 0.25
    assert distance(1.0, 2.0**-100) == 1 - 2.0**-53
    random = np.random.default_rng(0)
    for _ in range(200):
        x, y = (float(np.float32(v)) for v in random.random(2) ** random.integers(1, 60))
        d = distance(x, y)
        exact = abs(Fraction(x) - Fraction(y))
        assert Fraction(d) <= exact
        assert d == float(exact) or Fraction(math.nextafter(d, 1.0)) > exact
