"""The network as data: a short list of frozen nodes, the normal form that everything works on.

Every value has a static shape (C, H, W); the batch axis of the file is dropped, and a vector is
(C, 1, 1). A node is named after the ONNX tensor that its last operator writes, so that a bound, a
certificate and the file can be held side by side. Arrays are read-only float32.

A bound domain is a `match` over the members of `Node`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
"""(channels, height, width)."""

Float32Array = NDArray[np.float32]
AffineKind = Literal["div", "mul", "add", "sub"]


@final
@dataclass(frozen=True, eq=False)
class Input:
    """The image: bytes 0..255, as float32 from here on (that step is exact)."""

    name: str
    shape: Shape

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()


@final
@dataclass(frozen=True, eq=False)
class Affine:
    """One rounded operation with a constant: x / d, x * f, x + t or x - t.

    `constant` is (C,); a scalar of the file is repeated.
    """

    name: str
    shape: Shape
    x: str
    kind: AffineKind
    constant: Float32Array

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@final
@dataclass(frozen=True, eq=False)
class BatchNorm:
    """gamma * (y - mean) / sqrt(variance + epsilon) + beta; all (O,), epsilon a float32 value."""

    gamma: Float32Array
    beta: Float32Array
    mean: Float32Array
    variance: Float32Array
    epsilon: float


@final
@dataclass(frozen=True, eq=False)
class Linear:
    """Convolution or dense layer (a 1x1 convolution on (C, 1, 1)), then perhaps batch norm.

    `weight` is (O, I / group, kh, kw), `bias` (O,) (zeros if the file has none), `strides` (rows,
    columns), `pads` (top, left, bottom, right).
    """

    name: str
    shape: Shape
    x: str
    weight: Float32Array
    bias: Float32Array
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    group: int
    bn: BatchNorm | None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@final
@dataclass(frozen=True, eq=False)
class Silu:
    """x * sigmoid(x)."""

    name: str
    shape: Shape
    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@final
@dataclass(frozen=True, eq=False)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    name: str
    shape: Shape
    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@final
@dataclass(frozen=True, eq=False)
class Gate:
    """x * s with x (C, H, W) and s (C, 1, 1), repeated over the image."""

    name: str
    shape: Shape
    x: str
    s: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x, self.s)


@final
@dataclass(frozen=True, eq=False)
class Add:
    """x + y, both of one shape."""

    name: str
    shape: Shape
    x: str
    y: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x, self.y)


@final
@dataclass(frozen=True, eq=False)
class Mean:
    """Mean over both image axes: (C, H, W) to (C, 1, 1)."""

    name: str
    shape: Shape
    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


@final
@dataclass(frozen=True, eq=False)
class Softmax:
    """Softmax over the channels of (C, 1, 1); the last node."""

    name: str
    shape: Shape
    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.x,)


Node = Input | Affine | Linear | Silu | Sigmoid | Gate | Add | Mean | Softmax


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A network in normal form.

    Attributes:
        nodes: in topological order, the order in which the file finishes them; `Input` first,
            `Softmax` last.
        input_shape: (C, H, W) of the image.
        output: name of the last node.
        sha256: of the ONNX file, which is the model's name.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    output: str
    sha256: str

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    @property
    def logits(self) -> str:
        """Name of the node whose value softmax reads."""
        return self.nodes[-1].inputs[0]
