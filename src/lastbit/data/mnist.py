"""The images and labels as arrays."""

from typing import Literal

from lastbit.data.canonical import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    to_array,
)
from lastbit.data.fetch import fetch
from lastbit.data.labelled import LabelledImages
from lastbit.errors import UsageError
from lastbit.progress import Progress, silent

_FILES = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}


def load_mnist(split: Literal["train", "test"], *, progress: Progress = silent) -> LabelledImages:
    """Return one split of MNIST from the first place that has it (see `lastbit.data.fetch`).

    In the original order: `images` has shape (N, 28, 28), bytes as in the canonical file (0 is
    background), `labels` has values 0 to 9. N is 60,000 for training and 10,000 for testing.

    Raises:
        DataError: no place has it, or LASTBIT_DATA holds a wrong file.
    """
    if split not in _FILES:
        raise UsageError(f"there is no split {split!r} of MNIST", fix="use 'train' or 'test'")
    images, labels = fetch(_FILES[split], progress=progress)
    sources = dict.fromkeys([images.source, labels.source])
    return LabelledImages(
        images=to_array(images.file, images.content),
        labels=to_array(labels.file, labels.content),
        source=", ".join(sources),
    )
