"""docs/models.md: what it says to type is typed, and what that makes is read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.cli import main
from lastbit.graph import read_onnx, with_inputs
from support import pages
from support.vision import loaded

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
EXPORTS = Path(__file__).parent / "graph" / "exports"


def blocks(section: str) -> list[str]:
    """What a reader is told to type in a section, block by block."""
    return [block.code for block in pages.blocks(PAGE, section)]


def typed(block: str) -> None:
    """Commands: `import` is run, and of `prove` the model is read."""
    for line in block.splitlines():
        program, command, *options = shlex.split(line)
        assert program == "lastbit"
        if command == "prove":
            path, *pixels = options
            said = dict(zip(pixels[::2], pixels[1::2], strict=True))
            network = read_onnx(with_inputs(Path(path), said.get("--pixels")))
            assert network.classes == 5
        else:
            assert main([command, *options]) == 0


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def network(channels: int = 1) -> Any:
    nn: Any = pytest.importorskip("torch").nn
    return nn.Sequential(
        *(nn.Conv2d(channels, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    )


def test_pytorch() -> None:
    torch: Any = pytest.importorskip("torch")
    default, older, proved, imported = blocks("PyTorch")
    assert "external_data" in default and "dynamo=False" in older
    for block in (default, older):
        if block is default and not find_spec("onnxscript"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(block, {"model": network(), "images": torch.rand(1, 1, 12, 12)})
        typed(proved)
    typed(imported)
    read_onnx(with_inputs(Path("whole.onnx"), "unit"))


def test_weights() -> None:
    pytest.importorskip("torch")
    with loaded():
        import timm
        from safetensors.torch import save_file

        model = timm.create_model("test_efficientnet", num_classes=5)
        save_file(model.state_dict(), "checkpoint.safetensors")
        for block in blocks("Weights of timm and torchvision"):
            typed(block)


def test_keras() -> None:
    """What the block writes is in tests/graph/exports; with Keras here, it is written anew."""
    export, proved = blocks("Keras 3")
    if find_spec("keras") and find_spec("onnxscript"):
        program = (
            "import keras\n"
            "from keras import layers\n"
            "model = keras.Sequential([keras.Input((6, 6, 1)), layers.Rescaling(1 / 255),"
            " layers.Flatten(), layers.Dense(5)])\n"
            "model(keras.random.uniform((1, 6, 6, 1)))\n"
        )
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program + export],
            env={**os.environ, "KERAS_BACKEND": "torch"}, check=True, capture_output=True,
        )  # fmt: skip
    else:
        Path("model.onnx").write_bytes((EXPORTS / "keras-bytes.onnx").read_bytes())
    typed(proved)


def test_scikit_learn() -> None:
    """Likewise of scikit-learn."""
    export, kept = blocks("scikit-learn")
    if find_spec("skl2onnx"):
        from sklearn.neural_network import MLPClassifier  # pyright: ignore[reportMissingImports]

        random = np.random.default_rng(0)
        images, labels = random.random((50, 36), np.float32), np.arange(50) % 5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MLPClassifier((8,), max_iter=2, random_state=0).fit(images, labels)
            exec(export, {"model": model, "images": images[:1]})
    else:
        Path("model.onnx").write_bytes((EXPORTS / "sklearn-relu.onnx").read_bytes())
    typed(kept)
