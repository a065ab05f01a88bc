"""EfficientNet-B0 as it is trained: only its live channels, batch norm, and logits.

With a linear trunk (see `Recipe.trunk`) the almost linear SiLU is trained in its limit: silu(k x)
times 2/k tends to x as k tends to 0. The gate then is 2 sigmoid(.), which is 1 where the gate is
undecided. `lastbit.training.full` turns both into real SiLUs and gates.
"""

import math
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional

from lastbit.models.absorb import GAINS, LEVELS, THRESHOLDS
from lastbit.models.efficientnet import (
    BATCH_NORM_EPSILON,
    BLOCKS,
    CLASSES,
    INPUT_CHANNELS,
    STAGES,
    STEM_CHANNELS,
    Block,
)
from lastbit.training.recipe import Recipe


class NormedConv(nn.Module):
    """A convolution without bias and with symmetric padding, then batch norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=group, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON)
        fan = "fan_out" if group == 1 else "fan_in"
        nn.init.kaiming_normal_(self.conv.weight, mode=fan, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias (O,) of the convolution with batch norm multiplied in."""
        mean, variance = self.bn.running_mean, self.bn.running_var
        assert mean is not None and variance is not None
        factor = self.bn.weight / torch.sqrt(variance + self.bn.eps)
        return self.conv.weight * factor[:, None, None, None], self.bn.bias - mean * factor


class Copies(NormedConv):
    """A layer that copies: one weight 1 a row (at the kernel's centre), no bias, nothing trained.

    Output k of n copies input k * inputs // n. A product with 1 is exact and there is nothing to
    add: it does not round.
    """

    source: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, group: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, 1, group)
        source = torch.arange(outputs) * inputs // outputs
        self.register_buffer("source", source, persistent=False)
        rows = torch.zeros(outputs, dtype=torch.int64) if group > 1 else source
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[torch.arange(outputs), rows, kernel // 2, kernel // 2] = 1
            self.bn.weight.fill_(math.sqrt(1 + BATCH_NORM_EPSILON))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.source]

    def folded(self) -> tuple[Tensor, Tensor]:
        return self.conv.weight, torch.zeros_like(self.bn.bias)


