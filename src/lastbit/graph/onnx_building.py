"""The state of a network on its way from the file to the normal form."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from onnx import NodeProto, helper

from lastbit.errors import ModelError
from lastbit.graph.network import Float32Array, Node, Shape
from lastbit.graph.onnx_file import OnnxFile


class UnsupportedError(Exception):
    """An operator used in a way that has no place in the normal form; says which way."""


class LostError(Exception):
    """An operator reads what an unsupported operator should have computed."""


@dataclass(frozen=True)
class Value:
    """What an ONNX tensor stands for: a node's value, seen as `dims` (C, H, W) or (C,)."""

    node: str
    dims: tuple[int, ...]
    is_bytes: bool = False


@dataclass(eq=False)
class Building:
    """A network on its way from the file to the normal form."""

    file: OnnxFile
    nodes: dict[str, Node]
    values: dict[str, Value]
    uses: Counter[str]
    batch_is_symbolic: bool
    lost: set[str] = field(default_factory=set[str])
    """What unsupported operators should have computed, and all that depends on it."""

    def where(self, node: NodeProto) -> str:
        return f"{self.file.path}, node {node.name or node.output[0]!r}"

    def optional(self, node: NodeProto, index: int) -> str:
        return node.input[index] if index < len(node.input) else ""

    def is_constant(self, node: NodeProto, index: int) -> bool:
        return self.optional(node, index) in self.file.constants

    def value(self, node: NodeProto, index: int = 0) -> Value:
        name = self.optional(node, index)
        if name in self.lost:
            raise LostError
        if name not in self.values:
            if name in self.file.constants:
                raise UnsupportedError("of constants")
            raise ModelError(f"input {name!r} is not defined", where=self.where(node))
        value = self.values[name]
        if value.is_bytes and node.op_type not in ("Cast", "Identity"):
            raise UnsupportedError("of bytes (a Cast to float32 comes first)")
        return value

    def weights(self, node: NodeProto, index: int) -> Float32Array:
        name = self.optional(node, index)
        if name not in self.file.constants:
            raise UnsupportedError("with computed weights")
        array = self.file.constants[name]
        if array.dtype != np.float32:
            raise ModelError(
                f"weights of type {array.dtype}, not float32",
                where=f"{self.file.path}, tensor {name!r}",
            )
        return cast("Float32Array", array)

    def vector(self, node: NodeProto, index: int, length: int) -> Float32Array:
        """Weights of shape (length,)."""
        array = self.weights(node, index)
        if array.shape != (length,):
            raise ModelError(
                f"tensor {node.input[index]!r} has shape {array.shape}, not ({length},)",
                where=self.where(node),
            )
        return frozen(array)

    def alias(self, node: NodeProto, value: Value) -> None:
        self.values[node.output[0]] = value

    def put(self, node: Node, dims: tuple[int, ...]) -> None:
        """Add a finished node; `dims` is how the file sees its value."""
        self.nodes[node.name] = node
        self.values[node.name] = Value(node.name, dims)


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes that the file gives; the rest have their defaults."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def frozen(array: Float32Array) -> Float32Array:
    """A read-only copy."""
    copy = np.array(array, np.float32)
    copy.setflags(write=False)
    return copy


def as_shape(dims: tuple[int, ...]) -> Shape:
    """`dims`, (C, H, W) or (C,), as (C, H, W)."""
    return (dims[0], 1, 1) if len(dims) == 1 else cast("Shape", dims)


def per_channel(b: Building, node: NodeProto, index: int, dims: tuple[int, ...]) -> Float32Array:
    """A constant that is a scalar or one number per channel of a value of `dims`, as (C,)."""
    array = b.weights(node, index)
    if array.ndim > len(dims) + 1:
        raise UnsupportedError(f"with a constant of shape {array.shape}")
    padded = array.reshape((1,) * (len(dims) + 1 - array.ndim) + array.shape)
    batch, channels, *spatial = padded.shape
    if batch != 1 or channels not in (1, dims[0]) or math.prod(spatial) != 1:
        raise UnsupportedError(f"with a constant of shape {array.shape}")
    return frozen(np.broadcast_to(padded.reshape(-1), (dims[0],)))


def zeros(length: int) -> Float32Array:
    """The bias that the file leaves out."""
    return frozen(np.zeros(length, np.float32))
