"""How far the installed runtimes are apart on the same images, beside what can be proved of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lastbit.audit.execution import run_in_batches, subject_of
from lastbit.audit.executions import executions
from lastbit.audit.network import audit_images
from lastbit.errors import ModelError
from lastbit.graph import bytes_to_probabilities, read_onnx
from lastbit.hints import hints_for
from lastbit.hints.breakdown import parts_of
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, counted, silent
from lastbit.questions import derived_drift
from lastbit.witness.replay import distance
from lastbit_check.derive.conclude import Balance, Claim
from lastbit_check.question import ANY_TWO
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True)
class Observed:
    """The largest difference of a probability between two executions of one image.

    Attributes:
        value: that difference, never rounded up.
        between: the two executions.
        image: its number among the images.
        class_index: whose probability differs.
        largest: per execution its largest difference from any other one.
    """

    value: float
    between: tuple[str, str]
    image: int
    class_index: int
    largest: Mapping[str, float]


@dataclass(frozen=True)
class Drift:
    """What is proved (`derived`, its `parts`, or `refused` by a rule), and what was observed."""

    name: str
    sha256: str
    derived: Claim | None
    parts: Mapping[str, Fraction]
    refused: Rejected | None
    observed: Observed
    images: str
    missing: Mapping[str, str]

    @property
    def says_nothing(self) -> bool:
        """Whether the bound is 1."""
        return self.derived is not None and not (self.derived.upper < 1)

    @property
    def verdict(self) -> str:
        """Within, refuted (the observed drift is above the bound), or not decided.

        A bound of 1 says nothing, as no probability can change by more.
        """
        if self.derived is None or self.says_nothing:
            return "not decided"
        return "within" if self.observed.value <= self.derived.upper else "refuted"


def measure_drift(
    files: ModelFiles, *, test_images: int = 32, compiled: bool = False, progress: Progress = silent
) -> Drift:
    """Bound and observe the drift of a model.

    Args:
        files: the model; its stored witness is among the images if there is one.
        test_images: how many of them; a quarter as many images of random bytes are added.
        compiled: also run what torch.compile makes of the network.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read or executed.
    """
    sha256 = read_onnx(files.asked).sha256
    with bytes_to_probabilities(files.asked) as path:
        whole = replace(files, model=path, question=None)
        found = _measured(whole, sha256, test_images, compiled, progress)
    return replace(found, sha256=sha256)


def _measured(
    files: ModelFiles, sha256: str, test_images: int, compiled: bool, progress: Progress
) -> Drift:
    network = read_onnx(files.model)
    images, described = audit_images(files, network, sha256, test_images)
    derived, refused, parts = None, None, dict[str, Fraction]()
    try:
        hints, progressing = hints_for(network), counted(progress, "bounding the drift")
        derivation, derived = derived_drift(files.model.read_bytes(), hints, progressing)
        parts = parts_of(Balance(derivation, ANY_TWO), derived)
    except Rejected as error:
        refused = error
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    listed, missing = executions(subject_of(files.model, network), compiled=compiled)
    covered = [execution for execution in listed if execution.covered]
    found: dict[str, np.ndarray] = {}
    for k, execution in enumerate(covered):
        progress("executions", k, len(covered))
        runs = [values[network.output] for _, values in run_in_batches(execution, images)]
        found[execution.name] = np.concatenate(runs).reshape(len(images), -1)
    progress("executions", len(covered), len(covered))
    if not all(np.all(np.isfinite(p)) for p in found.values()):
        raise ModelError("a runtime returns no number", where=str(files.model))
    seen = observed(found)
    return Drift(files.name, network.sha256, derived, parts, refused, seen, described, missing)


def observed(found: Mapping[str, np.ndarray]) -> Observed:
    """Compare probabilities (images, classes), float32, of two executions or more by name."""
    names = list(found)
    stack = np.stack([found[name] for name in names]).astype(np.float64)
    apart = np.abs(stack[:, None] - stack[None])
    a, b, image, class_index = (int(k) for k in np.unravel_index(apart.argmax(), apart.shape))
    value = distance(float(stack[a, image, class_index]), float(stack[b, image, class_index]))
    largest = {name: float(np.max(apart[k])) for k, name in enumerate(names)}
    return Observed(value, (names[a], names[b]), image, class_index, largest)
