"""A runtime with a setting, and what it is run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lastbit.audit.structure.matched import IMAGES, OnnxStructures, onnx_structures
from lastbit.graph import ByteArray, Network
from lastbit.runtimes.runtime import Values, ValuesRun
from lastbit_check.check import network_in
from lastbit_check.network import Network as CheckedNetwork


@dataclass(frozen=True)
class Execution:
    """A runtime with a setting.

    Attributes:
        runtime: name and version.
        setting: what differs from its default.
        start: loads the model; what it returns runs a batch of images (N, C, H, W).
        batch: images at a time.
        covered: whether the statement speaks of such an execution.
        certain: of one that is not covered, whether it has to be caught: what it does may depend
            on the processor.
        slow: whether a few images have to do.
    """

    runtime: str
    setting: str
    start: Callable[[], ValuesRun]
    batch: int = 64
    covered: bool = True
    certain: bool = True
    slow: bool = False

    @property
    def name(self) -> str:
        """Runtime and setting in one text."""
        return f"{self.runtime}, {self.setting}"


@dataclass(frozen=True)
class Subject:
    """A model in every form that a runtime takes.

    Attributes:
        model: the ONNX file.
        network: as `lastbit` reads it, operator by operator.
        checked: in the checker's normal form.
        structures: what ONNX Runtime makes of it.
    """

    model: Path
    network: Network
    checked: CheckedNetwork
    structures: OnnxStructures


def subject_of(model: Path, network: Network, *, images: int = IMAGES) -> Subject:
    """A model in every form; its rewritten graphs are looked at on so many images.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the checker does not
            read it.
    """
    structures = onnx_structures(model, images)
    return Subject(model, network, network_in(model.read_bytes()), structures)


def run_in_batches(execution: Execution, images: ByteArray) -> Iterator[tuple[ByteArray, Values]]:
    """Parts of at most 64 images with the values of the visible nodes.

    Every batch has the execution's size: the last one is filled up with its last image.
    """
    run = execution.start()
    for first in range(0, len(images), 64):
        part = images[first : first + 64]
        found: list[Values] = []
        for at in range(0, len(part), execution.batch):
            batch = part[at : at + execution.batch]
            full = np.concatenate([batch, np.repeat(batch[-1:], execution.batch - len(batch), 0)])
            found.append({name: v[: len(batch)] for name, v in run(full).items()})
        yield part, {name: np.concatenate([v[name] for v in found]) for name in found[0]}
