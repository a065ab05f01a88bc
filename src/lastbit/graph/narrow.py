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

from lastbit.graph.network import Network
from lastbit.operators import Linear
from lastbit.operators.base import Channels, Float64Array
from lastbit.operators.builder import OnnxBuilder

QUIET = 2.0**20  # largest magnitude


def narrowed(network: Network) -> bytes | None:
    """The narrow network as an ONNX file.

    None where the last layer is not a dense one, or where the inputs are no bytes. The last tensor
    of each node has the node's name. Grouped convolutions other than depthwise ones keep all their
    channels.
    """
    last = network[network.logits]
    if not isinstance(last, Linear) or not last.dense or network.question.box:
        return None
    kept = kept_channels(network)
    b, names = OnnxBuilder(), dict[str, str]()
    for node in network:
        sources = node.operands(names, b.seen)
        names[node.name] = node.restricted(kept[node.name], kept).write(b, *sources)
    return b.to_bytes()


def kept_channels(network: Network) -> dict[str, Channels]:
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
            if node.arranges:
                own[:] = True
                for name in node.inputs:
                    kept[name][:] = True
                continue
            if isinstance(node, Linear) and not node.depthwise:
                kept[node.x] |= _read_by(node, own)
                continue
            for name in node.inputs:
                own |= kept[name]
            for name in node.inputs:
                kept[name] |= own
    return kept


def _sizes(network: Network) -> dict[str, Float64Array]:
    """Largest magnitude (C,) of quiet channels, but for underflow; infinite for others."""
    found: dict[str, Float64Array] = {}
    shapes = {node.name: node.shape for node in network}
    for node in network:
        size = np.full(node.shape[0], np.inf)
        if isinstance(node, Linear) and (node.group == 1 or node.depthwise):
            silent = ~node.weight.any(axis=(1, 2, 3)) & (node.bias == 0)
            size[silent] = 0.0
        elif node.channelwise and node.inputs:
            by_name = {name: found[name][:, None, None] for name in node.inputs}
            quiet = np.all([x <= QUIET for x in by_name.values()], axis=0).ravel()
            sizes = [np.broadcast_to(by_name[name], shapes[name]) for name in node.inputs]
            boxes = ((-np.minimum(x, QUIET), np.minimum(x, QUIET)) for x in sizes)
            low, high = node.box(*boxes)
            largest = np.maximum(np.abs(low), np.abs(high)).reshape(len(size), -1).max(axis=1)
            size[quiet] = largest[quiet]
        found[node.name] = size
    return found


def _read_by(node: Linear, own: Channels) -> Channels:
    """Which channels of its input a layer reads for its outputs ``own``."""
    if node.group > 1:
        return np.ones(node.group * node.weight.shape[1], np.bool_)
    read = np.asarray(node.weight[own].any(axis=(0, 2, 3)))
    if not read.any():
        read[0] = True  # something has to be there
    return read
