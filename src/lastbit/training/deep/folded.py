"""From a network of gain 1 to the ordinary weights and biases of an EfficientNet.

What SiLU is scaled by is in the weights around it, means are in biases. Behind a shortcut values
are kept without the factor 1 - g, which would cost an operation: (1 - g) x + g f is (1 - g) times
x + g / (1 - g) f, and what reads it is multiplied by 1 - g.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lastbit.models.efficientnet import BATCH_NORM_EPSILON, state_shapes
from lastbit.training.deep.layers import Curve, Depthwise
from lastbit.training.deep.network import DeepBlock, DeepNetwork
from lastbit.training.deep.recipe import DeepRecipe

State = dict[str, NDArray[np.float32]]


@torch.no_grad()
def deep_state(network: DeepNetwork, recipe: DeepRecipe) -> State:
    """The state dict, under timm's names, of the EfficientNet that computes what `network` does.

    Computed in float64 and rounded once. Its batch norms are biases: folding them is exact.
    """
    exact = copy.deepcopy(network).cpu().double().eval()
    exact.settle()
    writer = _Writer(recipe)
    stem, factor = _bent(exact.stemmed, exact.stem_weight())
    writer.normed("", ("conv_stem", "bn1"), stem, _bias(exact.stemmed))
    for block in exact.deep_blocks():
        factor = _block(writer, block, factor)
    head, factor = _bent(exact.headed, exact.head() * factor)
    writer.normed("", ("conv_head", "bn2"), head[..., None, None], _bias(exact.headed))
    temperature = exact.log_temperature.exp()
    writer.put("classifier.weight", temperature * exact.class_weight() * factor)
    writer.put("classifier.bias", exact.bias)
    return writer.state


def _block(writer: "_Writer", block: DeepBlock, factor: Tensor) -> Tensor:
    """Write a block; `factor`, by channel, is what its input is to be multiplied by.

    Returns that of its output.
    """
    layout, prefix, read = block.layout, f"{block.layout.name}.", factor
    if block.expand is not None and layout.expand is not None:
        weight, read = _bent(block.expanded, block.expand() * read)
        writer.normed(prefix, layout.expand, weight[..., None, None], _bias(block.expanded))
    kernels = whole(block.depthwise) * read[:, None, None, None]
    weight, read = _bent(block.filtered, kernels)
    writer.normed(prefix, layout.depthwise, weight, _bias(block.filtered))
    se = block.se
    reduce, expand = se.weights()
    weight, squeezed = _bent(se.curve, reduce * read)
    writer.put(f"{prefix}se.conv_reduce.weight", weight[..., None, None])
    writer.put(f"{prefix}se.conv_reduce.bias", _bias(se.curve))
    weight = se.strength * expand * squeezed
    writer.put(f"{prefix}se.conv_expand.weight", weight[..., None, None])
    writer.put(f"{prefix}se.conv_expand.bias", se.base - se.strength * se.centred.mean)
    share, kept = 1.0, factor.new_ones(layout.outputs)
    if layout.residual:
        kept = (1 - block.branch) * factor
        share = block.branch / kept
    weight = block.project() * (read / se.top) * torch.as_tensor(share).view(-1, 1)
    writer.normed(prefix, layout.project, weight[..., None, None], -share * block.centred.mean)
    return kept


def whole(layer: Depthwise) -> Tensor:
    """(C, 1, k, k): the kernels, 0 where they meet nothing but padding."""
    kernels = torch.zeros_like(layer.raw)
    kernels[:, :, layer.part, layer.part] = layer()[0]
    return kernels


def _bent(curve: Curve, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weights in front of a SiLU, and what its results are to be multiplied by."""
    before = curve.before()
    return weight * before.view(-1, *[1] * (weight.ndim - 1)), curve.after()


def _bias(curve: Curve) -> Tensor:
    return curve.shift() - curve.before() * curve.mean


class _Writer:
    def __init__(self, recipe: DeepRecipe) -> None:
        self.shapes = state_shapes(recipe.architecture)
        self.state: State = {}

    def put(self, name: str, values: Tensor) -> None:
        array = values.numpy().astype(np.float32)
        assert array.shape == self.shapes[name], (name, array.shape)
        self.state[name] = array

    def normed(self, prefix: str, names: tuple[str, str], weight: Tensor, bias: Tensor) -> None:
        """A layer whose batch norm adds a bias: its factor is within 2^-25 of 1."""
        conv, norm = (prefix + name for name in names)
        self.put(f"{conv}.weight", weight)
        self.put(f"{norm}.bias", bias)
        ones = np.ones(len(weight), np.float32)
        self.state[f"{norm}.weight"] = ones
        self.state[f"{norm}.running_mean"] = 0 * ones
        self.state[f"{norm}.running_var"] = ones - np.float32(BATCH_NORM_EPSILON)
