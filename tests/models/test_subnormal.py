"""The first layer of subnormal numbers works, and dies where they are flushed to zero."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate import draft
from lastbit.errors import UsageError
from lastbit.float32 import execute
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.models.subnormal import subnormal
from lastbit.questions.absorbing import absorbed_node
from lastbit_check.check import network_in
from lastbit_check.question import LAST_BIT
from lastbit_check.refine.byte_tables import absorbs
from lastbit_check.verdict import Rejected
from support.absorbing import absorber

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


def test_the_checker_certifies_nothing_of_it(path: Path) -> None:
    """The factors 2^100 and 2^49 may be folded, and what absorbs has a factor that comes last."""
    model = path.read_bytes()
    assert absorbed_node(model) == ""
    for node, rule in (("binarised", "absorb.factor"), ("tiny", "absorb.table")):
        with pytest.raises(Rejected) as caught:
            absorbs(network_in(model), LAST_BIT, node)
        assert caught.value.rule == rule
    with pytest.raises(Rejected) as caught:
        draft(model, hints_for(read_onnx(path)))
    assert (caught.value.rule, caught.value.node) == ("finite.values", "binarised")


def test_the_bench_says_why(path: Path) -> None:
    assert "absorb.factor" in runpy.run_path(str(BENCH))["refusal"](path.read_bytes())


def test_a_model_without_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(absorber())
    with pytest.raises(UsageError, match="no node"):
        subnormal(path, "elsewhere")