class Unshifted(NormedConv):
    """A layer without bias and without statistics: its channels have trained gains only."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, group)
        variance, bias = self.bn.running_var, self.bn.bias
        assert variance is not None
        variance.fill_(1 - BATCH_NORM_EPSILON)
        bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.bn.weight[:, None, None]

    def folded(self) -> tuple[Tensor, Tensor]:
        return self.conv.weight * self.bn.weight[:, None, None, None], torch.zeros_like(
            self.bn.bias
        )


class SqueezeExcite(nn.Module):
    """x times the gate; the gate is `gain` * sigmoid(`scale` * ...)."""

    def __init__(self, channels: int, squeezed: int, scale: float, gain: float) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)
        self.scale, self.gain = scale, gain
        nn.init.zeros_(_bias(self.conv_expand))

    def forward(self, x: Tensor) -> Tensor:
        s = functional.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * (self.gain * torch.sigmoid(self.scale * self.conv_expand(s)))


class LiveBlock(nn.Module):
    """The live part of one MBConv block; `layout` says which one, and names its tensors."""

    def __init__(
        self, layout: Block, recipe: Recipe, inputs: int, expanded: int, outputs: int, number: int
    ) -> None:
        super().__init__()
        self.layout = layout
        linear = recipe.trunk == "linear"
        self.expand = None
        if layout.expand is not None:
            self.expand = _layer(recipe, f"{layout.name}.{layout.expand[0]}", inputs, expanded)
        self.depthwise = _layer(
            recipe,
            f"{layout.name}.{layout.depthwise[0]}",
            expanded,
            expanded,
            layout.kernel,
            layout.stride,
            expanded,
        )
        squeezed = min(recipe.squeezed, layout.squeezed)
        self.se = SqueezeExcite(expanded, squeezed, recipe.gate_scale, 2.0 if linear else 1.0)
        self.project = _layer(recipe, f"{layout.name}.{layout.project[0]}", expanded, outputs)
        self.is_linear = linear and number >= recipe.live_blocks
        if layout.residual and not isinstance(self.project, Copies):
            nn.init.constant_(self.project.bn.weight, recipe.residual_gain)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        if self.expand is not None:
            h = self.expand(h)
            h = h if self.is_linear else functional.silu(h)
        h = self.depthwise(h)
        return self.finish(h if self.is_linear else functional.silu(h), x)

    def finish(self, h: Tensor, x: Tensor) -> Tensor:
        """What comes after the depthwise layer; `x` is what the block reads."""
        h = self.project(self.se(h))
        return x + h if self.layout.residual else h


class LiveNetwork(nn.Module):
    """From pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.linear = recipe.trunk == "linear"
        self.stem = NormedConv(INPUT_CHANNELS, STEM_CHANNELS, 3, 2)
        full = dict(zip((stage.channels for stage in STAGES), recipe.widths, strict=True))
        self.absorb, self.live = recipe.absorb, recipe.live_blocks
        blocks, inputs = [], STEM_CHANNELS
        for number, layout in enumerate(BLOCKS):
            expanded = inputs if layout.expand is None else int(inputs * recipe.expansion)
            outputs = full[layout.outputs]
            blocks.append(LiveBlock(layout, recipe, inputs, expanded, outputs, number))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = _layer(recipe, "conv_head", inputs, recipe.head)
        self.classifier = nn.Linear(recipe.head, CLASSES)
        if self.absorb:  # the two layers are there, but neither used nor trained
            for layer in (self.stem, next(self.live_blocks()).depthwise):
                layer.requires_grad_(False)

    def live_blocks(self) -> Iterator[LiveBlock]:
        for block in self.blocks:
            assert isinstance(block, LiveBlock)
            yield block

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = self.live_blocks()
        if self.absorb:
            h = absorbed(x)
            h = first.finish(h, h)
        else:
            h = first(functional.silu(self.stem(x)))
        for block in rest:
            h = block(h)
        h = self.head(h)
        h = h if self.linear else functional.silu(h)
        return self.classifier(h.mean((2, 3)))

    def trunk(self, y: Tensor, apply: Callable[[NormedConv, Tensor], Tensor]) -> Tensor:
        """Take the last live depthwise layer's output through the linear trunk, gates at 1.

        `apply` is called for every convolution on the way, in order; returns the head's output.
        """
        last, *rest = [*self.live_blocks()][self.live - 1 :]
        y = apply(last.project, y)
        for block in rest:
            assert block.expand is not None
            h = apply(block.project, apply(block.depthwise, apply(block.expand, y)))
            y = y + h if block.layout.residual else h
        return apply(self.head, y)


def absorbed(x: Tensor) -> Tensor:
    """What the first two layers of `lastbit.models.absorb` and their SiLUs make of pixels.

    Pixels between two bytes, which distortions give, are rounded down to a byte.
    """
    levels = torch.floor((x * 255 + 0.25) / 2)
    phases = functional.pixel_unshuffle(levels, 2)
    gains, thresholds = (x.new_tensor(v)[:, None, None] for v in (GAINS, THRESHOLDS))
    z = gains * (phases[:, :, None] - thresholds) / LEVELS
    return functional.silu(z.flatten(1, 2)).contiguous(memory_format=torch.channels_last)


def _layer(
    recipe: Recipe,
    name: str,
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    group: int = 1,
) -> NormedConv:
    """The layer of that name, copying, without a bias or neither, as the recipe says."""
    if any(fnmatchcase(name, pattern) for pattern in recipe.copies):
        return Copies(inputs, outputs, kernel, group)
    if any(fnmatchcase(name, pattern) for pattern in recipe.unshifted):
        return Unshifted(inputs, outputs, kernel, stride, group)
    return NormedConv(inputs, outputs, kernel, stride, group)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
