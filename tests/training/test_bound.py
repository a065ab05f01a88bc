"""The bound of training against what networks really do, in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lastbit.training.bound import Core
from lastbit.training.first_layers import (
    SILU_ARGMIN,
    SILU_MIN,
    SLOPE_MAX,
    SLOPE_MIN,
    silu_image,
    silu_slopes,
)
from lastbit.training.network import LiveNetwork, NormedConv
from support.seeds import seeds
from training.small import random_images, random_network, small_recipe

SEEDS = range(4)


def linear_network(seed: int) -> LiveNetwork:
    """With gates that are exactly 1, as the bound takes them to be; odd ones copy nothing."""
    changes = {"copies": ()} if seed % 2 else {}
    network = random_network(small_recipe("tight", **changes), seed)
    for block in network.live_blocks():
        block.se.scale = 0.0
    return network.double().requires_grad_(False)


def pixels_of(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).double() / 255


def differences(logits: Tensor, core: Core) -> Tensor:
    """(N, 45)."""
    return logits[:, core.i] - logits[:, core.j]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_flip_moves_a_difference_of_logits_more_than_the_first_layers_bound(seed: int):
    network = linear_network(seed)
    core = Core(network)
    bound = core.first_layer().total[:, 0]
    random = np.random.default_rng(seed)
    for image in random_images(6, seed):
        places = random.integers(0, 28, (40, 2))
        changed = np.repeat(image[None], len(places), axis=0)
        changed[np.arange(len(places)), 0, places[:, 0], places[:, 1]] ^= 1
        before, after = network(pixels_of(image[None])), network(pixels_of(changed))
        moved = abs(differences(after, core) - differences(before, core))
        allowed = bound[:, places[:, 0], places[:, 1]].T
        assert (moved <= allowed).all()
        assert (moved > 0).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_attained_is_the_derivative_and_below_the_bound(seed: int):
    """Every slope of SiLU lies in its interval, so a derivative obeys the bound as a step does.

    There is no curvature to allow for: the trunk is linear and the two SiLUs before it enter
    through their slopes. The constants of SiLU's slope are rounded outwards or to 2^-20 of it.
    """
    network = linear_network(seed)
    core = Core(network)
    images = pixels_of(random_images(5, seed))
    found = core.attained(images)

    def logits(x: Tensor) -> Tensor:
        return network(x).sum(0)  # images do not touch one another

    jacobian = torch.autograd.functional.jacobian(logits, images)
    assert isinstance(jacobian, Tensor)  # (10, N, 1, 28, 28)
    expected = (jacobian.amax(0) - jacobian.amin(0)).flatten(1).amax(1) / 255
    assert torch.allclose(found, expected, rtol=1e-11, atol=0)

    per_pair = (jacobian[core.i] - jacobian[core.j]).abs().amax(1) / 255
    assert (per_pair <= core.first_layer().total * (1 + 2.0**-20)).all()
    assert found.max() <= core.first_layer().worst().max() * (1 + 2.0**-20)


@pytest.mark.parametrize("seed", seeds(1, 2))
def test_sampled_magnitudes_average_to_the_magnitudes(seed: int):
    core = Core(linear_network(seed))
    order = torch.randperm(core.columns, generator=torch.Generator().manual_seed(seed))
    parts = [core.sampled_magnitudes(columns) for columns in order.view(8, -1)]
    for whole, *sampled in zip(core.magnitudes(), *parts, strict=True):
        assert torch.allclose(torch.stack(sampled).mean(0), whole, rtol=1e-11, atol=0)
        assert not torch.allclose(sampled[0], whole, rtol=1e-3, atol=0)


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_no_image_exceeds_the_magnitudes(seed: int):
    network = linear_network(seed)
    core = Core(network)
    read: list[Tensor] = []
    x = pixels_of(random_images(6, seed))
    first = next(network.live_blocks())
    y = functional.silu(first.depthwise(functional.silu(network.stem(x))))
    # The least value of SiLU is a constant with five digits.
    beyond = abs(y - core.first.centre[:, None, None]) - core.first.radius[:, None, None]
    assert beyond.max() <= 1e-5

    def apply(layer: NormedConv, x: Tensor) -> Tensor:
        read.append(x)
        return layer(x)

    read.append(network.trunk(y, apply))
    magnitudes = core.magnitudes()
    assert len(read) == len(magnitudes) == 1 + 3 * 15 + 1 + 1
    for values, most in zip(read, magnitudes, strict=True):
        assert (values.abs() <= most).all()
    logits = network.classifier(read[-1].mean((2, 3)))
    assert torch.allclose(logits, network(x), rtol=1e-11, atol=1e-11)


def test_a_pixel_reaches_no_more_than_the_share_that_is_charged():
    """And in the first layers of the trunk, from the middle, exactly that."""
    network = linear_network(0)
    core = Core(network)
    first = next(network.live_blocks())
    shares = [share for _, _, share in core._trunk_sums]

    def outputs(x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []

        def apply(layer: NormedConv, x: Tensor) -> Tensor:
            found.append(layer(x))
            return found[-1]

        y = functional.silu(first.depthwise(functional.silu(network.stem(x))))
        network.trunk(y, apply)
        return found

    dark = torch.zeros(1, 1, 28, 28).double()
    most = [0.0] * len(shares)
    for place in ((0, 0), (13, 13), (14, 14), (15, 14), (27, 5)):
        bright = dark.clone()
        bright[0, 0, *place] = 1
        for k, (a, b) in enumerate(zip(outputs(dark), outputs(bright), strict=True)):
            most[k] = max(most[k], float((a != b).any(1).double().mean()))
    assert all(found <= share for found, share in zip(most, shares, strict=True))
    assert most[0] == shares[0] < 1 == shares[-1]


def test_rounding_is_affine_in_the_magnitudes_and_differentiable():
    network = random_network(small_recipe("tight"), 0).double()
    core = Core(network)
    once = core.sampled_magnitudes(torch.arange(0, core.columns, 1000))
    none = core.rounding([x * 0 for x in once])
    assert (none > 0).all()  # of the biases
    change = core.rounding(once) - none
    assert torch.allclose(core.rounding([3 * x for x in once]) - none, 3 * change)
    (core.rounding(once).max() + core.first_layer().worst().max()).backward()
    for layer in (network.stem, next(network.live_blocks()).project):
        gradient = layer.conv.weight.grad
        assert gradient is not None and gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_a_float32_run_errs_by_less_than_the_rounding_bound(seed: int):
    """The bound is for two runs; the error of one must obey it."""
    network = linear_network(seed)
    core = Core(network)
    images = pixels_of(random_images(6, seed))
    exact = differences(network(images), core)
    got = differences(linear_network(seed).float()(images.float()).double(), core)
    assert (abs(got - exact) <= core.rounding(core.magnitudes())).all()
    assert (got != exact).any()


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_float32_in_the_first_layers_only_errs_by_less_than_their_part(seed: int):
    """Half of it, because it is for two runs. The random networks bend there."""
    network = linear_network(seed)
    core = Core(network)
    assert core.first.e1.max() > 0.1 and core.first.e2.max() > 0.1
    pixels = pixels_of(random_images(6, seed))

    def logits(first_layers: LiveNetwork, x: Tensor) -> Tensor:
        first = next(first_layers.live_blocks())
        y = functional.silu(first.depthwise(functional.silu(first_layers.stem(x)))).double()
        return network.classifier(network.trunk(y, lambda layer, x: layer(x)).mean((2, 3)))

    error = logits(linear_network(seed).float(), pixels.float()) - logits(network, pixels)
    assert (abs(differences(error, core)) <= core.first_layers_noise() / 2).all()
    assert error.any()


def test_intervals_of_silu_hold_every_value_and_slope():
    """Against a fine grid. The constants of the extrema are rounded to about 1e-5 of a value."""
    ends = torch.tensor([-30.0, -5.0, -2.5, -2.3, -1.3, -1.2, 0.0, 0.5, 2.3, 2.5, 9.0]).double()
    for low, high in [*pairwise(ends), *zip(ends, ends[3:], strict=False)]:
        grid = torch.linspace(float(low), float(high), 4001, dtype=torch.float64)
        grid.requires_grad_()
        values = functional.silu(grid)
        (slopes,) = torch.autograd.grad(values.sum(), grid)
        middle, radius = silu_slopes(low, high)
        assert middle - radius <= slopes.min() + 1e-6
        assert slopes.max() <= middle + radius + 1e-6
        assert middle + radius <= slopes.max() + 1e-5
        assert slopes.min() - 1e-5 <= middle - radius
        least, most = silu_image(low, high)
        assert least <= values.min() + 1e-5 and values.max() <= most
        assert values.min() - 1e-5 <= least and most <= values.max() + 1e-5


def test_constants_of_silu():
    z = torch.linspace(-4, 4, 800_001, dtype=torch.float64)
    values = functional.silu(z)
    assert abs(float(values.min()) - SILU_MIN) < 1e-5
    assert abs(float(z[values.argmin()]) - SILU_ARGMIN) < 1e-4
    slopes = torch.sigmoid(z) * (1 + z * (1 - torch.sigmoid(z)))
    assert slopes.max() <= SLOPE_MAX and slopes.min() >= SLOPE_MIN
