"""Pairs of float32 images that differ in the last bit of one number, or of more.

Such a step is some 2^-24 of the number: what it does is the derivative times the step, and what
rounding adds. So images are kept where derivative times step is largest; the runtimes say the rest.
"""

import numpy as np
import torch

from lastbit.errors import UsageError
from lastbit.graph import ByteArray, Float32Array, Network, between
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.moves import Moves, Pair
from lastbit.witness.search.starting_points import fresh

KEPT = 8
MOST_CLASSES = 16
MOST_BATCHES = 8
"""Batches of images that are made in any case, as long as nothing in them moves."""


def steepest(
    network: Network, budget: Budget, starts: int, seed: int, images: ByteArray | None
) -> tuple[list[Pair], int]:
    """The best pairs of some batches of images, best first, and how many batches there were.

    Args:
        network: whose question has a box.
        budget: the time there is; one batch is made in any case.
        starts: images in a batch.
        seed: of everything random.
        images: uint8 (N, H, W) to start from, as far between the ends of the box; may be none.

    Raises:
        UsageError: no number was found whose last bit flips within the box.
    """
    random, (channels, *plane) = np.random.default_rng(seed), network.input_shape
    known = images if images is not None and [*images.shape[1:]] == plane else None
    double, moves = TorchNetwork(network, torch.float64), Moves(network)
    best, batches = list[Pair](), 0
    while (not best and batches < MOST_BATCHES) or budget.lasts():
        grey = fresh(random, starts * channels, (plane[0], plane[1]), known)
        given = between(grey.reshape(-1, *network.input_shape), network.question)
        best += _pairs(double, moves, given, flipped(given, network))
        best = sorted(best, key=lambda one: -one.score)[:KEPT]
        batches += 1
    if not best:
        raise UsageError("no last bit of a number flips within the box", fix="give a wider --box")
    return best, batches


def flipped(images: Float32Array, network: Network) -> Float32Array:
    """Each number with its last bit flipped; as it was where that leads out of the box."""
    box = network.question.box
    assert box is not None
    other = (images.view(np.uint32) ^ np.uint32(1)).view(np.float32)
    inside = (other >= box.low) & (other <= box.high)
    return np.where(inside, other, images)


def _pairs(
    network: TorchNetwork, moves: Moves, images: Float32Array, others: Float32Array
) -> list[Pair]:
    """Of each image the cells and the class that make the largest product."""
    x = torch.from_numpy(images).double().requires_grad_()
    steps = (torch.from_numpy(others).double() - x.detach()).flatten(1)
    answers = network.probabilities(x)
    most, chosen = np.full(len(images), -1.0), np.zeros((len(images), images[0].size), np.bool_)
    index = np.zeros(len(images), np.int64)
    for c in range(min(answers.shape[1], MOST_CLASSES)):
        (slopes,) = torch.autograd.grad(answers[:, c].sum(), x, retain_graph=True)
        for sign in (1, -1):
            gain = sign * slopes.flatten(1) * steps
            mask = (gain >= 0) & (steps != 0)
            top = moves.of_cells(torch.where(mask, gain, 0.0)).topk(moves.count, dim=1)
            found = (moves.mask(top.indices, gain.shape[1]) > 0) & mask
            value, better = top.values.sum(1).numpy(), found.any(1).numpy()
            better = better & (value > most)
            most[better], index[better] = value[better], c
            chosen[better] = found.numpy()[better]
    made = np.where(chosen.reshape(images.shape), others, images)
    return [
        Pair(image, other, int(c), float(score))
        for image, other, c, score in zip(images, made, index, most, strict=True)
        if score >= 0
    ]
