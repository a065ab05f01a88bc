"""Where a network becomes linear, and the small network that computes the same.

A cut is a node through which everything after it sees the image. If the logits are an affine
function of a cut's value, and what comes before it is a chain of layers that each look at a few
pixels, the whole network is that chain and one dense layer: a hundred times faster to search on.
The dense layer is the derivative of the logits by the cut; it is held against the network itself on
images of many kinds. Like pruning, this is for the search, not for replay.
"""

from dataclasses import replace

import numpy as np
import torch

from lastbit.graph import Curve, Input, Linear, Network, Node
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.starting_points import fresh

SAMPLES = 16
"""Images on which linearity is tested."""
NEARLY = 1e-3
"""How much of the spread of the logits over images a linear head may leave unexplained."""


def fold_linear_head(network: Network) -> Network | None:
    """The chain up to the first cut with a linear head, a dense layer, and softmax.

    None where there is no such cut: where the first layers are no chain of affine operations,
    convolutions, SiLUs and sigmoids, or nothing after them is linear.
    """
    images = fresh(np.random.default_rng(0), SAMPLES, network.input_shape[1:], None)
    x = torch.from_numpy(images).double().unsqueeze(1)
    with torch.inference_mode():
        values = TorchNetwork(network, torch.float64).values(x)
    for cut in _cuts(network):
        folded = _folded(network, cut, {name: v.clone() for name, v in values.items()})
        if folded is not None:
            return folded
    return None


def _cuts(network: Network) -> list[int]:
    """Places in the list of nodes: a chain leads there, and nothing later reads what is before."""
    place = {node.name: k for k, node in enumerate(network)}
    cuts: list[int] = []
    for k, node in enumerate(network.nodes[:-2]):
        local = node.convolution is not None or isinstance(node, Curve)
        if k and (not local or node.inputs != (network.nodes[k - 1].name,)):
            break
        if all(place[name] >= k for later in network.nodes[k + 1 :] for name in later.inputs):
            cuts.append(k)
    return cuts


def _folded(network: Network, cut: int, values: dict[str, torch.Tensor]) -> Network | None:
    """With what comes after that node as one dense layer, if it is one on those values."""
    node = network.nodes[cut]
    read, logits = values[node.name], values[network.logits].flatten(1)
    middle = read.mean(0, keepdim=True)
    head = TorchNetwork(_after(network, cut), torch.float64)
    spread = (logits.amax(0) - logits.amin(0)).max()
    with torch.inference_mode():
        bend = head.logits(middle)[0] - logits.mean(0)
    if not bool(bend.abs().max() <= NEARLY * spread):  # spares the derivative
        return None
    weight = torch.autograd.functional.jacobian(lambda v: head.logits(v)[0], middle)
    assert isinstance(weight, torch.Tensor)
    weight = weight.flatten(1)
    with torch.inference_mode():
        bias = head.logits(middle)[0] - weight @ middle.flatten()
        missed = (read.flatten(1) @ weight.T + bias - logits).abs().max()
    if not bool(missed <= NEARLY * spread):
        return None
    softmax = network.nodes[-1]
    classes = network.classes
    dense = Linear(
        network.logits,
        (classes, 1, 1),
        (node.name,),
        weight.reshape(classes, *node.shape).float().numpy(),
        bias.float().numpy(),
    )
    return replace(network, nodes=(*network.nodes[: cut + 1], dense, softmax), form=None)


def _after(network: Network, cut: int) -> Network:
    """What comes after a node, as a network that reads that node's value."""
    node: Node = network.nodes[cut]
    first = Input(node.name, node.shape, ())
    nodes = (first, *network.nodes[cut + 1 :])
    return replace(network, nodes=nodes, input_shape=node.shape, form=None)
