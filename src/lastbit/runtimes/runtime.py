"""What a runtime is, and what it gives back."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import Float32Array, ImageArray, Model

Run = Callable[[ImageArray], Float32Array]
"""Images (N, H, W) or (N, C, H, W), as the question has them, to probabilities (N, classes)."""

Values = Mapping[str, NDArray[np.floating]]
"""The values (N, C, H, W) of the nodes that can be seen, by name."""

ValuesRun = Callable[[ImageArray], Values]
"""Images (N, C, H, W), bytes or numbers, to the values of the visible nodes."""

BATCH = 256
"""Images that are run at a time."""


class Runtime(Protocol):
    """A program that executes models.

    `name` holds its version. `load` reads a model once for many runs; `probabilities` is for one.
    """

    @property
    def name(self) -> str: ...

    def load(self, model: Model) -> Run: ...

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array: ...
