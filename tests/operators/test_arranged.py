"""Networks that arrange and pool in any layout: every reader computes the same, bounds hold."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32 import execute_float64
from lastbit.graph import Asked, Network, between, read_onnx
from lastbit.runtimes import OnnxRuntime, PyTorch, Reference
from lastbit.runtimes.jax_network import jax_run
from lastbit_check.operators import seen
from lastbit_check.operators.pooling import MaxKind
from lastbit_check.question import LAST_BIT, Box, Step
from soundness.harness import assault, subject_of
from support.arranged import ArrangedNetwork

QUESTIONS = {
    "unit": replace(LAST_BIT, pixels=(Step("Div", (255.0,)),)),
    "normalised": replace(
        LAST_BIT, pixels=(Step("Div", (255.0,)), Step("Sub", (0.125,)), Step("Div", (0.25,)))
    ),
    "box": replace(LAST_BIT, box=Box(-1.0, 3.0)),
}


def images_of(network: Network, seed: int, count: int = 3) -> np.ndarray:
    grey = np.random.default_rng(seed).integers(0, 256, (count, *network.input_shape))
    return between(grey, network.question)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.first_is_quick
def test_every_reader_computes_the_same(tmp_path: Path, seed: int) -> None:
    path = ArrangedNetwork(seed).save(tmp_path / "model.onnx")
    network = read_onnx(path)
    images = images_of(network, seed)
    expected = np.stack([execute_float64(network, image)[0] for image in images])
    for runtime in (OnnxRuntime(), OnnxRuntime(optimise=False), PyTorch(), Reference()):
        found = runtime.probabilities(path, images)
        assert np.abs(found - expected).max() < 2e-5, runtime.name
    if find_spec("jax"):
        found = jax_run(network)(images)[network.output].reshape(len(images), -1)
        assert np.abs(found - expected).max() < 2e-5


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.first_is_quick
def test_bounds_hold_under_attack(tmp_path: Path, seed: int) -> None:
    path = ArrangedNetwork(100 + seed).save(tmp_path / "model.onnx")
    assault(subject_of(path.read_bytes(), read_onnx(path)), seed)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.first_is_quick
def test_of_models_that_read_float32_and_return_logits(
    tmp_path: Path, seed: int, name: str
) -> None:
    path = ArrangedNetwork(seed, bytes_in=False).save(tmp_path / "model.onnx")
    model = Asked(path, QUESTIONS[name])
    network = read_onnx(model)
    images = images_of(network, seed)
    expected = np.stack([execute_float64(network, image)[0] for image in images])
    for runtime in (OnnxRuntime(), PyTorch(), Reference()):
        found = runtime.probabilities(model, images)
        assert np.abs(found - expected).max() < 2e-5, runtime.name
    assault(subject_of(path.read_bytes(), network), seed)


def test_a_pool_that_forgets_a_unit_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_tap(setting: object, x: object) -> object:
        return right(replace(setting, taps=setting.taps[:1]), x)  # type: ignore[type-var,attr-defined]

    right = MaxKind._over
    monkeypatch.setattr(MaxKind, "_over", staticmethod(first_tap))
    assert _exceeded(tmp_path, "MaxPool")


def test_a_view_in_another_order_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_own_order", lambda units: None)
    with pytest.raises(AssertionError):
        for seed in range(30):
            test_every_reader_computes_the_same(tmp_path, seed)


def _exceeded(folder: Path, operator: str) -> bool:
    """Whether an attack on one of some networks with the operator succeeds."""
    for seed in range(60):
        made = ArrangedNetwork(seed)
        if operator not in {node.op_type for node in made.model().graph.node}:
            continue
        path = made.save(folder / "model.onnx")
        try:
            assault(subject_of(path.read_bytes(), read_onnx(path)), seed)
        except AssertionError:
            return True
    return False
