"""How far a pixel moves a difference of two logits, to first order, at given images."""

import torch
from torch import Tensor, nn

from lastbit.models.efficientnet import CLASSES


def attained(network: nn.Module, pixels: Tensor, *, keep: bool = True) -> Tensor:
    """(N,): the largest |d(z_i - z_j) / d pixel| over pixels, for the most sensitive two classes.

    Of each image the difference of the largest and the second of its logits is taken, which
    softmax feels most.

    Args:
        network: pixels (N, 1, H, W) to logits (N, 10).
        pixels: as numbers in [0, 1]; a step of a byte is 1 / 255.
        keep: whether the result can be differentiated by the weights.
    """
    read = pixels.detach().clone().requires_grad_()
    logits = network(read)
    first, second = logits.topk(2, dim=1).values.unbind(1)
    (slope,) = torch.autograd.grad((first - second).sum(), read, create_graph=keep)
    assert logits.shape[1] == CLASSES
    return slope.flatten(1).abs().amax(1)
