"""Every way of running a network: what is covered is within, and what is not is caught."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit.execution import Execution, run_in_batches
from lastbit.audit.executions import executions
from lastbit.audit.flushed import Kind, flushed_run
from lastbit.audit.functions import compiler_problem
from lastbit.audit.network import audit_execution, repeated
from lastbit.audit.onnx_values import fused_run, onnx_run
from lastbit.errors import ModelError
from lastbit.graph import Linear, OnnxBuilder
from lastbit.runtimes import OnnxRuntime
from lastbit.runtimes.onnx_runtime import LEVELS
from support.audited import Audited, audited, chosen, small
from support.networks import RandomNetwork

NAMES = {
    "random tree, flush-to-zero", "rewritten at random, 2", "unoptimised, batch 1",
    "optimised (basic), fused", "optimised, fused, 2 threads", "channels-last",
    "oneDNN off, NNPACK off", "bfloat16 autocast", "flush-to-zero",
}  # fmt: skip
if find_spec("jax"):
    NAMES.add("jit")


def test_every_execution_is_within_and_bfloat16_is_caught(tmp_path: Path) -> None:
    subject = small(tmp_path)
    images = subject.images(0, count=5)
    listed, missing = executions(subject.subject, compiled=False)
    assert missing["torch compiled"] == "left out, as compiling takes minutes"
    assert {e.setting for e in listed} >= NAMES
    for execution in listed:
        if "flush-to-zero" in execution.setting:
            continue  # below, with numbers that are flushed
        row = audit_execution(execution, subject.judge, images)
        assert row.as_expected, (execution.name, row.worst, row.nodes[row.worst])
        assert row.within or not execution.covered
        assert row.repeats
        assert (row.images, row.all_nodes) == (5, len(subject.names))
    (caught,) = chosen(listed, "bfloat16 autocast")
    assert not audit_execution(caught, subject.judge, images).within


def test_a_program_that_is_not_deterministic_is_named(tmp_path: Path) -> None:
    subject = small(tmp_path)
    (execution,) = chosen(executions(subject.subject, compiled=False)[0], "unoptimised")
    run, count = execution.start(), iter(range(10))

    def fickle(images):
        values, step = dict(run(images)), next(count) % 2
        last = values["probabilities"]
        return {**values, "probabilities": np.nextafter(last, last + step)}

    assert repeated(run, subject.images(0))
    row = audit_execution(replace(execution, start=lambda: fickle), subject.judge,
                          subject.images(0))  # fmt: skip
    assert not row.repeats
    assert not row.within
    assert not row.as_expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Inductor's own making
def test_what_torch_compile_makes_is_within(tmp_path: Path) -> None:
    from lastbit.runtimes.torch_network import torch_run

    if compiler_problem():
        pytest.skip(compiler_problem())
    subject = small(tmp_path)
    start = partial(torch_run, subject.network, compiled=True)
    row = audit_execution(Execution("torch", "compiled", start), subject.judge, subject.images(0))
    assert row.within, (row.worst, row.nodes[row.worst])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.first_is_quick
def test_jax_is_within(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("jax")
    from lastbit.runtimes.jax_network import jax_run

    subject = audited(RandomNetwork(seed).b, tmp_path)
    execution = Execution("jax", "", partial(jax_run, subject.network))
    row = audit_execution(execution, subject.judge, subject.images(0))
    assert row.within, (row.worst, row.nodes[row.worst])


@pytest.mark.parametrize("level", LEVELS)
def test_the_fused_graph_is_the_one_that_runs_by_default(tmp_path: Path, level) -> None:
    """To the bit: to show its tensors changes nothing."""
    subject = small(tmp_path)
    images = subject.images(0)
    every = onnx_run(subject.path, subject.network, level="off")(images)
    fused = fused_run(subject.subject.structures.fused(level))(images)
    assert set(every) == {node.name for node in subject.network.nodes[1:]}
    assert set(fused) <= set(subject.form.by_name)
    assert subject.network.output in fused
    if level == "all":
        assert not set(subject.names) <= set(fused)
        found = OnnxRuntime().probabilities(subject.path, images)
        assert np.array_equal(fused[subject.network.output].reshape(3, -1), found)


# ---- settings of PyTorch ---------------------------------------------------------------------


def wide(folder: Path) -> Audited:
    """3x3 convolutions, dense and depthwise, on images that Winograd's method takes."""
    random, b, channels = np.random.default_rng(3), OnnxBuilder(), 16
    x = b.div(b.input_bytes((1, 20, 20)), 255)
    x = b.conv(x, random.normal(size=(channels, 1, 3, 3)), padding=1)
    x = b.silu(b.conv(x, random.normal(0, 0.1, (channels, channels, 3, 3)), padding=1))
    x = b.conv(x, random.normal(size=(channels, 1, 3, 3)), padding=1, group=channels)
    b.softmax(b.dense(b.mean(x), random.normal(size=(2, channels))))
    return audited(b, folder)


