"""A whole network: what the judge says is so, and no value outside of anything passes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit.executions import Execution, executions, run_in_batches, torch_run
from lastbit.audit.flushed import flushed_run
from lastbit.audit.nodes import NetworkJudge
from lastbit.audit.onnx_values import onnx_run
from lastbit.audit.whole import audit_execution
from lastbit.errors import ModelError
from lastbit.graph import Linear, OnnxBuilder, Silu, read_onnx
from lastbit.witness.runtimes import OnnxRuntime
from soundness.harness import (
    NearlyLinear,
    RandomNetwork,
    Subject,
    Values,
    built,
    exact_value,
    real,
    run,
    subject_of,
    ways,
)
from soundness.small import model as small_model
from support.networks import random_images


def stacked(subject: Subject, images: np.ndarray, way: Mapping[str, object]) -> Values:
    parts = [run(subject.network, image, dict(way)) for image in images]
    return {
        node.name: np.stack([v[node.name] for v in parts]) for node in subject.network.nodes[1:]
    }


def small(folder: Path) -> Subject:
    """Every operator once: a residual block, a gate, batch norm, silu, mean, affine."""
    path = folder / "small.onnx"
    path.write_bytes(small_model())
    return subject_of(path.read_bytes(), read_onnx(path))


@pytest.mark.parametrize("seed", range(10))
def test_every_allowed_execution_is_within(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    subject = subject_of(*built(kind(seed, adversarial=seed % 3 == 0).b, tmp_path))
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, seed, count=4)
    how = ways(seed)
    for _ in range(6):
        found = judge.findings(images, stacked(subject, images, next(how)))
        assert len(found) == len(subject.network.nodes) - 1
        assert all(finding.holds for finding in found.values()), found


@pytest.mark.parametrize("seed", range(6))
def test_a_share_is_never_below_the_true_one(tmp_path: Path, seed: int) -> None:
    """Against 64-bit mantissas, whose own errors are 2^-11 of the judge's allowance for its own."""
    subject = subject_of(*built(RandomNetwork(seed).b, tmp_path))
    images = random_images(subject.network, seed, count=3)
    values = stacked(subject, images, {"order": "worst_first"})
    found = NetworkJudge(subject.network, subject.derived).findings(images, values)
    for name, bound in subject.derived.roundings.items():
        allowed = real(bound)[..., 0]
        shares = []
        for k, image in enumerate(images):
            one = {n: v[k] for n, v in values.items()} | {"image": image.astype(np.float32)}
            exact = exact_value(subject.network[name], one)
            shares.append(float(np.max(np.abs(one[name].astype(np.longdouble) - exact) / allowed)))
        assert found[name].share >= max(shares) * (1 - 1e-15)
        assert found[name].share <= max(shares) + 1e-4


def test_an_error_beyond_a_nodes_bound_is_found_at_that_node(tmp_path: Path) -> None:
    subject = small(tmp_path)
    network, judge = subject.network, NetworkJudge(subject.network, subject.derived)
    images = random_images(network, 0, count=2)
    values = stacked(subject, images, {})
    for node in network.nodes[1:]:
        unit = (1, 0, *(n // 2 for n in node.shape[1:]))
        allowed = np.broadcast_to(judge.allowed[node.name][..., 0], node.shape)[unit[1:]]
        for factor, holds in ((0.01, True), (2.5, False)):
            broken = values[node.name].copy()
            step = np.spacing(np.abs(broken[unit]))
            broken[unit] += np.float32(max(factor * allowed, 0 if holds else 4 * step))
            found = judge.findings(images, {**values, node.name: broken})
            assert (found[node.name].share <= 1) is holds, (node.name, found[node.name])
            before = network.nodes[1 : network.nodes.index(node)]
            assert all(found[earlier.name].holds for earlier in before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_value_that_is_no_number_or_far_away_is_outside(tmp_path: Path, bad: float) -> None:
    subject = small(tmp_path)
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, 0, count=2)
    values = stacked(subject, images, {})
    for node in subject.network.nodes[1:-1]:
        broken = values[node.name].copy()
        broken[0, 0, 0, 0] = bad
        finding = judge.findings(images, {**values, node.name: broken})[node.name]
        assert finding.outside == 1
        assert not finding.holds


def test_a_range_is_left_by_the_least_step(tmp_path: Path) -> None:
    """A value beyond its interval counts even where the rounding bound would allow it."""
    subject = small(tmp_path)
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, 0, count=1)
    values = stacked(subject, images, {})
    name = subject.network.nodes[1].name
    judge.ranges[name] = (np.full((1, 6, 6, 1), -np.inf), np.full((1, 6, 6, 1), np.inf))
    assert judge.findings(images, values)[name].outside == 0
    top = values[name].astype(np.float64).transpose(1, 2, 3, 0)
    judge.ranges[name] = (np.full_like(top, -np.inf), top)
    assert judge.findings(images, values)[name].outside == 0
    judge.ranges[name] = (np.full_like(top, -np.inf), np.nextafter(top, -np.inf))
    assert judge.findings(images, values)[name].outside == top.size


@pytest.mark.parametrize("seed", range(4))
def test_hidden_nodes_are_allowed_their_own_roundings_and_no_more(
    tmp_path: Path, seed: int
) -> None:
    subject = subject_of(*built(NearlyLinear(seed).b, tmp_path)) if seed else small(tmp_path)
    network, judge = subject.network, NetworkJudge(subject.network, subject.derived)
    images = random_images(network, seed, count=3)
    hidden = {n.name for n in network.nodes[1:-1] if not isinstance(n, Silu)}
    for way in ({}, {"order": "worst_first"}, {"order": "random:3"}):
        values = {k: v for k, v in stacked(subject, images, way).items() if k not in hidden}
        found = judge.findings(images, values)
        assert set(found) == set(values)
        assert all(finding.holds for finding in found.values())
    for name, finding in found.items():
        wrong = values[name] * np.float32(1.001) + np.float32(1e-3)
        assert finding.share < 1 < judge.findings(images, {**values, name: wrong})[name].share


def test_the_judge_refuses_what_does_not_fit(tmp_path: Path) -> None:
    subject = small(tmp_path)
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, 0, count=2)
    values = stacked(subject, images, {})
    with pytest.raises(ValueError, match="show the output"):
        judge.findings(images, {k: v for k, v in values.items() if k != "probabilities"})
    with pytest.raises(ValueError, match="has the shape"):
        judge.findings(images, {**values, "probabilities": values["probabilities"][:1]})


