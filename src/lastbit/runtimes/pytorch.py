"""PyTorch on the CPU as a runtime. It is imported when it runs, not before."""

from lastbit.graph import Float32Array, ImageArray, Model, as_batch, read_onnx
from lastbit.runtimes.runtime import BATCH, Run


class PyTorch:
    """PyTorch on the CPU, fed with the normal form of the model.

    Args:
        threads: that one operator may use; by default as many as the process has set.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    @property
    def name(self) -> str:
        import torch

        return f"torch {torch.__version__}"

    def load(self, model: Model) -> Run:
        import torch

        from lastbit.runtimes.torch_network import TorchNetwork, torch_threads

        graph = read_onnx(model)
        network = TorchNetwork(graph)

        def run(images: ImageArray) -> Float32Array:
            batch = as_batch(images, graph.input_shape, graph.question)
            given = torch.from_numpy(batch).float()
            with torch_threads(self.threads), torch.inference_mode():
                parts = [network.probabilities(part) for part in given.split(BATCH)]
            return torch.cat(parts).numpy()

        return run

    def probabilities(self, model: Model, images: ImageArray) -> Float32Array:
        return self.load(model)(images)
