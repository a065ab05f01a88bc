"""The network without the channels that are quiet and that nothing reads.

A channel is quiet if it is small whatever the image: its weights and its bias are 0, or it is what
a node makes, channel by channel, of quiet ones. It is read if a weight that is not 0 multiplies it.
Channels that are quiet and not read are left out, with the weights that would multiply them: these
products are exact zeros, of which a sum may hold any number. So what any execution of the network
computes in the channels that are kept, an execution of the narrow network computes, too; and where
all of these are finite, so are the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastbit.graph.builder import OnnxBuilder
from lastbit.graph.network import (
    Add,
    Affine,
    BatchNorm,
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

QUIET = 2.0**20  # largest magnitude
Float64Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
"""(C,): which channels of a node are kept."""


def narrowed(network: Network) -> bytes | None:
    """The narrow network as an ONNX file; None where the last layer is not a dense one.

    The last tensor of each node has the node's name. Grouped convolutions other than depthwise
    ones keep all their channels.
    """
    last = network[network.logits]
    if not isinstance(last, Linear) or last.bn or last.group > 1 or last.weight.shape[2:] != (1, 1):
        return None
    kept = kept_channels(network)
    b, names = OnnxBuilder(), dict[str, str]()
    for node in network:
        names[node.name] = _written(b, node, kept, names, dense=node is last)
    return b.to_bytes()


def kept_channels(network: Network) -> dict[str, Kept]:
    """Which channels of each node are read, or not quiet.

    What a node does channel by channel has the channels of what it reads.
    """
    kept = {name: ~(size <= QUIET) for name, size in _sizes(network).items()}
    kept[network.output][:] = True
    kept[network.logits][:] = True
    before = -1
    while before < (before := sum(int(v.sum()) for v in kept.values())):
        for node in reversed(network.nodes):
            own = kept[node.name]
            if isinstance(node, Linear) and not _depthwise(node):
                kept[node.x] |= _read_by(node, own)
                continue
            for name in node.inputs:
                own |= kept[name]
            for name in node.inputs:
                kept[name] |= own
    return kept


def _sizes(network: Network) -> dict[str, Float64Array]:
    """Largest magnitude (C,) of quiet channels, but for underflow; infinite or NaN for others."""
    found: dict[str, Float64Array] = {}
    for node in network:
        match node:
            case Linear(bn=None) if not _grouped(node):
                silent = ~node.weight.any(axis=(1, 2, 3)) & (node.bias == 0)
                size = np.where(silent, 0.0, np.inf)
            case Silu() | Mean():
                size = found[node.x]
            case Sigmoid():
                size = np.where(found[node.x] <= QUIET, 1.0, np.inf)
            case Gate():
                with np.errstate(invalid="ignore"):
                    size = found[node.x] * found[node.s]
            case Add():
                size = found[node.x] + found[node.y]
            case _:
                size = np.full(node.shape[0], np.inf)
        found[node.name] = size
    return found


def _grouped(node: Linear) -> bool:
    return node.group > 1 and not _depthwise(node)


def _depthwise(node: Linear) -> bool:
    return node.group == len(node.weight) > 1 and node.weight.shape[1] == 1


def _read_by(node: Linear, own: Kept) -> Kept:
    """Which channels of its input a layer reads for its outputs ``own``."""
    if _grouped(node):
        return np.ones(node.group * node.weight.shape[1], np.bool_)
    read = np.asarray(node.weight[own].any(axis=(0, 2, 3)))
    if not read.any():
        read[0] = True  # something has to be there
    return read


def _written(
    b: OnnxBuilder, node: Node, kept: dict[str, Kept], names: dict[str, str], *, dense: bool
) -> str:
    own, sources = kept[node.name], [names[name] for name in node.inputs]
    match node:
        case Input():
            return b.input_bytes(node.shape, node.name)
        case Affine():
            return b.affine(sources[0], node.kind, node.constant[own], node.name)
        case Linear():
            weight, bias = node.weight[own], node.bias[own]
            if node.group == 1:
                weight = weight[:, kept[node.x]]
            if dense:
                return b.dense(sources[0], weight[:, :, 0, 0], bias, node.name)
            group = len(weight) if _depthwise(node) else node.group
            name = f"{node.name}.sum" if node.bn else node.name
            x = b.conv(sources[0], weight, bias, stride=node.strides, padding=node.pads,
                       group=group, name=name)  # fmt: skip
            return _normed(b, x, node.bn, own, node.name) if node.bn else x
        case Silu():
            return b.silu(sources[0], node.name)
        case Sigmoid():
            return b.sigmoid(sources[0], node.name)
        case Gate():
            return b.gate(sources[0], sources[1], node.name)
        case Add():
            return b.add(sources[0], sources[1], node.name)
        case Mean():
            return b.mean(sources[0], node.name)
        case Softmax():
            return b.softmax(sources[0], node.name)


def _normed(b: OnnxBuilder, x: str, bn: BatchNorm, own: Kept, name: str) -> str:
    parts = (v[own] for v in (bn.gamma, bn.beta, bn.mean, bn.variance))
    return b.batch_norm(x, *parts, epsilon=bn.epsilon, name=name)
