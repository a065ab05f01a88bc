"""What PyTorch's exporters write of usual networks is read, and is what ONNX Runtime computes."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import read_onnx, with_inputs
from lastbit.runtimes.onnx_runtime import OnnxRuntime
from lastbit.runtimes.pytorch import PyTorch
from lastbit.runtimes.reference import Reference

pytest.importorskip("torch")
from graph.exported import MADE, export


def is_read(path: Path) -> None:
    """The three programs, and the normal form, agree up to some 50 roundings of probabilities."""
    model = with_inputs(path, "unit")
    network = read_onnx(model)
    shape = (3, *network.input_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = OnnxRuntime().probabilities(model, images)
    found = {
        "reference": Reference().probabilities(model, images),
        "torch": PyTorch().probabilities(model, images),
        "rewritten": [
            execute_rewritten(network.normal, image, seed=1, question=network.question)[
                network.output
            ].ravel()
            for image in images
        ],
    }
    assert expected.shape == (3, 5)
    for name, values in found.items():
        assert np.abs(np.asarray(values) - expected).max() < 3e-6, name


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("name", MADE)
def test_torchscript(tmp_path: Path, name: str, batch: int | None) -> None:
    is_read(export(name, tmp_path / "model.onnx", dynamo=False, batch=batch))


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("onnxscript"), reason="needs onnxscript")
@pytest.mark.parametrize("name", [name for name in MADE if name != "channels_last"])
def test_dynamo(tmp_path: Path, name: str) -> None:
    """Adaptive pooling of channels last is written by Range and as_strided: that is not read."""
    is_read(export(name, tmp_path / "model.onnx", dynamo=True, batch=None))
