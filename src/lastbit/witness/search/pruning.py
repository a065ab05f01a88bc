"""A smaller network that computes the same: without the channels that play no part.

A channel is dropped where it is zero for every image, or where every weight that reads it is zero.
A network that was trained small and exported at its full size runs many times faster this way. What
is left out are exact zeros, but sums may be taken in another order: for the search, not for replay.
"""

from dataclasses import replace

import numpy as np

from lastbit.graph import Input, Linear, Network, Node, Softmax
from lastbit.operators.base import Channels, seen

DRAWS = 4
"""A channel that is zero on so many random values is taken to be zero always."""


def prune(network: Network) -> Network:
    """The network without its dead channels; the input and the classes keep all of theirs."""
    live = _live_channels(network)
    for node in network:
        arranged = node.arranges and not isinstance(node, Linear)
        if isinstance(node, (Input, Softmax)) or node.name == network.logits or arranged:
            live[node.name][:] = True
        elif not live[node.name].any():
            live[node.name][0] = True  # a value keeps at least one channel
    for node in network:
        for name in node.inputs if node.arranges else ():
            live[name][:] = True
    _agree(network, live)
    nodes = tuple(node.restricted(live[node.name], live) for node in network)
    return replace(network, nodes=nodes, form=None)


def _zero_channels(network: Network) -> dict[str, Channels]:
    """Per node, the channels that are zero for every image."""
    random = np.random.default_rng(0)
    zero: dict[str, Channels] = {}
    shapes = {node.name: node.shape for node in network}
    for node in network:
        zero[node.name] = np.full(node.shape[0], not isinstance(node, Input))
        for _ in range(DRAWS if node.inputs else 0):
            values = {
                name: random.normal(size=shapes[name]) * ~zero[name][:, None, None]
                for name in node.inputs
            }
            zero[node.name] &= ~node.float64(*node.operands(values, seen)).any(axis=(1, 2))
    return zero


def _live_channels(network: Network) -> dict[str, Channels]:
    """Per node, the channels that are not always zero and on which the answer may depend."""
    zero = _zero_channels(network)
    read = {node.name: np.zeros(node.shape[0], np.bool_) for node in network}
    read[network.output][:] = True
    for node in reversed(network.nodes):
        wanted = read[node.name]
        wanted &= ~zero[node.name]
        if isinstance(node, Linear) and not node.arranges:
            weights = (node.weight != 0).any((2, 3)) & wanted[:, None]
            read[node.x] |= weights.reshape(node.group, -1, weights.shape[1]).any(1).reshape(-1)
        else:
            for name in node.inputs:
                read[name] |= wanted if node.channelwise else True
    return read


def _agree(network: Network, live: dict[str, Channels]) -> None:
    """Make the channels of connected values the same where an operation needs it."""
    before = -1
    while before != (before := sum(int(mask.sum()) for mask in live.values())):
        for node in network:
            if isinstance(node, Linear):
                if node.group > 1 and not node.arranges:
                    _agree_in_groups(node, live)
            elif node.channelwise:
                _agree_one_by_one(node, live)


def _agree_one_by_one(node: Node, live: dict[str, Channels]) -> None:
    together = live[node.name].copy()
    for name in node.inputs:
        together |= live[name]
    for name in (node.name, *node.inputs):
        live[name] |= together


def _agree_in_groups(node: Linear, live: dict[str, Channels]) -> None:
    """A group is kept or dropped as a whole."""
    groups = live[node.x].reshape(node.group, -1).any(1)
    groups = groups | live[node.name].reshape(node.group, -1).any(1)
    live[node.x] |= groups.repeat(len(live[node.x]) // node.group)
    live[node.name] |= groups.repeat(len(live[node.name]) // node.group)
