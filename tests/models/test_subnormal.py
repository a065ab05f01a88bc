"""The first layer of subnormal numbers works, and dies where they are flushed to zero."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from support.absorbing import absorber
from lastbit.questions.absorbing import absorbed_node
from lastbit.certificate import draft
from lastbit.hints import hints_for
from lastbit.errors import UsageError
from lastbit.float32 import execute
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.models.subnormal import subnormal

BENCH = Path(__file__).parents[2] / "bench" / "zero_subnormal.py"


def small(folder: Path) -> Path:
    """A classifier of 28 x 28 pixels whose node `pixels` is v/255."""
    random = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 28, 28)), 255, "pixels")
    x = b.silu(b.conv(x, random.normal(size=(4, 1, 3, 3)), random.normal(size=4), stride=2))
    b.softmax(b.dense(b.mean(x), random.normal(size=(10, 4)), np.zeros(10)))
    return b.save(folder / "small.onnx")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "model.onnx"
    made.write_bytes(subnormal(small(tmp_path)))
    return made


def test_it_binarises_every_byte_without_flush_to_zero(path: Path) -> None:
    network = read_onnx(path)
    image = np.zeros((28, 28), np.uint8)
    image.reshape(-1)[:256] = np.arange(256)
    for order in ("forward", "worst_first", "random:1"):
        _, values = execute(network, image, order=order, keep=True)
        seen = values["binarised"].reshape(-1)[:256]
        assert np.array_equal(seen, (np.arange(256) >= 128).astype(np.float32))
    _, flushed = execute(network, image, flush_to_zero=True, keep=True)
    assert not flushed["binarised"].any()


def test_runtimes_agree_and_flush_to_zero_blinds_them(path: Path) -> None:
    """No pair of bytes tells in either; but flushed, all images have one and the same answer."""
    bench = runpy.run_path(str(BENCH))
    images = np.random.default_rng(1).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    found = bench["figures"](path, images, np.zeros(6, np.uint8))
    (_, told, answers), (_, flushed_told, flushed_answers) = found.values()
    assert (told, flushed_told) == (0, 0)
    assert answers == 6
    assert flushed_answers == 1


def test_the_checker_does_not_certify_it_as_0(path: Path) -> None:
    """An allowed execution may flush what is subnormal: its table holds 0 and 2^-149 alike."""
    model = path.read_bytes()
    assert absorbed_node(model) == ""
    assert "absorb.bytes" in runpy.run_path(str(BENCH))["refusal"](model)
    assert draft(model, hints_for(read_onnx(path))).derived.upper == 1


def test_a_model_without_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(absorber())
    with pytest.raises(UsageError, match="no node"):
        subnormal(path, "elsewhere")
