"""A network in normal form as PyTorch operations; differentiable in its input.

Import this module only where PyTorch may be required.
"""

import torch
from torch.nn import functional

from lastbit.graph import (
    Add,
    Affine,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Node,
    Sigmoid,
    Silu,
    Softmax,
)


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
        self._weights = {
            node.name: tuple(
                torch.tensor(array, dtype=dtype, device=device) for array in _arrays(node)
            )
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
            values[node.name] = self._value(node, values, images)
        return values

    def _value(
        self, node: Node, values: dict[str, torch.Tensor], images: torch.Tensor
    ) -> torch.Tensor:
        match node:
            case Input():
                return images
            case Affine():
                (constant,) = self._weights[node.name]
                return _AFFINE[node.kind](values[node.x], constant[:, None, None])
            case Linear():
                return self._linear(node, values[node.x])
            case Sigmoid():
                return torch.sigmoid(values[node.x])
            case Silu():
                return values[node.x] * torch.sigmoid(values[node.x])
            case Gate():
                return values[node.x] * values[node.s]
            case Add():
                return values[node.x] + values[node.y]
            case Mean():
                return values[node.x].mean((2, 3), keepdim=True)
            case Softmax():
                return torch.softmax(values[node.x], 1)

    def _linear(self, node: Linear, x: torch.Tensor) -> torch.Tensor:
        weight, bias, *bn = self._weights[node.name]
        top, left, bottom, right = node.pads
        if self._memory_format is not torch.contiguous_format:
            x = x.contiguous(memory_format=self._memory_format)
            weight = weight.contiguous(memory_format=self._memory_format)
        if (top, left) == (bottom, right):
            y = functional.conv2d(x, weight, bias, node.strides, (top, left), 1, node.group)
        else:
            x = functional.pad(x, (left, right, top, bottom))
            y = functional.conv2d(x, weight, bias, node.strides, 0, 1, node.group)
        if node.bn is None:
            return y
        gamma, beta, mean, variance = bn
        return functional.batch_norm(y, mean, variance, gamma, beta, eps=node.bn.epsilon)


_AFFINE = {"div": torch.div, "mul": torch.mul, "add": torch.add, "sub": torch.sub}


def _arrays(node: Node) -> tuple:
    match node:
        case Affine():
            return (node.constant,)
        case Linear():
            bn = node.bn
            statistics = () if bn is None else (bn.gamma, bn.beta, bn.mean, bn.variance)
            return (node.weight, node.bias, *statistics)
        case _:
            return ()
