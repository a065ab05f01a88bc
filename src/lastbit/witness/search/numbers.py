"""Pairs of float32 images that differ in the last bit of one number.

Such a step is some 2^-24 of the number: what it does is the derivative times the step, and what
rounding adds. So images are kept where derivative times step is largest; the runtimes say the rest.
"""

import numpy as np
import torch

from lastbit.graph import ByteArray, Float32Array, Network, between
from lastbit.runtimes.torch_network import TorchNetwork
from lastbit.witness.search.budget import Budget
from lastbit.witness.search.scoring import Candidate
from lastbit.witness.search.starting_points import fresh

KEPT = 8
MOST_CLASSES = 16


def steepest(
    network: Network, budget: Budget, starts: int, seed: int, images: ByteArray | None
) -> tuple[list[Candidate], int]:
    """The best pairs of some batches of images, best first, and how many batches there were.

    Args:
        network: whose question has a box.
        budget: the time there is; one batch is made in any case.
        starts: images in a batch.
        seed: of everything random.
        images: uint8 (N, H, W) to start from, as far between the ends of the box; may be none.
    """
    random, shape = np.random.default_rng(seed), network.input_shape[1:]
    known = images if images is not None and images.shape[1:] == shape else None
    double = TorchNetwork(network, torch.float64)
    best, batches = list[Candidate](), 0
    while not best or budget.lasts():
        grey = fresh(random, starts, shape, known)
        given = between(grey, network.question)
        best += _candidates(double, given, step_sizes(given, network))
        best = sorted(best, key=lambda one: -one.score)[:KEPT]
        batches += 1
    return best, batches


def step_sizes(images: Float32Array, network: Network) -> Float32Array:
    """How far each number moves when its last bit flips; 0 where that leads out of the box."""
    box = network.question.box
    assert box is not None
    other = (images.view(np.uint32) ^ np.uint32(1)).view(np.float32)
    inside = (other >= box.low) & (other <= box.high)
    return np.where(inside, np.abs(other - images), np.float32(0))


def _candidates(
    network: TorchNetwork, images: Float32Array, steps: Float32Array
) -> list[Candidate]:
    """Of each image the number and the class that make the largest product."""
    x = torch.from_numpy(images).double().unsqueeze(1).requires_grad_()
    probabilities = network.probabilities(x)
    most = np.zeros(len(images))
    found = [Candidate(image, 0, 0, 0.0) for image in images]
    for c in range(min(probabilities.shape[1], MOST_CLASSES)):
        (slopes,) = torch.autograd.grad(probabilities[:, c].sum(), x, retain_graph=True)
        moves = np.abs(slopes[:, 0].numpy() * steps).reshape(len(images), -1)
        for k, position in enumerate(moves.argmax(axis=1).tolist()):
            if moves[k, position] > most[k]:
                most[k] = moves[k, position]
                found[k] = Candidate(images[k], position, c, float(most[k]))
    return found
