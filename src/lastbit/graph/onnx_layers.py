"""Convolution, dense layer and batch normalization, to `Linear`."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from lastbit.errors import ModelError
from lastbit.graph.network import BatchNorm, Float32Array, Linear
from lastbit.graph.onnx_building import (
    Building,
    UnsupportedError,
    as_shape,
    attributes,
    frozen,
    per_channel,
    zeros,
)


def conv(b: Building, node: NodeProto) -> None:
    """Conv, two-dimensional and without dilation."""
    options = attributes(node)
    if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedError(f"with auto_pad {options['auto_pad'].decode()}")
    if set(options.get("dilations", [1])) != {1}:
        raise UnsupportedError(f"with dilations {options['dilations']}")
    weight = b.weights(node, 1)
    if weight.ndim != 4:
        raise UnsupportedError(f"of {weight.ndim - 2} dimensions")
    value = b.value(node)
    if len(value.dims) != 3:
        raise UnsupportedError(f"of a value of shape {value.dims}")
    group = options.get("group", 1)
    outputs, per_group, *kernel = weight.shape
    if per_group * group != value.dims[0] or outputs % group or min(weight.shape) < 1:
        raise ModelError(
            f"weights of shape {weight.shape} in {group} groups on {value.dims[0]} channels",
            where=b.where(node),
        )
    strides = tuple(options.get("strides", [1, 1]))
    padded = options.get("auto_pad", b"NOTSET") == b"NOTSET"
    pads = tuple(options.get("pads", [0, 0, 0, 0])) if padded else (0, 0, 0, 0)
    senseless = len(strides) != 2 or len(pads) != 4 or min(strides) < 1 or min(pads) < 0
    if options.get("kernel_shape", kernel) != kernel or senseless:
        raise ModelError("strides, pads or kernel_shape make no sense", where=b.where(node))
    height, width = (
        (value.dims[1 + i] + pads[i] + pads[2 + i] - kernel[i]) // strides[i] + 1 for i in (0, 1)
    )
    if min(height, width) < 1:
        raise ModelError(f"the kernel {kernel} is larger than its image", where=b.where(node))
    bias = b.vector(node, 2, outputs) if b.optional(node, 2) else zeros(outputs)
    shape = (outputs, height, width)
    linear = Linear(
        node.output[0], shape, value.node, frozen(weight), bias, strides, pads, group, None
    )
    b.put(linear, shape)


def _put_dense(b: Building, node: NodeProto, matrix: Float32Array, bias: Float32Array) -> None:
    """Add a dense layer; `matrix` is (outputs, inputs)."""
    value = b.value(node)
    if len(value.dims) != 1 or matrix.ndim != 2:
        raise UnsupportedError(f"of a value of shape {value.dims}")
    if matrix.shape[1] != value.dims[0] or not matrix.shape[0]:
        raise ModelError(
            f"weights of shape {matrix.shape} on {value.dims[0]} inputs", where=b.where(node)
        )
    weight = frozen(matrix[:, :, None, None])
    outputs = len(weight)
    name, shape = node.output[0], (outputs, 1, 1)
    b.put(Linear(name, shape, value.node, weight, bias, (1, 1), (0, 0, 0, 0), 1, None), (outputs,))


def gemm(b: Building, node: NodeProto) -> None:
    """Gemm of a vector with constant weights."""
    options = attributes(node)
    for name, needed in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
        if options.get(name, needed) != needed:
            raise UnsupportedError(f"with {name} {options[name]}")
    matrix = b.weights(node, 1)
    if not options.get("transB", 0):
        matrix = matrix.T
    outputs = len(matrix)
    bias = per_channel(b, node, 2, (outputs,)) if b.optional(node, 2) else zeros(outputs)
    _put_dense(b, node, matrix, bias)


def matmul(b: Building, node: NodeProto) -> None:
    """MatMul of a vector with constant weights."""
    if b.is_constant(node, 0):
        raise UnsupportedError("with its weights on the left")
    matrix = b.weights(node, 1).T
    _put_dense(b, node, matrix, zeros(len(matrix)))


def batch_norm(b: Building, node: NodeProto) -> None:
    """BatchNormalization: part of the layer before it, or a layer of its own."""
    options = attributes(node)
    if options.get("training_mode", 0) or len([name for name in node.output if name]) > 1:
        raise UnsupportedError("in training mode")
    value = b.value(node)
    channels = value.dims[0]
    gamma, beta, mean, variance = (b.vector(node, i, channels) for i in (1, 2, 3, 4))
    epsilon = float(np.float32(options.get("epsilon", 1e-5)))
    if not (np.min(variance + np.float32(epsilon)) > 0):
        raise ModelError("variance + epsilon is not positive", where=b.where(node))
    bn = BatchNorm(gamma, beta, mean, variance, epsilon)
    name, shape = node.output[0], as_shape(value.dims)
    before = b.nodes[value.node]
    if isinstance(before, Linear) and before.bn is None and b.uses[before.name] == 1:
        del b.nodes[before.name]
        linear = replace(before, name=name, bn=bn)
    else:
        ones = frozen(np.ones((channels, 1, 1, 1), np.float32))
        bias = zeros(channels)
        linear = Linear(name, shape, value.node, ones, bias, (1, 1), (0, 0, 0, 0), channels, bn)
    b.put(linear, value.dims)
