"""The images and labels as arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lastbit.data.canonical import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    to_array,
)
from lastbit.data.fetch import fetch
from lastbit.errors import UsageError
from lastbit.progress import Progress, silent

_FILES = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}


@dataclass(frozen=True, eq=False)
class Mnist:
    """One split, in the original order.

    `images` has shape (N, 28, 28), bytes as in the canonical file (0 is background); `labels` has
    shape (N,), values 0 to 9. N is 60,000 for training and 10,000 for testing.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source: str


def load_mnist(split: Literal["train", "test"], *, progress: Progress = silent) -> Mnist:
    """Return one split of MNIST, from the first place that has it (see `lastbit.data.fetch`).

    Raises:
        DataError: no place has it, or LASTBIT_DATA holds a wrong file.
    """
    if split not in _FILES:
        raise UsageError(f"there is no split {split!r} of MNIST", fix="use 'train' or 'test'")
    images, labels = fetch(_FILES[split], progress=progress)
    sources = dict.fromkeys([images.source, labels.source])
    return Mnist(
        images=to_array(images.file, images.content),
        labels=to_array(labels.file, labels.content),
        source=", ".join(sources),
    )
