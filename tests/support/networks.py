"""Random small networks made of every operator of the normal form, from a seed.

With `adversarial`, weights are what breaks bounds: 1e-5 beside 1e5, pairs that cancel, zeros,
subnormal numbers.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import BatchNorm, Network, OnnxBuilder, read_onnx


class RandomNetwork:
    """A builder that rolls dice. `b` holds the finished model."""

    def __init__(self, seed: int, *, adversarial: bool = False, batch_norm: bool = True) -> None:
        self.random = np.random.default_rng(seed)
        self.adversarial = adversarial
        self.batch_norm = batch_norm
        self.b = OnnxBuilder()
        self._build()

    def _build(self) -> None:
        b, random = self.b, self.random
        self.size = (int(random.integers(4, 8)), int(random.integers(4, 8)))
        x = b.input_bytes((1, *self.size))
        x = b.div(x, 255)
        if random.random() < 0.5:
            x = b.affine(x, "sub", np.float32(0.1307))
            x = b.affine(x, random.choice(["mul", "div"]), [np.float32(3.25)])
        self.channels = 1
        x = self._convolution(x, outputs=int(random.integers(2, 5)), activate=True)
        for _ in range(int(random.integers(1, 4))):
            x = (self._block, self._squeeze_excite, self._shift)[random.integers(3)](x)
        x = b.mean(x, reduce=bool(random.random() < 0.5))
        if random.random() < 0.5:
            width = int(random.integers(2, 6))
            x = b.dense(x, self._weights((width, self.channels)), self._weights((width,)))
            x = b.silu(x)
            self.channels = width
        classes = int(random.integers(2, 5))
        x = b.dense(x, self._weights((classes, self.channels)), self._weights((classes,)))
        b.softmax(x)

    def _block(self, x: str) -> str:
        """A depthwise or dense convolution, perhaps around a residual connection."""
        if self.random.random() < 0.5:
            y = self._convolution(x, self.channels, depthwise=True, activate=True)
            return self.b.add(self._convolution(y, self.channels, kernel=1), x)
        return self._convolution(x, int(self.random.integers(2, 5)), activate=True)

    def _squeeze_excite(self, x: str) -> str:
        b = self.b
        s = b.mean(x, reduce=True)
        s = b.silu(b.conv(s, self._weights((2, self.channels, 1, 1)), self._weights((2,))))
        s = b.conv(s, self._weights((self.channels, 2, 1, 1)), self._weights((self.channels,)))
        return b.gate(x, b.sigmoid(s))

    def _shift(self, x: str) -> str:
        return self.b.affine(x, "add", self._weights((self.channels,)))

    def _convolution(
        self,
        x: str,
        outputs: int,
        *,
        kernel: int | None = None,
        depthwise: bool = False,
        activate: bool = False,
    ) -> str:
        b, random = self.b, self.random
        group = self.channels if depthwise else 1
        resizes = kernel is None and not depthwise
        kernel = kernel or 3
        if resizes:
            pads = (int(random.integers(1, 3)), 1, 1, int(random.integers(1, 3)))
            stride = (int(random.integers(1, 3)), 1)
        else:
            pads, stride = kernel // 2, (1, 1)
        weight = self._weights((outputs, self.channels // group, kernel, kernel))
        bias = self._weights((outputs,)) if random.random() < 0.5 else None
        x = b.conv(x, weight, bias, stride=stride, padding=pads, group=group)
        self.channels = outputs
        if self.batch_norm and random.random() < 0.5:
            gamma, variance = random.uniform(0.5, 1.5, (2, outputs))
            x = b.batch_norm(x, gamma, self._weights((outputs,)), np.zeros(outputs), variance)
        return b.silu(x) if activate else x

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        random = self.random
        scale = 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        weights = random.normal(0, scale, shape).astype(np.float32)
        if not self.adversarial:
            return weights
        flat = weights.reshape(-1)
        match random.integers(5):
            case 0:
                flat *= random.choice([1e-5, 1.0, 1e5], flat.shape).astype(np.float32)
            case 1:
                half = len(flat) // 2
                flat[half : 2 * half] = -flat[:half]
            case 2:
                flat[random.random(flat.shape) < 0.7] = 0
            case 3:
                flat[random.random(flat.shape) < 0.5] *= np.float32(1e-40)
            case _:
                pass
        return weights


def random_network(
    folder: Path, seed: int, *, adversarial: bool = False, batch_norm: bool = True
) -> tuple[Path, Network]:
    """A model file in `folder`, and its normal form."""
    built = RandomNetwork(seed, adversarial=adversarial, batch_norm=batch_norm)
    path = built.b.save(folder / f"random-{seed}-{adversarial:d}{batch_norm:d}.onnx")
    return path, read_onnx(path)


def random_images(network: Network, seed: int, count: int = 3) -> NDArray[np.uint8]:
    """Images (count, C, H, W): noise, and for the second one only the two extreme bytes."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8)
    images[1:2] = np.where(images[1:2] < 128, 0, 255)
    return images


def without_batch_norm(network: Network) -> Network:
    """The same network with every batch norm left out."""
    read: dict[str, str] = {node.name: node.x for node in network if isinstance(node, BatchNorm)}
    nodes = (
        replace(node, inputs=tuple(read.get(name, name) for name in node.inputs))
        for node in network
        if not isinstance(node, BatchNorm)
    )
    return replace(network, nodes=tuple(nodes), form=None)
