"""Operators that give a value another name or another shape, and leave its numbers alone."""

import math

from onnx import NodeProto, TensorProto

from lastbit.graph.onnx_building import Building, UnsupportedError, Value, attributes


def cast(b: Building, node: NodeProto) -> None:
    """Cast from bytes to float32, which is exact."""
    if attributes(node).get("to") != TensorProto.FLOAT:
        raise UnsupportedError("to anything but float32")
    value = b.value(node)
    b.alias(node, Value(value.node, value.dims))


def identity(b: Building, node: NodeProto) -> None:
    """Identity, of a value or of a constant."""
    if b.is_constant(node, 0):
        b.file.constants[node.output[0]] = b.file.constants[node.input[0]]
    else:
        b.alias(node, b.value(node))


def dropout(b: Building, node: NodeProto) -> None:
    """Dropout, which does nothing in inference."""
    mode = b.optional(node, 2)
    if mode and (mode not in b.file.constants or b.file.constants[mode].any()):
        raise UnsupportedError("in training mode")
    if len([name for name in node.output if name]) > 1:
        raise UnsupportedError("with its mask")
    b.alias(node, b.value(node))


def flatten(b: Building, node: NodeProto) -> None:
    """Flatten of (C, 1, 1)."""
    value = b.value(node)
    axis = attributes(node).get("axis", 1)
    if axis % (len(value.dims) + 1) != 1:
        raise UnsupportedError(f"at axis {axis}")
    _reshaped(b, node, value, (math.prod(value.dims),))


def reshape(b: Building, node: NodeProto) -> None:
    """Reshape between (C, 1, 1) and (C,)."""
    value = b.value(node)
    if not b.is_constant(node, 1) or attributes(node).get("allowzero", 0):
        raise UnsupportedError("to a computed shape")
    target = [int(n) for n in b.file.constants[node.input[1]].reshape(-1)]
    size = math.prod(value.dims)
    batch, *rest = target or [1]
    # A zero stands for the axis of the input in its place, and one -1 for what is left over.
    axes = [value.dims[i] if n == 0 and i < len(value.dims) else n for i, n in enumerate(rest)]
    if -1 in axes:
        others = abs(math.prod(axes))
        axes[axes.index(-1)] = size // others if others else 0
    keeps_batch = batch == 0 or (
        -1 not in rest if batch == -1 else batch == 1 and not b.batch_is_symbolic
    )
    if not keeps_batch or math.prod(axes) != size:
        raise UnsupportedError(f"to {target}")
    _reshaped(b, node, value, tuple(axes))


def squeeze(b: Building, node: NodeProto) -> None:
    """Squeeze of (C, 1, 1)."""
    value = b.value(node)
    axes = _axes(b, node)
    rank = len(value.dims) + 1
    gone = {axis % rank for axis in axes}
    if 0 in gone or not axes:
        raise UnsupportedError("of the batch axis")
    dims = tuple(n for i, n in enumerate(value.dims, 1) if i not in gone)
    _reshaped(b, node, value, dims)


def unsqueeze(b: Building, node: NodeProto) -> None:
    """Unsqueeze of (C,)."""
    value = b.value(node)
    axes = _axes(b, node)
    rank = len(value.dims) + 1 + len(axes)
    added = {axis % rank for axis in axes}
    if 0 in added or len(value.dims) != 1 or added != {2, 3}:
        raise UnsupportedError(f"at axes {axes}")
    _reshaped(b, node, value, (value.dims[0], 1, 1))


def _axes(b: Building, node: NodeProto) -> list[int]:
    if b.optional(node, 1):
        if not b.is_constant(node, 1):
            raise UnsupportedError("over computed axes")
        return [int(axis) for axis in b.file.constants[node.input[1]].reshape(-1)]
    return list(attributes(node).get("axes", []))


def _reshaped(b: Building, node: NodeProto, value: Value, dims: tuple[int, ...]) -> None:
    """The same numbers, one per channel, as (C, 1, 1) or (C,); any other shape is a stranger."""
    channels = math.prod(value.dims)
    one_per_channel = value.dims[0] == channels and dims in ((channels,), (channels, 1, 1))
    if not (one_per_channel or dims == value.dims):
        raise UnsupportedError(f"from {value.dims} to {dims}")
    b.alias(node, Value(value.node, dims))
