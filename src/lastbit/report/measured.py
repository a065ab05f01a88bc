"""What the pair of images does here, and what every other last bit of its first image does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import Float32Array, Model, neighbours
from lastbit.progress import Progress, silent
from lastbit.report.contents import Run, Shown
from lastbit.runtimes import OnnxRuntime, runtimes
from lastbit.witness.files import Witness
from lastbit.witness.replay import ReplayResult, replay

MOST_PLACES = 4096
"""Images that are run for the map of changes, at most."""


def run_pair(model: Model, witness: Witness, *, progress: Progress = silent) -> (
    tuple[Shown, ReplayResult]
):  # fmt: skip
    """Run both images on every runtime installed, each image by itself.

    Raises:
        UsageError: the witness belongs to another model.
        ModelError: a runtime returns no number.
    """
    progress("running the pair of images", 0, 1)
    result = replay(model, witness)
    runs = list[Run]()
    for runtime in runtimes():
        run = runtime.load(model)
        first, second = (_listed(run(image[None])) for image in witness.pair)
        runs.append(Run(runtime.name, (first, second)))
    progress("running the pair of images", 1, 1)
    return Shown(witness, (*runs,), result.confirmed), result


def _listed(answer: Float32Array) -> tuple[float, ...]:
    return tuple(float(p) for p in answer[0])


def changes_by_place(
    model: Model, witness: Witness, *, progress: Progress = silent
) -> NDArray[np.float64] | None:
    """The largest change of a probability by ONNX Runtime (H, W), where one last bit flips.

    Of several channels it is the largest of the channels' ones.

    All bits but one are those of the witness's first image. Each image is run by itself, as the
    place in a batch may move the last bits of an answer. None where there are too many places.
    """
    places = witness.image.size
    if places > MOST_PLACES:
        return None
    run, found = OnnxRuntime().load(model), np.zeros(witness.image.shape[-2:])
    channels = witness.image.reshape(-1, *found.shape)
    before = run(witness.image[None])[0].astype(np.float64)
    for k, channel in enumerate(channels):
        for j, (pixel, plane) in enumerate(neighbours(channel)):
            image = channels.copy()
            image[k] = plane
            after = run(image.reshape(1, *witness.image.shape))[0].astype(np.float64)
            found[pixel] = max(found[pixel], np.max(np.abs(after - before)))
            progress("flipping every last bit", k * found.size + j + 1, places)
    return found
