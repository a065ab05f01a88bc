"""Certified accuracy: how many test images get the right label from every allowed execution."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.bound import absorbed_node
from lastbit.bound.decisions import Decisions
from lastbit.certificate import hints_for
from lastbit.data import Mnist
from lastbit.errors import ModelError, UsageError
from lastbit.float32.executor import execute_float64
from lastbit.graph import Network, read_onnx
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, silent
from lastbit_check.certificate import ABSORBING, ASSUMPTIONS
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True)
class CertifiedAccuracy:
    """What `certify_accuracy` found.

    Attributes:
        name, sha256: the model.
        images: how many were looked at.
        right: how many the reference execution labels rightly.
        by_bound: how many of these the drift bound for all images decides.
        by_image: the numbers of those that only the bound for their own image decides.
        undecided: the numbers of those that neither decides: some execution may label them wrongly.
        change: the bound, for all images, on the drift of a difference of two logits.
        assumptions: what is assumed, by name.
        seconds: what it took.
    """

    name: str
    sha256: str
    images: int
    right: int
    by_bound: int
    by_image: tuple[int, ...]
    undecided: tuple[int, ...]
    change: Fraction
    assumptions: tuple[str, ...]
    seconds: float

    @property
    def certified(self) -> int:
        """How many images every allowed execution labels rightly."""
        return self.by_bound + len(self.by_image)


def certify_accuracy(
    files: ModelFiles,
    test: Mnist,
    *,
    images: Sequence[int] | None = None,
    progress: Progress = silent,
) -> CertifiedAccuracy:
    """Count the images whose right label no allowed execution can change.

    The execution whose margins count is our own in float64, every tensor stored in float32; it is
    one of those that are allowed.

    Args:
        files: the model.
        test: images and labels.
        images: the numbers of those to look at; all by default.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read, or no drift can be bounded.
        UsageError: the images do not fit the model.
    """
    start = time.monotonic()
    network, model = read_onnx(files.model), files.model.read_bytes()
    if network.input_shape != (1, *test.images.shape[1:]) or network.classes <= test.labels.max():
        raise UsageError("these images do not fit the model", where=str(files.model))
    try:
        decisions = Decisions(
            model, hints_for(network), watch=lambda _, k, n: progress("bounding the drift", k, n)
        )
    except Rejected as error:
        raise ModelError(f"no drift can be bounded: {error}", where=str(files.model)) from error
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    chosen = range(len(test.images)) if images is None else images
    right, close = 0, list[int]()
    for done, k in enumerate(chosen):
        values, label = _run(network, test, k)
        z = values[network.logits].ravel()
        if z.argmax() == label and np.count_nonzero(z == z[label]) == 1:
            right += 1
            if not decisions.certified(values, label, closely=False):
                close.append(k)
        progress("all images by one bound", done + 1, len(chosen))
    by_image = list[int]()
    for done, k in enumerate(close):
        values, label = _run(network, test, k)
        if decisions.certified(values, label, closely=True):
            by_image.append(k)
        progress("the others one by one", done + 1, len(close))
    undecided = tuple(sorted({*close} - {*by_image}))
    assumptions = ASSUMPTIONS + (ABSORBING[0],) * bool(absorbed_node(model))
    return CertifiedAccuracy(
        files.name, network.sha256, len(chosen), right, right - len(close), tuple(by_image),
        undecided, decisions.everywhere, assumptions, time.monotonic() - start,
    )  # fmt: skip


def _run(network: Network, test: Mnist, number: int) -> tuple[dict[str, NDArray[np.float64]], int]:
    values = execute_float64(network, test.images[number], stored=True)[1]
    return values, int(test.labels[number])
