"""JAX on the CPU as a runtime. It is imported when it runs, not before."""

import importlib

from lastbit.graph import Float32Array, ImageArray, Model, as_batch, read_onnx
from lastbit.runtimes.runtime import Run


class Jax:
    """What jax.jit makes of the normal form of the model, at its defaults.

    It is compiled anew for every number of images that it is given.
    """

    @property
    def name(self) -> str:
        return f"jax {importlib.import_module('jax').__version__}"

    def load(self, model: Model) -> Run:
        from lastbit.runtimes.jax_network import jax_run

        graph = read_onnx(model)
        program = jax_run(graph, seen=False)

        def run(images: ImageArray) -> Float32Array:
            given = as_batch(images, graph.input_shape, graph.question)
            return program(given)[graph.output].reshape(len(given), -1)

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)
