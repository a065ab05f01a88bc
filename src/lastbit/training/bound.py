"""The bound that `tight` is trained on: differentiable, for the linear trunk with gates at 1.

R bounds how far one step of one byte moves logit_i - logit_j. It is the separable bound of the
first two layers (SiLU slopes in [m - e, m + e] over the interval that a value can reach) plus the
rounding of every layer, for any order of summation, in each of the two runs: about
CHAIN n u times the sum of the magnitudes of n nonzero terms. A shortcut is a term of the sum that
it is added to. One program runs both images, so that only units that the pixel reaches count.

This steers training; it proves nothing. What is left out here (the curvature of the almost linear
SiLUs, the gates) is small and is in the certified bound. So close to 0 as they work, SiLU and gates
do not round.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from lastbit.models.efficientnet import CLASSES
from lastbit.training.first_layers import (
    CHAIN,
    UNIT_ROUNDOFF,
    FirstLayers,
    silu_image,
    silu_slope,
    steps,
)
from lastbit.training.network import Copies, LiveNetwork, NormedConv, absorbed

STEM_CONE = 2
"""Places of the stem, in each direction, that one pixel reaches."""


@dataclass(frozen=True)
class Box:
    """Intervals centre +- radius (C,) that hold for each of ``side`` x ``side`` places."""

    centre: Tensor
    radius: Tensor
    side: int


@dataclass(frozen=True)
class FirstLayerBound:
    """Per pair of classes and pixel (45, 1, 28, 28): the linear part and the two remainders."""

    linear: Tensor
    stem: Tensor
    depthwise: Tensor

    @property
    def total(self) -> Tensor:
        return self.linear + self.stem + self.depthwise

    def worst(self) -> Tensor:
        """Largest total over pixels, per pair of classes (45,)."""
        return self.total.flatten(1).amax(1)


class Core:
    """A network with batch norm folded, once per step, and what follows from it."""

    def __init__(self, network: LiveNetwork) -> None:
        self.network = network
        self.folded: dict[NormedConv, tuple[Tensor, Tensor]] = {
            layer: layer.folded() for layer in network.modules() if isinstance(layer, NormedConv)
        }
        weight = network.classifier.weight
        self.i, self.j = torch.triu_indices(CLASSES, CLASSES, 1, device=weight.device)
        self._like = weight

    @cached_property
    def first(self) -> FirstLayers:
        depthwise = next(self.network.live_blocks()).depthwise
        return FirstLayers.enclosed(*self.folded[self.network.stem], *self.folded[depthwise])

    @cached_property
    def base(self) -> list[Box]:
        """What each live depthwise layer's SiLU returns, for all images (gates are 1)."""
        network = self.network
        first, *rest = [*network.live_blocks()][: network.live]
        if network.absorb:
            bytes_ = torch.arange(256.0, device=self._like.device)[:, None, None, None]
            values = absorbed((bytes_ / 255).expand(256, 1, 2, 2))[:, :, 0, 0]
            low, high = values.amin(0), values.amax(0)
        else:
            low, high = self.first.centre - self.first.radius, self.first.centre + self.first.radius
        found, side = [Box((low + high) / 2, (high - low) / 2, 14)], 14
        previous, shortcut = first, found[0]
        for block in rest:
            assert block.expand is not None
            box = self._boxed(previous.project, found[-1])
            if previous.layout.residual:
                box = Box(box.centre + shortcut.centre, box.radius + shortcut.radius, side)
            shortcut = box
            box = self._boxed(block.expand, box, silu=True)
            side = -(-side // block.layout.stride)
            found.append(replace(self._boxed(block.depthwise, box, silu=True), side=side))
            previous = block
        return found

    def _boxed(self, layer: NormedConv, x: Box, *, silu: bool = False) -> Box:
        """Interval by channel through a layer; the hull with 0 holds the zeros of padding."""
        weight, bias = (v.detach() for v in self.folded[layer])
        low, high = (x.centre - x.radius).clamp(max=0), (x.centre + x.radius).clamp(min=0)
        plus, minus = weight.clamp(min=0).sum((2, 3)), weight.clamp(max=0).sum((2, 3))
        if weight.shape[1] == 1:
            below, above = (
                plus[:, 0] * low + minus[:, 0] * high,
                plus[:, 0] * high + minus[:, 0] * low,
            )
        else:
            below, above = plus @ low + minus @ high, plus @ high + minus @ low
        low, high = bias + below, bias + above
        if silu:
            low, high = silu_image(low, high)
        return Box((low + high) / 2, (high - low) / 2, x.side)

    @cached_property
    def adjoints(self) -> tuple[Tensor, list[Tensor]]:
        """Derivatives of the ten logits by the trunk's input and by every layer's output.

        The first is (10, C, 14, 14); the list is in the order of `LiveNetwork.trunk`.
        """
        y = self._like.new_zeros((CLASSES, *self._base_shape)).requires_grad_()
        outputs: list[Tensor] = []

        def apply(layer: NormedConv, x: Tensor) -> Tensor:
            outputs.append(self._linear(layer, x))
            return outputs[-1]

        with torch.enable_grad():
            features = self.network.trunk(y, apply).mean((2, 3))
            logits = features @ self.network.classifier.weight.T
            at_input, *rest = torch.autograd.grad(
                logits.diagonal().sum(), [y, *outputs], create_graph=torch.is_grad_enabled()
            )
        return at_input, rest

    def first_layer(self) -> FirstLayerBound:
        """The bound without rounding, for a change of one pixel by one byte."""
        f = self.first
        at_input, _ = self.adjoints
        difference = at_input[self.i] - at_input[self.j]
        back = self._back_depthwise(difference * _channels(f.m2), f.depthwise)
        linear = _back_stem(back * _channels(f.m1), f.stem).abs()
        stem = _back_stem((back * _channels(f.e1)).abs(), f.stem.abs())
        rest = self._back_depthwise((difference * _channels(f.e2)).abs(), f.depthwise.abs())
        depthwise = _back_stem(rest * _channels(f.m1.abs() + f.e1), f.stem.abs())
        return FirstLayerBound(linear / 255, stem / 255, depthwise / 255)

    def attained(self, pixels: Tensor) -> Tensor:
        """How far a pixel really moves a difference of two logits, to first order, per image (N,).

        The largest over pixels and pairs of classes; `pixels` (N, 1, 28, 28) in [0, 1].
        """
        f, count = self.first, len(pixels)
        first = next(self.network.live_blocks()).depthwise
        z1 = functional.conv2d(pixels, f.stem, self.folded[self.network.stem][1], 2, 1)
        bias = self.folded[first][1]
        z2 = functional.conv2d(functional.silu(z1), f.depthwise, bias, 1, 1, 1, len(bias))
        at_input, _ = self.adjoints
        back = self._back_depthwise(
            (at_input[None] * silu_slope(z2)[:, None]).flatten(0, 1), f.depthwise
        )
        back = back.view(count, CLASSES, *back.shape[1:]) * silu_slope(z1)[:, None]
        moves = _back_stem(back.flatten(0, 1), f.stem).view(count, CLASSES, -1) / 255
        return (moves.amax(1) - moves.amin(1)).amax(1)

    def magnitudes(self) -> list[Tensor]:
        """Largest absolute value that each layer of the trunk, then the classifier, reads.

        Each (1, C, H, W), over the zonotope that the last live depthwise layer's output spans.
        """
        with torch.no_grad():
            count = self.columns
            total = self._sampled(torch.arange(0, device=self._like.device), 1.0)
            for start in range(0, count, 784):
                stop = min(count, start + 784)
                part = self._sampled(
                    torch.arange(start, stop, device=self._like.device), 1.0, centre=False
                )
                total = [a + b for a, b in zip(total, part, strict=True)]
        return total

    @property
    def columns(self) -> int:
        """Generators of the zonotope: one a value of the last live depthwise layer's output."""
        channels, height, width = self._base_shape
        return channels * height * width

    def sampled_magnitudes(self, columns: Tensor) -> list[Tensor]:
        """Differentiable estimate of `magnitudes` from some of the columns, chosen evenly."""
        return self._sampled(columns, self.columns / len(columns))

    def rounding(self, magnitudes: list[Tensor]) -> Tensor:
        """The rounding part of R per pair of classes (45,); affine in `magnitudes`."""
        *inputs, last = magnitudes
        total = self.first_layers_noise()
        _, adjoints = self.adjoints
        sums_of = zip(self._trunk_sums, inputs, adjoints, strict=True)
        for (layer, shortcut, share), x, adjoint in sums_of:
            if isinstance(layer, Copies) and shortcut is None:
                continue
            weight, bias = self.folded[layer]
            sums = _convolve(layer, x, weight.abs()) + _channels(bias.abs())
            count = steps(weight, bias)
            if shortcut is not None:
                sums, count = sums + inputs[shortcut], count + CHAIN
            difference = (adjoint[self.i] - adjoint[self.j]).abs() * (share * _channels(count))
            total = total + 2 * UNIT_ROUNDOFF * (difference * sums).sum((1, 2, 3))
        weight, bias = self.network.classifier.weight, self.network.classifier.bias
        sums = (weight.abs() * last.mean((2, 3))).sum(1) + bias.abs()
        sums = sums * steps(weight, bias)
        return total + 2 * UNIT_ROUNDOFF * (sums[self.i] + sums[self.j])

    def first_layers_noise(self) -> Tensor:
        """What the rounding of the first two layers in both runs adds to R, (45,).

        It is felt through slopes in [m - e, m + e]: with its sign through m, without it through e.
        """
        f = self.first
        at_input, _ = self.adjoints
        difference = at_input[self.i] - at_input[self.j]
        back = self._back_depthwise(difference * _channels(f.m2), f.depthwise)
        stem_cone, first_cone = (_share(width, 14) for width in (STEM_CONE, STEM_CONE + 2))
        weight1 = back.abs().sum((2, 3)) * stem_cone
        weight2 = difference.abs().sum((2, 3)) * first_cone
        own1 = f.m1.abs() * f.noise1 + f.silu1
        stem = weight1 @ (own1 + f.e1 * f.noise1)
        gathered = f.noise2 + f.depthwise.abs().sum((1, 2, 3)) * (own1 + f.e1 * f.noise1)
        return 2 * (stem + weight2 @ (f.m2.abs() * f.noise2 + f.silu2 + f.e2 * gathered))

    @property
    def _base_shape(self) -> tuple[int, int, int]:
        last = self.base[-1]
        return len(last.centre), last.side, last.side

    @property
    def _trunk_sums(self) -> list[tuple[NormedConv, int | None, float]]:
        """The trunk's layers, in order.

        With each: which of them reads what is added to its sum as a shortcut, and the share of its
        units that one pixel reaches.
        """
        last, *rest = [*self.network.live_blocks()][self.network.live - 1 :]
        cone, side = STEM_CONE + 2, self.base[-1].side
        found: list[tuple[NormedConv, int | None, float]] = [
            (last.project, None, _share(cone, side))
        ]
        for block in rest:
            assert block.expand is not None
            shortcut = len(found) if block.layout.residual else None
            found.append((block.expand, None, _share(cone, side)))
            side = -(-side // block.layout.stride)
            cone = -(-(cone + block.layout.kernel - 1) // block.layout.stride)
            share = _share(cone, side)
            found += [(block.depthwise, None, share), (block.project, shortcut, share)]
        return [*found, (self.network.head, None, _share(cone, side))]

    def _sampled(self, columns: Tensor, factor: float, *, centre: bool = True) -> list[Tensor]:
        channels, height, width = self._base_shape
        rows = torch.zeros(len(columns), self.columns, device=self._like.device).type_as(self._like)
        rows[torch.arange(len(columns)), columns] = 1
        rows = rows.view(-1, channels, height, width) * _channels(self.base[-1].radius)
        x = rows
        if centre:
            middle = _channels(self.base[-1].centre).expand(1, channels, height, width)
            x = torch.cat([rows, middle])
        is_centre = torch.zeros(len(x), 1, 1, 1, device=x.device).type_as(x)
        is_centre[len(rows) :] = 1
        read: list[Tensor] = []

        def apply(layer: NormedConv, x: Tensor) -> Tensor:
            read.append(x)
            return self._linear(layer, x) + _channels(self.folded[layer][1]) * is_centre

        read.append(self.network.trunk(x, apply))
        count = len(rows)
        return [
            x[:count].abs().sum(0, keepdim=True) * factor + x[count:].abs().sum(0, keepdim=True)
            for x in read
        ]

    def _linear(self, layer: NormedConv, x: Tensor) -> Tensor:
        return _convolve(layer, x, self.folded[layer][0])

    def _back_depthwise(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, weight, None, 1, 1, 0, len(weight))


def _share(width: int, side: int) -> float:
    """Of ``side`` x ``side`` places those that a cone of so many reaches."""
    return min(width, side) ** 2 / side**2


def _back_stem(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv_transpose2d(x, weight, None, 2, 1, 1)


def _convolve(layer: NormedConv, x: Tensor, weight: Tensor) -> Tensor:
    conv = layer.conv
    return functional.conv2d(x, weight, None, conv.stride, conv.padding, 1, conv.groups)  # pyright: ignore


def _channels(x: Tensor) -> Tensor:
    return x[None, :, None, None]
