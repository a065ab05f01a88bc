"""The first two layers of a linear trunk: slopes, values and roundings over all images."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

UNIT_ROUNDOFF = 2.0**-24

# A chain in descending order, the worst tree for the certified bound, comes to 0.7 n when the
# magnitudes are spread like those of normal numbers.
CHAIN = 0.7

# Assumed error of SiLU, in units of u |z|.
SILU_ERROR = 6.0

# SiLU has its least value at SILU_ARGMIN, its slope has its extrema at -/+ SLOPE_ARGMAX.
SILU_ARGMIN, SILU_MIN = -1.2785, -0.278465
SLOPE_ARGMAX, SLOPE_MIN, SLOPE_MAX = 2.39936, -0.0998394, 1.0998394


def silu_slopes(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Centre m and radius e of an interval that holds every slope of SiLU on [low, high]."""
    a, b = silu_slope(low), silu_slope(high)
    least, most = torch.minimum(a, b), torch.maximum(a, b)
    least = torch.where((low < -SLOPE_ARGMAX) & (high > -SLOPE_ARGMAX), SLOPE_MIN, least)
    most = torch.where((low < SLOPE_ARGMAX) & (high > SLOPE_ARGMAX), SLOPE_MAX, most)
    return (least + most) / 2, (most - least) / 2


def silu_slope(z: Tensor) -> Tensor:
    """Derivative of SiLU."""
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def silu_image(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value of SiLU on [low, high]."""
    a, b = functional.silu(low), functional.silu(high)
    least = torch.where((low < SILU_ARGMIN) & (high > SILU_ARGMIN), SILU_MIN, torch.minimum(a, b))
    return least, torch.maximum(a, b)


@dataclass(frozen=True)
class FirstLayers:
    """Weights (C, 1, 3, 3) of the stem and of the first depthwise layer with their slopes (C,).

    `centre` and `radius` (C,) enclose what the second layer's SiLU returns; `noise1` and `noise2`
    (C,) bound the rounding of the two sums, `silu1` and `silu2` that of the two SiLUs.
    """

    stem: Tensor
    depthwise: Tensor
    m1: Tensor
    e1: Tensor
    m2: Tensor
    e2: Tensor
    centre: Tensor
    radius: Tensor
    noise1: Tensor
    silu1: Tensor
    noise2: Tensor
    silu2: Tensor

    @classmethod
    def enclosed(cls, stem: Tensor, bias1: Tensor, depthwise: Tensor, bias2: Tensor) -> Self:
        """From folded weights, over all images."""
        negative, positive = signed_sums(stem)
        low, high = bias1 + negative, bias1 + positive
        reach = torch.maximum(low.abs(), high.abs())
        noise1 = UNIT_ROUNDOFF * steps(stem, bias1) * (positive - negative + bias1.abs())
        silu1 = SILU_ERROR * UNIT_ROUNDOFF * reach
        m1, e1 = silu_slopes(low, high)
        low, high = silu_image(low, high)
        negative, positive = signed_sums(depthwise)
        # Padding adds terms 0; with them the sums of the border stay inside these.
        low, high = torch.minimum(low, low * 0), torch.maximum(high, high * 0)
        sizes = (positive - negative) * torch.maximum(-low, high) + bias2.abs()
        low, high = (
            bias2 + positive * low + negative * high,
            bias2 + positive * high + negative * low,
        )
        noise2 = UNIT_ROUNDOFF * steps(depthwise, bias2) * sizes
        silu2 = SILU_ERROR * UNIT_ROUNDOFF * torch.maximum(low.abs(), high.abs())
        m2, e2 = silu_slopes(low, high)
        low, high = silu_image(low, high)
        centre, radius = (low + high) / 2, (high - low) / 2
        return cls(stem, depthwise, m1, e1, m2, e2, centre, radius, noise1, silu1, noise2, silu2)


def signed_sums(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of a row's negative and of its positive weights, (O,) each."""
    return weight.clamp(max=0).sum((1, 2, 3)), weight.clamp(min=0).sum((1, 2, 3))


def steps(weight: Tensor, bias: Tensor) -> Tensor:
    """Roundings of a product and of the sum that it enters, per row (O,)."""
    return 1 + CHAIN * (weight.flatten(1).count_nonzero(1) + bias.count_nonzero() / len(bias))
