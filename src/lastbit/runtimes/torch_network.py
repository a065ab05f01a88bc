"""A network as PyTorch operations; differentiable in its input.

Import this module only where PyTorch may be required.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from lastbit.graph import ByteArray, Input, Network
from lastbit.runtimes.runtime import Values, ValuesRun
from lastbit_check.network import View

Setting = Callable[[], AbstractContextManager[object]]


class TorchNetwork:
    """The network with its weights as tensors of one type on one device.

    Images are floating-point tensors (N, C, H, W) that hold byte values 0..255. With the memory
    format `torch.channels_last` convolutions read and write their channels side by side.
    """

    def __init__(
        self,
        network: Network,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.network = network
        self._memory_format = memory_format
        self._constants = {
            node.name: [
                self._laid_out(torch.tensor(v, dtype=dtype, device=device)) for v in node.arrays
            ]
            for node in network
        }

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Class probabilities (N, classes)."""
        return self.values(images)[self.network.output].flatten(1)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """What softmax reads, (N, classes)."""
        return self.values(images)[self.network.logits].flatten(1)

    def values(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The value (N, C, H, W) of every node, by name."""
        values: dict[str, torch.Tensor] = {}
        for node in self.network:
            constants = self._constants[node.name]
            sources = node.operands(values, seen)
            if any(constant.ndim == 4 for constant in constants):
                sources = [self._laid_out(x) for x in sources]
            given = [images] if isinstance(node, Input) else sources
            values[node.name] = node.torch(constants, *given)
        return values

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim < 4 or self._memory_format is torch.contiguous_format:
            return x
        return x.contiguous(memory_format=self._memory_format)


def seen(x: torch.Tensor, view: View) -> torch.Tensor:
    """Values (N, C, H, W) by a view."""
    flat = x.flatten(1)
    if view.order is not None:
        order = torch.from_numpy(view.order).to(flat.device)
        flat = torch.nn.functional.pad(flat, (0, 1))[:, order]
    return flat.reshape(-1, *view.shape)


def torch_name() -> str:
    """PyTorch with its version."""
    return f"torch {torch.__version__}"


def torch_run(
    network: Network,
    *,
    threads: int = 1,
    channels_last: bool = False,
    compiled: bool = False,
    under: Setting = nullcontext,
    device: str = "cpu",
) -> ValuesRun:
    """PyTorch, with every node's value as it was computed.

    Args:
        network: in normal form.
        threads: within an operator.
        channels_last: the memory format of convolutions.
        compiled: by torch.compile, every node read.
        under: a setting that holds while it runs.
        device: "cpu" or "cuda".
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    values = TorchNetwork(network, device=device, memory_format=layout).values
    if compiled:
        values = torch.compile(values)

    def run(images: ByteArray) -> Values:
        pixels = torch.from_numpy(images).float().to(device)
        with torch_threads(threads), torch.inference_mode(), under():
            found = values(pixels)
        return {node.name: found[node.name].float().cpu().numpy() for node in network.nodes[1:]}

    return run


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads within an operator; None for as many as the process has set."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
