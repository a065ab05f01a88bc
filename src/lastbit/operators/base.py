"""What an operator can say of itself: a node of a network, as the file writes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lastbit_check.network import Node as NormalNode, Part, Shape as Shape, View as View
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.reading import Reader
from lastbit_check.operators.seen import Seen

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Channels = NDArray[np.bool_]
"""(C,): some of the channels of a value."""
Box = tuple[Float64Array, Float64Array]
"""The least and the largest value (C, H, W)."""
BatchNormForm = Literal["centred", "scaled"]
"""centred: (y - mean) / sqrt(variance + epsilon) * gamma + beta, from left to right.
scaled: y * f + (beta - mean * f) with f = gamma / sqrt(variance + epsilon)."""


Look = Callable[[Any, View], Any]


class Machine(Protocol):
    """One way to execute in binary32: each method is one operation, but for the sum's many."""

    @property
    def batch_norm_form(self) -> BatchNormForm: ...

    def flush(self, x: Float32Array, /) -> Float32Array: ...
    def add(self, x: Float32Array, y: Float32Array, /) -> Float32Array: ...
    def subtract(self, x: Float32Array, y: Float32Array, /) -> Float32Array: ...
    def multiply(self, x: Float32Array, y: Float32Array, /) -> Float32Array: ...
    def divide(self, x: Float32Array, y: Float32Array, /) -> Float32Array: ...
    def sqrt(self, x: Float32Array, /) -> Float32Array: ...
    def sigmoid(self, x: Float32Array, /) -> Float32Array: ...
    def exp(self, x: Float32Array, /) -> Float32Array: ...

    def sum(self, terms: Float32Array, /) -> Float32Array:
        """Over axis 0, in the order of this execution."""
        ...


class Convolution(NamedTuple):
    """A linear map over the places of a kernel, and a bias, as float64 has them.

    ``weight`` (O, I / groups, kh, kw), ``bias`` (O,), strides (rows, columns), pads (top, left,
    bottom, right).
    """

    weight: Float64Array
    bias: Float64Array
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """One operator. It is named after the tensor that it writes.

    Attributes:
        shape: (C, H, W) of its value; the batch axis of the file is dropped, a vector is (C, 1, 1).
        inputs: the nodes that it reads.
        views: in which shape and order it reads each; none if it reads all of them as they are.
    """

    name: str
    shape: Shape
    inputs: tuple[str, ...]
    views: tuple[View | None, ...] = field(default=(), kw_only=True)

    @property
    def x(self) -> str:
        """The first node that is read."""
        return self.inputs[0]

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        """Its constants, in the order in which `torch` takes them."""
        return ()

    @property
    def channelwise(self) -> bool:
        """Whether a channel depends on the same channel of its inputs, and on no other."""
        return not self.arranges

    def operands(self, values: Mapping[str, Any], look: Look) -> list[Any]:
        """What it reads, as it reads it; ``look`` sees a value by a view."""
        views = self.views or (None,) * len(self.inputs)
        return [
            values[name] if view is None else look(values[name], view)
            for name, view in zip(self.inputs, views, strict=True)
        ]

    @property
    def arranges(self) -> bool:
        """Whether it reads anything otherwise than as it is."""
        return any(view is not None for view in self.views)

    @property
    def convolution(self) -> Convolution | None:
        """What it is as one linear map over the places of a kernel, if it is that."""
        return None

    @abstractmethod
    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        """Its value (C, H, W), operation by operation."""

    @abstractmethod
    def float64(self, *xs: Float64Array) -> Float64Array:
        """Its value (C, H, W), as accurately as NumPy has it."""

    @abstractmethod
    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        """Its value (N, C, H, W) in PyTorch, as a program of PyTorch's would compute it."""

    @abstractmethod
    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        """Likewise in JAX; ``precision`` is that of convolutions."""

    @abstractmethod
    def box(self, *boxes: Box) -> Box:
        """Between what its values are if those that it reads are between these; for hints."""

    @abstractmethod
    def write(self, b: OnnxBuilder, *sources: str) -> str:
        """Add it to a file, with its name; returns the tensor that it writes."""

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array | None:
        """The slope (C,) of its linear core, if it needs one.

        Args:
            read: what the first of its inputs may be.
            mean: of its last input over sampled images (C,).
            straight: it stays close to a line.
        """
        return None

    def restricted(self, own: Channels, read: Mapping[str, Channels]) -> Self:
        """With some of its channels only, of inputs with some of theirs."""
        return replace(self, shape=(int(own.sum()), *self.shape[1:]))


class Read(NamedTuple):
    """An operator that the checker has read.

    Attributes:
        operator: as it is in the file.
        sources: the tensors that it reads; constants are none.
        made: what it makes in the checker's normal form.
        reader: the checker's, which has the constants.
    """

    operator: Operator
    sources: tuple[Seen, ...]
    made: NormalNode
    reader: Reader

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes that are read."""
        return tuple(source.node.name for source in self.sources)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Of a sum, what it reads."""
        assert self.made.sum is not None
        return self.made.sum.parts

    @property
    def views(self) -> tuple[View | None, ...]:
        """How the parts of a sum are seen; none if all are as they are."""
        views = tuple(part.view for part in self.parts)
        return views if any(view is not None for view in views) else ()

    @property
    def name(self) -> str:
        return self.operator.name

    def floats(self, index: int) -> Float32Array:
        """The constant that operand number ``index`` is, read-only."""
        return frozen(self.reader.floats(self.operator.inputs[index]))


def frozen(array: Float32Array) -> Float32Array:
    """A read-only copy."""
    copy = np.array(array, np.float32)
    copy.setflags(write=False)
    return copy


def on_channels(values: Float32Array) -> Float32Array:
    """Numbers (C,), or (C, H, W), beside values (C, H, W)."""
    return values if values.ndim == 3 else values[:, None, None]


def wide(values: Float32Array) -> Float64Array:
    """Likewise, in float64."""
    return on_channels(values).astype(np.float64)


def seen(x: NDArray[Any], view: View) -> NDArray[Any]:
    """A value (C, H, W) by a view."""
    flat = x.ravel()
    if view.order is not None:
        flat = np.append(flat, np.zeros(1, flat.dtype))[view.order]
    return flat.reshape(view.shape)


def box_seen(box: Box, view: View) -> Box:
    """A box of values by a view."""
    low, high = (seen(end, view) for end in box)
    return low, high
