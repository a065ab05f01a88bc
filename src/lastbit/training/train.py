"""From a recipe to a folder with the model and its figures."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit.data import LabelledImages
from lastbit.errors import MissingExtraError, ModelError, OutputError, UsageError
from lastbit.files import write_whole
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress, silent
from lastbit.training.deep.recipe import DeepRecipe
from lastbit.training.recipes import AnyRecipe

if TYPE_CHECKING:
    from lastbit.models.export import State
    from lastbit.training.recipe import Recipe

COMPARED = 500
"""Test images on which a written file is compared with the network."""
MOST_DIFFERENCE = 1e-3
_PACKAGES = ("lastbit", "torch", "numpy", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Trained:
    """A finished training: the files, and the content of metrics.json."""

    files: ModelFiles
    metrics: dict[str, Any]


def _ignore(record: dict[str, float]) -> None:
    """The report of a caller who does not watch."""


def train(
    recipe: AnyRecipe,
    training: LabelledImages,
    test: LabelledImages,
    folder: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = silent,
    report: Callable[[dict[str, float]], None] = _ignore,
) -> Trained:
    """Train, export, and measure the ONNX file on the test images.

    Writes model.onnx, recipe.json and metrics.json to `folder`, and a checkpoint after each epoch;
    each file whole or not at all. Interrupted, it can be resumed from the last checkpoint.

    Args:
        recipe: what to do. With `resume` it must be the recipe of the checkpoint.
        training: the images to learn from.
        test: the images to measure on.
        folder: made where it is missing.
        resume: go on from the checkpoint in `folder`.
        device: of PyTorch, such as "cpu" or "cuda".
        progress: told about every step.
        report: called after each epoch, see `lastbit.training.loop.Report`.

    Raises:
        MissingExtraError: PyTorch is not installed.
        UsageError: `folder` holds a checkpoint and `resume` is not set; or the checkpoint cannot
            be read or belongs to another recipe; or there is no such device.
        OutputError: `folder` cannot be written.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("training", "train")
    from lastbit.training import checkpoint

    _check_device(device)
    checkpoint.prepare(folder, resume=resume)
    if resume and checkpoint.load(folder).recipe != recipe:
        raise UsageError(
            "the checkpoint was made by another recipe",
            where=str(folder),
            fix="resume with the options of its start, or choose another --out",
        )
    told = _Told(resume, device, progress, report)
    if isinstance(recipe, DeepRecipe):
        made = _deep(recipe, training, test, folder, told)
    else:
        made = _wide(recipe, training, test, folder, told)
    try:
        return _exported(made, recipe, test, folder, progress)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", where=str(folder)) from error


class _Told(NamedTuple):
    """What a loop is told besides."""

    resume: bool
    device: str
    progress: Progress
    report: Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class _Made:
    """What training ends in: weights to be written, one record an epoch, and the network itself.

    `probabilities` takes pixels (N, 28, 28) in bytes.
    """

    state: State
    history: list[dict[str, float]]
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float64]] | None = None


def _wide(
    recipe: Recipe,
    training: LabelledImages,
    test: LabelledImages,
    folder: Path,
    told: _Told,
) -> _Made:
    from lastbit.training import loop
    from lastbit.training.full import full_state

    network, history = loop.run(recipe, training, test, folder, **told._asdict())
    state = full_state(network.cpu(), recipe.activation_range, recipe.logit_scale)
    return _Made(state, history)


def _deep(
    recipe: DeepRecipe,
    training: LabelledImages,
    test: LabelledImages,
    folder: Path,
    told: _Told,
) -> _Made:
    from lastbit.training.deep import loop
    from lastbit.training.deep.folded import deep_state

    network, history = loop.run(recipe, training, test, folder, **told._asdict())
    return _Made(deep_state(network, recipe), history, loop.answers(network.cpu()))


def _exported(
    made: _Made,
    recipe: AnyRecipe,
    test: LabelledImages,
    folder: Path,
    progress: Progress,
) -> Trained:
    """Measure the ONNX file of a state, then put it and what is said of it where they belong."""
    from lastbit.models.export import export_efficientnet
    from lastbit.training.figures import measure

    with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as temporary:
        model = Path(temporary) / "model.onnx"
        export_efficientnet(
            made.state,
            model,
            fold_batch_norm=recipe.fold_batch_norm,
            weight_bits=recipe.weight_bits,
            fold_pixels=recipe.fold_pixels,
        )
        metrics = measure(model, test, progress)
        if made.probabilities is not None:
            metrics["agreement"] = _agreement(made.probabilities, model, test)
        metrics["sha256"] = ModelFiles(recipe.name, model, folder).sha256()
        metrics["versions"] = _versions()
        metrics["history"] = made.history
        files = ModelFiles(recipe.name, folder / model.name, folder)
        content = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
        model.replace(files.model)
        write_whole(files.recipe, recipe.to_json().encode())
        write_whole(files.metrics, content.encode())
    return Trained(files, metrics)


def _agreement(
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    model: Path,
    test: LabelledImages,
) -> float:
    """The largest difference between a file's probabilities and those of the trained network.

    Raises:
        ModelError: it is more than float32 explains: the file is another network.
    """
    from lastbit.runtimes import OnnxRuntime

    images = test.images[:COMPARED]
    difference = np.abs(OnnxRuntime().probabilities(model, images) - probabilities(images)).max()
    if not (difference <= MOST_DIFFERENCE):
        raise ModelError(
            f"the written file's probabilities are up to {difference:.2g} from the network's",
            where=str(model),
        )
    return float(difference)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"there is no such device: {reason}", where=f"--device {device}"
        ) from error


def _versions() -> dict[str, str]:
    import torch

    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
    return {"python": platform.python_version(), **versions, "machine": machine}
