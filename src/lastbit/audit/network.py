"""A model on every runtime and setting, each of its values held against the definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lastbit.audit.execution import Execution, run_in_batches, subject_of
from lastbit.audit.executions import executions
from lastbit.audit.nodes import Finding, NetworkJudge
from lastbit.audit.structure.matched import Structure
from lastbit.audit.structure.runtimes import structures
from lastbit.data import load_mnist
from lastbit.errors import DataError, ModelError, UsageError
from lastbit.graph import ByteArray, Network, bytes_to_probabilities, read_onnx
from lastbit.hints import hints_for
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, counted, silent
from lastbit.runtimes.runtime import ValuesRun
from lastbit.witness.files import read_witness
from lastbit_check.derive.derivation import derive
from lastbit_check.question import ONE_IMAGE
from lastbit_check.verdict import Rejected, Unreadable

FEW_IMAGES, MANY_IMAGES = 8, 64
"""So many test images, by default and in a full audit."""
SLOW_IMAGES = 8
"""So many images for an execution that is slow: the last ones, which are the hardest."""


@dataclass(frozen=True)
class Row:
    """One execution over all its images.

    Attributes:
        runtime: name and version.
        setting: what differs from its default.
        covered: whether the statement speaks of it.
        images: how many were run.
        nodes: what was found of each visible node.
        all_nodes: how many nodes compute something.
        certain: of one that is not covered, whether it has to be caught.
        repeats: whether a second run had the same bits (the assumption ``deterministic``).
    """

    runtime: str
    setting: str
    covered: bool
    images: int
    nodes: Mapping[str, Finding]
    all_nodes: int
    certain: bool = True
    repeats: bool = True

    @property
    def worst(self) -> str:
        """The node with the largest share of its rounding bound."""
        return max(self.nodes, key=lambda name: self.nodes[name].share)

    @property
    def outside(self) -> int:
        """Values outside of their range."""
        return sum(finding.outside for finding in self.nodes.values())

    @property
    def within(self) -> bool:
        """Whether no value was outside of its range or its rounding bound, nor changed."""
        return self.repeats and all(finding.holds for finding in self.nodes.values())

    @property
    def as_expected(self) -> bool:
        """Whether a covered execution was within all bounds, or one that is not was caught."""
        return self.within == self.covered or not (self.covered or self.certain)


@dataclass(frozen=True)
class NetworkAudit:
    """What was found of executions and of rewritten graphs.

    ``refused`` names the rule where a model has no bounds to be held against.
    """

    name: str
    sha256: str
    images: str
    rows: Sequence[Row]
    structures: Sequence[Structure]
    missing: Mapping[str, str]
    refused: Rejected | None = None


def audit_network(
    files: ModelFiles,
    *,
    full: bool = False,
    compiled: bool = False,
    device: str = "cpu",
    progress: Progress = silent,
) -> NetworkAudit:
    """Run a model in every way installed.

    Args:
        files: the model; its stored witness is among the images if there is one.
        full: with `MANY_IMAGES` test images, and others in proportion.
        compiled: also by torch.compile.
        device: "cuda" for a GPU.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read or is not covered, or a runtime fails.
    """
    sha256 = read_onnx(files.asked).sha256
    with bytes_to_probabilities(files.asked) as path:
        whole = replace(files, model=path, question=None)
        images = MANY_IMAGES if full else FEW_IMAGES
        found = _audited(whole, sha256, images, compiled=compiled, device=device,
                         progress=progress)  # fmt: skip
    return replace(found, sha256=sha256)


def _audited(
    files: ModelFiles, sha256: str, many: int, *, compiled: bool, device: str, progress: Progress
) -> NetworkAudit:
    network = read_onnx(files.model)
    images, described = audit_images(files, network, sha256, many)
    try:
        observe = counted(progress, "deriving ranges")
        subject = subject_of(files.model, network)
        derived = derive(subject.checked, ONE_IMAGE, hints_for(network), observe)
    except Rejected as error:
        return NetworkAudit(files.name, network.sha256, described, [], [], {}, error)
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    progress("rewritten graphs", 0, 1)
    graphs, unread = (
        structures(subject.structures, network, compiled=compiled) if device == "cpu" else ([], {})
    )
    judge = NetworkJudge(derived)
    listed, missing = executions(subject, compiled=compiled, device=device)
    rows: list[Row] = []
    for k, execution in enumerate(listed):
        progress("executions", k, len(listed))
        rows.append(audit_execution(execution, judge, images))
    progress("executions", len(listed), len(listed))
    return NetworkAudit(files.name, network.sha256, described, rows, graphs, {**missing, **unread})


def audit_execution(execution: Execution, judge: NetworkJudge, images: ByteArray) -> Row:
    """One execution on images (N, C, H, W)."""
    images = images[-SLOW_IMAGES:] if execution.slow else images
    found: dict[str, Finding] = {}
    run, done = execution.start(), 0
    repeats = execution.slow or repeated(run, images[: execution.batch])
    for part, values in run_in_batches(replace(execution, start=lambda: run), images):
        for name, finding in judge.findings(part, values).items():
            at = finding.at._replace(image=finding.at.image + done)
            new = replace(finding, at=at)
            found[name] = found[name].joined(new) if name in found else new
        done += len(part)
    count = len(judge.network.nodes) - 1
    return Row(
        execution.runtime, execution.setting, execution.covered, len(images), found, count,
        execution.certain, repeats,
    )  # fmt: skip


def repeated(run: ValuesRun, images: ByteArray) -> bool:
    """Whether a program returns the same bits twice."""
    first, second = run(images), run(images)
    return all(np.array_equal(v, second[name], equal_nan=True) for name, v in first.items())


def audit_images(
    files: ModelFiles, network: Network, sha256: str, many: int, *, seed: int = 0
) -> tuple[ByteArray, str]:
    """Images (N, C, H, W) and a description: test images, random bytes, constants, the witness.

    Args:
        files: the model, whose stored witness is taken if there is one.
        network: the same in normal form.
        sha256: the model's name.
        many: how many test images; a quarter as many, 4 at least, are of random bytes.
        seed: of those.

    Raises:
        UsageError: the witness is for another model.
    """
    shape = network.input_shape
    random = np.random.default_rng(seed)
    parts: list[tuple[str, ByteArray]] = []
    if shape == (1, 28, 28):
        try:
            parts.append(("MNIST test images", load_mnist("test").images[:many, None]))
        except DataError:
            parts.append(
                ("MNIST test images (no source has them)", np.zeros((0, *shape), np.uint8))
            )
    noise = random.integers(0, 256, (max(4, many // 4), *shape), dtype=np.uint8)
    noise[1::2] = np.where(noise[1::2] < 128, 0, 255)
    parts.append(("of random bytes", noise))
    constants = np.array([0, 1, 127, 128, 254, 255], np.uint8)
    parts.append(("constant", np.broadcast_to(constants[:, None, None, None], (6, *shape))))
    if files.witness.exists():
        witness = read_witness(files.witness)
        if witness.model_sha256 != sha256:
            raise UsageError(
                "the stored witness is for another model",
                where=str(files.witness),
                fix="make a new one with `lastbit search`",
            )
        parts.append(("of the stored witness", witness.pair[:, None]))
    described = ", ".join(f"{len(images)} {what}" for what, images in parts)
    return np.concatenate([images for _, images in parts]), described