# ---- the runtimes ----------------------------------------------------------------------------


def test_every_execution_is_within_and_bfloat16_is_caught(tmp_path: Path) -> None:
    subject = small(tmp_path)
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, 0, count=5)
    listed, missing = executions(tmp_path / "small.onnx", subject.network, compiled=False)
    assert missing["torch compiled"] == "left out, as compiling takes a minute"
    names = {e.setting for e in listed}
    assert names >= {"optimised, fused", "channels-last", "flush-to-zero", "bfloat16 autocast"}
    for execution in listed:
        row = audit_execution(execution, judge, images)
        assert row.within is execution.covered, (execution.name, row.worst, row.nodes[row.worst])
        assert row.as_expected
        assert (row.images, row.all_nodes) == (5, len(subject.network.nodes) - 1)


@pytest.mark.filterwarnings("ignore")  # of Inductor's own making
def test_what_torch_compile_makes_is_within(tmp_path: Path) -> None:
    from lastbit.audit.functions import compiler_problem

    if compiler_problem():
        pytest.skip(compiler_problem())
    subject = small(tmp_path)
    judge = NetworkJudge(subject.network, subject.derived)
    images = random_images(subject.network, 0, count=5)
    start = partial(torch_run, subject.network, compiled=True)
    row = audit_execution(Execution("torch", "compiled", start), judge, images)
    assert row.within, (row.worst, row.nodes[row.worst])


def test_jax_is_within(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    from lastbit.audit.jax_network import jax_run

    for seed in range(3):
        subject = subject_of(*built(RandomNetwork(seed).b, tmp_path))
        judge = NetworkJudge(subject.network, subject.derived)
        execution = Execution("jax", "", partial(jax_run, subject.network))
        row = audit_execution(execution, judge, random_images(subject.network, 0))
        assert row.within, (row.worst, row.nodes[row.worst])


def test_the_fused_graph_is_the_one_that_runs_by_default(tmp_path: Path) -> None:
    subject = small(tmp_path)
    path, network = tmp_path / "small.onnx", subject.network
    images = random_images(network, 0, count=3)
    every = onnx_run(path, network, level="off")(images)
    fused = onnx_run(path, network, level="all", fused=True)(images)
    assert set(every) == {node.name for node in network.nodes[1:]}
    assert set(fused) < set(every)
    assert np.array_equal(
        fused[network.output].reshape(3, -1), OnnxRuntime().probabilities(path, images)
    )


def test_channels_last_is_what_convolutions_return(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from lastbit.witness.torch_network import TorchNetwork

    subject = small(tmp_path)
    images = torch.from_numpy(random_images(subject.network, 0)).float()
    (wide,) = (n.name for n in subject.network if isinstance(n, Linear) and n.group == 3)
    for layout in (torch.channels_last, torch.contiguous_format):
        value = TorchNetwork(subject.network, memory_format=layout).values(images)[wide]
        assert value.is_contiguous(memory_format=layout)
        assert value.shape[1] > 1


@pytest.mark.parametrize("kind", ["onnxruntime", "onnxruntime-all", "torch"])
def test_subnormal_numbers_are_flushed_in_the_child_and_not_here(tmp_path: Path, kind) -> None:
    b = OnnxBuilder()
    tiny = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**-140), name="tiny")
    x = b.affine(b.mean(tiny), "mul", np.float32(2.0**100))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    path = b.save(tmp_path / "tiny.onnx")
    images = np.full((2, 1, 2, 2), 200, np.uint8)
    flushed = flushed_run(kind, path)(images)
    assert not flushed["tiny"].any()
    assert np.float32(2.0**-130) * np.ones(1, np.float32) != 0
    subject = subject_of(path.read_bytes(), read_onnx(path))
    found = NetworkJudge(subject.network, subject.derived).findings(images, flushed)
    assert all(finding.holds for finding in found.values())


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
