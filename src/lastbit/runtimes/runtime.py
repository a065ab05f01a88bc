"""What a runtime is, and what it gives back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import ByteArray, Float32Array

Run = Callable[[ByteArray], Float32Array]
"""Images (N, H, W) or (N, C, H, W), bytes, to class probabilities (N, classes)."""

Values = Mapping[str, NDArray[np.floating]]
"""The values (N, C, H, W) of the nodes that can be seen, by name."""

ValuesRun = Callable[[ByteArray], Values]
"""Images (N, C, H, W), bytes, to the values of the visible nodes."""

BATCH = 256
"""Images that are run at a time."""


class Runtime(Protocol):
    """A program that executes models.

    `name` holds its version. `load` reads a model once for many runs; `probabilities` is for one.
    """

    @property
    def name(self) -> str: ...

    def load(self, model: str | Path) -> Run: ...

    def probabilities(self, model: str | Path, images: ByteArray) -> Float32Array: ...
