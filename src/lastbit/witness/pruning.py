"""A smaller network that computes the same: without the channels that play no part.

A channel is dropped where it is zero for every image, or where every weight that reads it is zero.
A network that was trained small and exported at its full size runs many times faster this way. What
is left out are exact zeros, but sums may be taken in another order: for the search, not for replay.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import (
    Add,
    Affine,
    BatchNorm,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Node,
    Silu,
    Softmax,
)

Mask = NDArray[np.bool_]
"""(C,): one flag per channel of a node's value."""


def prune(network: Network) -> Network:
    """The network without its dead channels; the input and the classes keep all of theirs."""
    live = _live_channels(network)
    for node in network:
        if isinstance(node, (Input, Softmax)) or node.name == network.logits:
            live[node.name][:] = True
        elif not live[node.name].any():
            live[node.name][0] = True  # a value keeps at least one channel
    _agree(network, live)
    nodes = tuple(_restricted(node, live) for node in network)
    return replace(network, nodes=nodes)


def _zero_channels(network: Network) -> dict[str, Mask]:
    """Per node, the channels that are zero for every image."""
    zero: dict[str, Mask] = {}
    for node in network:
        match node:
            case Linear():
                read = _spread(node, ~zero[node.x])
                zero[node.name] = ~(read & (node.weight != 0)).any((1, 2, 3)) & ~_shift(node)
            case Silu() | Mean():
                zero[node.name] = zero[node.x]
            case Gate():
                zero[node.name] = zero[node.x] | zero[node.s]
            case Add():
                zero[node.name] = zero[node.x] & zero[node.y]
            case Affine() if node.kind in ("mul", "div"):
                zero[node.name] = zero[node.x]
            case _:
                zero[node.name] = np.zeros(node.shape[0], np.bool_)
    return zero


def _shift(node: Linear) -> Mask:
    """The channels that are not zero where the weighted sum is zero."""
    if node.bn is None:
        return node.bias != 0
    return (node.bn.beta != 0) | ((node.bn.gamma != 0) & (node.bias != node.bn.mean))


def _live_channels(network: Network) -> dict[str, Mask]:
    """Per node, the channels that are not always zero and on which the answer may depend."""
    zero = _zero_channels(network)
    read = {node.name: np.zeros(node.shape[0], np.bool_) for node in network}
    read[network.output][:] = True
    for node in reversed(network.nodes):
        wanted = read[node.name]
        wanted &= ~zero[node.name]
        if isinstance(node, Softmax):
            read[node.x][:] = True
        elif isinstance(node, Linear):
            weights = (node.weight != 0).any((2, 3)) & wanted[:, None]
            read[node.x] |= weights.reshape(node.group, -1, weights.shape[1]).any(1).reshape(-1)
        else:
            for name in node.inputs:
                read[name] |= wanted
    return read


def _spread(node: Linear, channels: Mask) -> NDArray[np.bool_]:
    """A mask of the input channels in the shape of the weights, (O, I / group, 1, 1)."""
    by_group = channels.reshape(node.group, -1)
    return by_group.repeat(node.weight.shape[0] // node.group, 0)[:, :, None, None]


def _agree(network: Network, live: dict[str, Mask]) -> None:
    """Make the channels of connected values the same where an operation needs it."""
    before = -1
    while before != (before := sum(int(mask.sum()) for mask in live.values())):
        for node in network:
            if isinstance(node, Linear):
                if node.group > 1:
                    _agree_in_groups(node, live)
            elif not isinstance(node, (Input, Softmax)):
                together = live[node.name].copy()
                for name in node.inputs:
                    together |= live[name]
                for name in (node.name, *node.inputs):
                    live[name] |= together


def _agree_in_groups(node: Linear, live: dict[str, Mask]) -> None:
    """A group is kept or dropped as a whole."""
    groups = live[node.x].reshape(node.group, -1).any(1)
    groups = groups | live[node.name].reshape(node.group, -1).any(1)
    live[node.x] |= groups.repeat(len(live[node.x]) // node.group)
    live[node.name] |= groups.repeat(len(live[node.name]) // node.group)


def _restricted(node: Node, live: dict[str, Mask]) -> Node:
    kept = live[node.name]
    shape = (int(kept.sum()), *node.shape[1:])
    match node:
        case Linear():
            return _restricted_linear(node, live[node.x], kept)
        case Affine():
            return replace(node, shape=shape, constant=node.constant[kept])
        case _:
            return replace(node, shape=shape)


def _restricted_linear(node: Linear, read: Mask, kept: Mask) -> Linear:
    weight, group = node.weight[kept], node.group
    if group == 1:
        weight = weight[:, read]
    else:
        group = int(read.reshape(node.group, -1).any(1).sum())
    bn = node.bn
    if bn is not None:
        bn = BatchNorm(bn.gamma[kept], bn.beta[kept], bn.mean[kept], bn.variance[kept], bn.epsilon)
    shape = (int(kept.sum()), *node.shape[1:])
    return replace(node, shape=shape, weight=weight, bias=node.bias[kept], group=group, bn=bn)
