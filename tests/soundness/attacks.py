"""Images and places at which a bound may break: random ones, corners, climbed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lastbit.float32 import execute_float64
from lastbit.graph import Network, between
from soundness.programs import Bytes


def flipped(image: Bytes, place: int) -> Bytes:
    """The last bit of one number of the image, the other way round."""
    other = image.copy()
    bits = other.view(np.uint32) if other.dtype == np.float32 else other
    bits.reshape(-1)[place] ^= 1
    return other


def climb(
    start: Bytes, score: Callable[[Bytes], float], ends: tuple[float, float] = (0, 255)
) -> Bytes:
    """Coordinate search over the extreme bytes, or numbers, one pass."""
    best, image = score(start), start.copy()
    for k in np.random.default_rng(0).permutation(image.size):
        for end in ends:
            tried = image.copy()
            tried.reshape(-1)[k] = end
            if (value := score(tried)) > best:
                best, image = value, tried
    return image


def value_score(network: Network, name: str, unit: int, sign: int) -> Callable[[Bytes], float]:
    return lambda v: sign * float(execute_float64(network, v)[1][name].reshape(-1)[unit])


def change_score(network: Network, place: int, pair: tuple[int, int]) -> Callable[[Bytes], float]:
    """|change of a difference of two logits| when the place's last bit flips."""
    c, j = pair

    def score(image: Bytes) -> float:
        a = execute_float64(network, image)[1][network.logits].reshape(-1)
        b = execute_float64(network, flipped(image, place))[1][network.logits].reshape(-1)
        return abs(float((b[c] - b[j]) - (a[c] - a[j])))

    return score


def inner_ends(network: Network) -> tuple[float, float]:
    """The least and the largest number whose neighbour is in the question's box as well."""
    box = network.question.box
    if not box:
        return 0, 255
    low, high = np.array(box, np.float32)
    low = low if float(flipped(low[None], 0)[0]) >= low else np.nextafter(low, high)
    high = high if float(flipped(high[None], 0)[0]) <= high else np.nextafter(high, low)
    return float(low), float(high)


def attacks(
    network: Network, worst: list[tuple[int, int, int]], seed: int
) -> Iterator[tuple[Bytes, int]]:
    """Images and places: random ones, corners that drive one value up or down, worst changes.

    ``worst`` are the pairs of classes and the places of claims.
    """
    random, shape = np.random.default_rng(seed), network.input_shape
    places, ends = int(np.prod(shape)), inner_ends(network)
    images = (random.integers(0, 256, shape), np.full(shape, 255), np.zeros(shape))
    image, *corners = (np.clip(between(v, network.question), *ends) for v in images)
    yield image, int(random.integers(places))
    for corner in corners:
        yield corner, int(random.integers(places))
    named = network.nodes[1:-1]
    for _ in range(3):
        node = named[int(random.integers(len(named)))]
        unit, sign = int(random.integers(np.prod(node.shape))), int(random.choice([-1, 1]))
        score = value_score(network, node.name, unit, sign)
        yield climb(image, score, ends), int(random.integers(places))
    for c, j, place in dict.fromkeys(worst):
        yield climb(image, change_score(network, place, (c, j)), ends), place
