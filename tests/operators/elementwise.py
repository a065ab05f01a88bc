"""What is asked of an operator that is a curve: the same tests for each, on networks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from lastbit.audit.structure.runtimes import onnx_structure, xla_structure
from lastbit.float32 import execute, execute_float64
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.operators.base import Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve
from lastbit.runtimes import OnnxRuntime
from lastbit.runtimes.jax_network import jax_run
from lastbit.runtimes.onnx_runtime import LEVELS
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.forms import Bound
from lastbit_check.question import SAME_PROGRAM
from soundness.harness import Subject, assault, built, random_hints, subject_of
from support.audited import audited
from support.networks import random_images

Write = Callable[[OnnxBuilder, str, str], str]
"""Adds the operator to a file: of a tensor, by a name."""


def network(write: Write, seed: int, size: float = 1.0) -> OnnxBuilder:
    """Two convolutions with the curve after each, a residual, a mean; at work on both sides."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(size=shape) * size

    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 6, 5)), "div", np.float32(255))
    x = write(b, b.conv(x, weights(4, 1, 3, 3), weights(4) * 0.3, padding=1), "first")
    y = write(b, b.conv(x, weights(4, 4, 3, 3) * 0.4, weights(4) * 0.2, padding=1), "second")
    x = b.affine(b.add(x, y), "mul", np.float32(0.7))
    b.softmax(b.dense(write(b, b.mean(x), "third"), weights(3, 4), weights(3)))
    return b


def subject(write: Write, folder: Path, seed: int, *, hostile: bool = False) -> Subject:
    """Such a network and what is derived for it, from hints of its own or from any."""
    model, made = built(network(write, seed), folder)
    return subject_of(model, made, random_hints(made.normal, seed) if hostile else None)


def every_reader_computes_the_same(write: Write, folder: Path, size: float = 4.0) -> None:
    """ONNX's reference, ONNX Runtime, PyTorch, JAX and our executors, up to some 50 roundings."""
    torch = pytest.importorskip("torch")
    for seed in range(4):
        path = network(write, seed, size).save(folder / "model.onnx")
        made = read_onnx(path)
        images = random_images(made, seed)
        with np.errstate(over="ignore", invalid="ignore"):  # where it is not selected
            (expected,) = ReferenceEvaluator(str(path)).run(None, {"image": images})
        x = torch.from_numpy(images)
        found = {
            "onnxruntime": OnnxRuntime().probabilities(path, images),
            "float32": np.stack([execute(made, image) for image in images]),
            "float64": np.stack([execute_float64(made, image)[0] for image in images]),
            "torch": TorchNetwork(made).probabilities(x.float()).numpy(),
        }
        if find_spec("jax"):
            found["jax"] = jax_run(made)(images)[made.output].reshape(len(images), -1)
        for name, values in found.items():
            assert np.abs(values - expected).max() < 3e-5, name


def bounds_hold_under_attack(write: Write, folder: Path, seed: int) -> None:
    """From good hints and from any, as written and rewritten, for both claims."""
    for hostile in (False, True):
        assault(subject(write, folder, seed, hostile=hostile), seed)


def a_bound_is_not_far_from_what_is_attained(write: Write, folder: Path, least: float) -> None:
    """Of the claim's change of the logits, what the best of some random pairs attains."""
    best = 0.0
    for seed in range(4):
        made = subject(write, folder, seed)
        random = np.random.default_rng(seed)
        claim = made.derived.claims[SAME_PROGRAM].logits
        logits = made.network.logits
        for image in random.integers(0, 256, (40, 1, 6, 5), dtype=np.uint8):
            other = image.copy()
            other[0, random.integers(6), random.integers(5)] ^= 1
            runs = [execute_float64(made.network, v)[1][logits].ravel() for v in (image, other)]
            moved = runs[1] - runs[0]
            best = max(best, float(moved.max() - moved.min()) / float(claim))
    assert best > least, best


def rewritten_graphs_are_matched(write: Write, folder: Path) -> None:
    """What ONNX Runtime makes of it at every level, and XLA."""
    made = audited(network(write, 0), folder)
    for level in LEVELS:
        found = onnx_structure(made.subject.structures, level)
        assert found.broken == found.unequal == (), (level, found)
    if find_spec("jax"):
        assert xla_structure(made.subject.structures, made.network).broken == ()


def wrong(
    monkeypatch: pytest.MonkeyPatch,
    curve: type[Curve],
    rate: float,
    size: Callable[[Float64Array, Float64Array], Float64Array],
) -> None:
    """The float32 of a curve, off by ``rate`` u times a size of x and y, with either sign."""
    right = curve.float32

    def float32(self: Curve, machine: Machine, *xs: Float32Array) -> Float32Array:
        y = right(self, machine, *xs).astype(np.float64)
        sign = np.where(np.arange(y.size).reshape(y.shape) % 2, 1.0, -1.0)
        return machine.flush(
            (y + sign * rate * 2.0**-24 * size(xs[0].astype(np.float64), y)).astype(np.float32)
        )

    monkeypatch.setattr(curve, "float32", float32)


def still(move: Bound) -> Bound:
    """As if nothing moved."""
    return Bound(Fix(0 * move.error.n, move.error.e), Fix(0 * move.spread.n, move.spread.e))


def changed(kind: CurveKind, **changes: object) -> CurveKind:
    """The rule of one node's curve, changed."""
    return replace(kind, **changes)  # type: ignore[arg-type]


def weaker(monkeypatch: pytest.MonkeyPatch, kind: str, **changes: object) -> None:
    """The checker's rule of a curve, changed."""
    monkeypatch.setitem(KINDS, kind, replace(KINDS[kind], **changes))  # type: ignore[type-var]
