"""Means over the image, and softmax over the classes."""

import math

from onnx import NodeProto

from lastbit.graph.network import Mean, Softmax
from lastbit.graph.onnx_building import Building, UnsupportedError, Value, as_shape, attributes


def global_mean(b: Building, node: NodeProto) -> None:
    """GlobalAveragePool."""
    value = b.value(node)
    if len(value.dims) != 3:
        raise UnsupportedError(f"of a value of shape {value.dims}")
    _put_mean(b, node, value, (value.dims[0], 1, 1))


def reduce_mean(b: Building, node: NodeProto) -> None:
    """ReduceMean over both axes of the image."""
    value = b.value(node)
    options = attributes(node)
    axes = options.get("axes", [])
    if b.optional(node, 1):
        if not b.is_constant(node, 1):
            raise UnsupportedError("over computed axes")
        axes = [int(axis) for axis in b.file.constants[node.input[1]].reshape(-1)]
    if len(value.dims) != 3 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise UnsupportedError(f"over axes {axes}, not the two of the image")
    channels = value.dims[0]
    _put_mean(b, node, value, (channels, 1, 1) if options.get("keepdims", 1) else (channels,))


def _put_mean(b: Building, node: NodeProto, value: Value, dims: tuple[int, ...]) -> None:
    b.put(Mean(node.output[0], (dims[0], 1, 1), value.node), dims)


def softmax(b: Building, node: NodeProto) -> None:
    """Softmax over the classes."""
    value = b.value(node)
    axis = attributes(node).get("axis", -1) % (len(value.dims) + 1)
    if axis != 1 or math.prod(value.dims[1:]) != 1:
        raise UnsupportedError(f"over axis {axis} of a value of shape {value.dims}")
    b.put(Softmax(node.output[0], as_shape(value.dims), value.node), value.dims)
