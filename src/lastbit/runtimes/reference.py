"""Our own executor as a runtime."""

import numpy as np

import lastbit
from lastbit.float32 import execute
from lastbit.graph import Float32Array, ImageArray, Model, as_batch, read_onnx
from lastbit.runtimes.runtime import Run


class Reference:
    """The reference executor in NumPy.

    Args:
        order: of the terms of a sum, by default that of the weights.
    """

    def __init__(self, order: str = "forward") -> None:
        self.order = order

    @property
    def name(self) -> str:
        order = "" if self.order == "forward" else f" {self.order}"
        return f"lastbit-reference {lastbit.__version__}{order}"

    def load(self, model: Model) -> Run:
        graph = read_onnx(model)

        def run(images: ImageArray) -> Float32Array:
            given = as_batch(images, graph.input_shape, graph.question)
            return np.stack([execute(graph, x, order=self.order) for x in given])

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)
