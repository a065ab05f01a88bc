"""Small networks, the judge of their values, and executions of them that are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.execution import Execution, Subject, subject_of
from lastbit.audit.nodes import Finding, NetworkJudge
from lastbit.graph import ByteArray, Network, OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.runtimes.runtime import Values
from lastbit_check.check import network_in
from lastbit_check.derive.derivation import Derivation, derive
from lastbit_check.network import Network as NormalForm
from lastbit_check.question import ONE_IMAGE
from soundness.programs import Both, Way
from soundness.small import model as small_model
from support.networks import random_images

CHANNELS = 16


@dataclass(frozen=True)
class Audited:
    """A model on disk, in every form, with what is derived for it."""

    path: Path
    network: Network
    form: NormalForm

    @cached_property
    def derivation(self) -> Derivation:
        return derive(self.form, ONE_IMAGE, hints_for(self.network))

    @cached_property
    def judge(self) -> NetworkJudge:
        return NetworkJudge(self.derivation)

    @cached_property
    def subject(self) -> Subject:
        return subject_of(self.path, self.network)

    @property
    def names(self) -> list[str]:
        """All nodes that are computed."""
        return [node.name for node in self.form.nodes[1:]]

    def images(self, seed: int, count: int = 3) -> ByteArray:
        return random_images(self.network, seed, count=count)

    def run(self, images: ByteArray, way: Way) -> dict[str, NDArray[np.float64]]:
        """The values (N, C, H, W) of an allowed execution (soundness/programs.py)."""
        parts = [Both(self.network, self.form).run(image, way) for image in images]
        shapes = {node.name: node.shape for node in self.form.nodes[1:]}
        return {
            name: np.stack([v[name].reshape(shape) for v in parts])
            for name, shape in shapes.items()
        }

    def findings(self, images: ByteArray, values: Values) -> dict[str, Finding]:
        return self.judge.findings(images, values)


def audited(made: OnnxBuilder | bytes, folder: Path) -> Audited:
    """A model of a builder or of bytes, written to a folder."""
    path = folder / "model.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.to_bytes())
    return Audited(path, read_onnx(path), network_in(path.read_bytes()))


def small(folder: Path) -> Audited:
    """Every operator once: a residual block, a gate, batch norm, silu, mean, affine."""
    return audited(small_model(), folder)


def residual() -> OnnxBuilder:
    """Blocks of 16 channels: a batch norm, a SiLU that two read, a residual, a factor."""
    random, b = np.random.default_rng(11), OnnxBuilder()
    x = b.div(b.input_bytes((1, 5, 5)), 255)
    x = b.conv(x, random.normal(size=(CHANNELS, 1, 3, 3)), random.normal(size=CHANNELS),
               padding=1, name="first")  # fmt: skip
    four = random.uniform(0.5, 1.5, (4, CHANNELS))
    x = b.silu(b.batch_norm(x, four[0], four[1], four[2], four[3], name="normed"), name="read")
    y = b.conv(x, random.normal(0, 0.3, (CHANNELS, CHANNELS, 1, 1)), random.normal(size=CHANNELS),
               name="inner")  # fmt: skip
    y = b.conv(b.silu(y, name="bent"), random.normal(0, 0.3, (CHANNELS, CHANNELS, 1, 1)),
               random.normal(size=CHANNELS), name="outer")  # fmt: skip
    x = b.affine(b.add(y, x, name="joined"), "mul", random.uniform(1, 2, CHANNELS), name="scaled")
    b.softmax(b.dense(b.mean(x), random.normal(size=(2, CHANNELS)), [0.1, -0.1], name="logits"))
    return b


def chosen(listed: Sequence[Execution], *settings: str) -> list[Execution]:
    """The executions with these settings, in that order."""
    by_setting = {execution.setting: execution for execution in listed}
    return [by_setting[setting] for setting in settings]