@pytest.mark.slow
def test_settings_that_break_an_assumption_are_caught(tmp_path: Path) -> None:
    """Winograd's method where oneDNN is off, bfloat16; and what mends it is within."""
    torch = pytest.importorskip("torch")
    from lastbit.audit.rewriting_page import MENDS
    from lastbit.audit.torch_settings import torch_executions

    subject = wide(tmp_path)
    images = subject.images(0, count=16)
    listed = torch_executions(subject.subject)
    rows = {e.setting: audit_execution(e, subject.judge, images)
            for e in listed if "flush" not in e.setting}  # fmt: skip
    assert all(row.as_expected for row in rows.values())
    assert all(row.within for row in rows.values() if row.covered)
    assert {row.setting for row in rows.values() if not row.covered} <= set(MENDS)
    assert not rows["bfloat16 autocast"].within
    if torch.backends.nnpack.is_available():
        assert not rows["oneDNN off: NNPACK's Winograd"].within
    assert rows["oneDNN off, NNPACK off"].within
    assert torch.backends.mkldnn.enabled


def test_channels_last_is_what_convolutions_return(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from lastbit.runtimes.torch_network import TorchNetwork

    subject = small(tmp_path)
    images = torch.from_numpy(subject.images(0)).float()
    (depthwise,) = (n.name for n in subject.network if isinstance(n, Linear) and n.group == 3)
    for layout in (torch.channels_last, torch.contiguous_format):
        value = TorchNetwork(subject.network, memory_format=layout).values(images)[depthwise]
        assert value.is_contiguous(memory_format=layout)
        assert value.shape[1] > 1


# ---- subnormal numbers, and batches ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["onnxruntime", "onnxruntime-all", "torch"])
@pytest.mark.first_is_quick
def test_subnormal_numbers_are_flushed_in_the_child_and_not_here(
    tmp_path: Path, kind: Kind
) -> None:
    b = OnnxBuilder()
    x = b.silu(b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**-70)))
    x = b.silu(b.affine(x, "mul", np.float32(2.0**-75), name="tiny"))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    subject = audited(b, tmp_path)
    images = np.full((2, 1, 2, 2), 200, np.uint8)
    fused = subject.subject.structures.fused("all") if kind == "onnxruntime-all" else None
    flushed = flushed_run(kind, subject.path, fused)(images)
    assert not flushed["tiny"].any()
    assert onnx_run(subject.path, subject.network, level="off")(images)["tiny"].any()
    assert np.float32(2.0**-130) * np.ones(1, np.float32) != 0
    shown = {name: v for name, v in flushed.items() if name in subject.names}
    assert all(finding.holds for finding in subject.findings(images, shown).values())


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="fails with flush-to-zero"):
        flushed_run("torch", tmp_path / "no.onnx")(np.zeros((1, 1, 2, 2), np.uint8))


def test_batches_are_full_and_nothing_is_lost() -> None:
    sizes: list[int] = []

    def start():
        def run_batch(images):
            sizes.append(len(images))
            return {"mean": images.mean((1, 2, 3), keepdims=True).astype(np.float32)}

        return run_batch

    images = np.random.default_rng(0).integers(0, 256, (70, 1, 2, 2), np.uint8)
    for batch, calls in ((64, [64, 64]), (1, [1] * 70), (48, [48] * 3)):
        sizes.clear()
        parts = list(run_in_batches(Execution("", "", start, batch), images))
        assert sizes == calls
        assert [len(part) for part, _ in parts] == [64, 6]
        got = np.concatenate([values["mean"] for _, values in parts])
        assert np.array_equal(got, images.mean((1, 2, 3), keepdims=True).astype(np.float32))
        assert replace(Execution("a", "b", start), batch=batch).name == "a, b"
