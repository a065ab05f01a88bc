"""An EfficientNet-B0 in which every layer has Euclidean gain 1 and every SiLU is at work."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lastbit.models.efficientnet import CLASSES, INPUT_SHAPE, Block
from lastbit.training.deep.layers import (
    Blocks,
    Centred,
    Curve,
    Depthwise,
    SqueezeExcite,
)
from lastbit.training.deep.recipe import DeepRecipe

HAAR = torch.tensor(
    [[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
).view(4, 2, 2) / 2  # fmt: skip
"""The mean of four pixels times 2, and the three differences that it leaves out."""
RADIUS = 14.0
"""How far any image of 28 x 28 pixels in [0, 1] is from the grey one."""
STEEPER = 1.4
"""A gate's slope anywhere near its base, as a multiple of the one there."""
NOISE = 0.015
"""Of the first kernels and projections, beside the ones that pass everything on."""


class DeepBlock(nn.Module):
    """One MBConv block; with a shortcut it is (1 - g) x + g f(x)."""

    def __init__(self, layout: Block, recipe: DeepRecipe, side: int) -> None:
        super().__init__()
        self.layout = layout
        self.branch = recipe.branch if layout.residual else 1.0
        place = recipe.reach, recipe.middle
        if not layout.residual:
            place = recipe.main_reach, recipe.main_middle
        inputs, wide, copies = layout.inputs, layout.expanded, layout.expansion
        self.expand: Blocks | None = None
        if layout.expand is not None:
            self.expand = widening(inputs, copies, recipe.expand_terms)
            self.expanded = Curve(wide, *place)
        self.depthwise = Depthwise(wide, layout.kernel, layout.stride, side)
        self.filtered = Curve(wide, *place)
        self.se = SqueezeExcite(
            wide, layout.squeezed, recipe.gate_base, recipe.gate_deviation,
            Curve(layout.squeezed, recipe.reach, recipe.middle),
        )  # fmt: skip
        copy = torch.arange(wide) // inputs if copies > 1 else torch.arange(wide)
        signs = 1.0 - 2 * (copy // 2 % 2)
        self.project, first = narrowing(
            inputs, copies, layout.outputs, recipe.project_rows, signs * (1.0 - 2 * (copy % 2))
        )
        self.centred = Centred(layout.outputs)
        self.spectrum: Tensor | None = None
        start_kernels(self.depthwise, first, signs)
        self.places = (-(-side // layout.stride)) ** 2
        self.growth = recipe.gate_growth / self.branch

    def forward(self, x: Tensor) -> Tensor:
        kernels, uneven = self.depthwise()
        if self.training:
            self.spectrum = uneven.mean()
        h, rows = x, 1.0
        if self.expand is not None:
            weight = self.expand()
            rows = float(weight.detach().square().sum(1).max()) ** 0.5
            h = self.expanded.pointwise(x, weight)
            kernels = kernels * self.expanded.after()[:, None, None, None]
        h = self.filtered.kernels(h, kernels, self.depthwise.stride, self.depthwise.padding)
        factor = self.filtered.after()
        gates = self.se(h, factor, self._strongest(rows))
        h = self.centred.pointwise(h * gates, self.project() * factor)
        return x + self.branch * (h - x) if self.layout.residual else h

    def _strongest(self, rows: float) -> float:
        """The factor in front of the gates at which they add `growth` to the block's gain.

        x s moves by at most max s of what x moves, and |x| of what s moves, where |x| is the
        Euclidean norm of a channel over all places, at any image: `rows` of the radius of the
        images, besides what it is at their middle.
        """
        middle = float(self.filtered.after().max()) * self.filtered.middle
        longest = RADIUS * rows + middle * self.places**0.5
        gain = STEEPER * self.se.steepness / self.se.top / self.places**0.5
        return self.growth / (gain * longest)


class DeepNetwork(nn.Module):
    """From pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""

    def __init__(self, recipe: DeepRecipe) -> None:
        super().__init__()
        widths = recipe.architecture
        self.stem = nn.Parameter(NOISE * torch.randn(widths.stem, 1, 3, 3))
        kind = torch.arange(widths.stem) * len(HAAR) // widths.stem
        signs = 1.0 - 2 * (torch.arange(widths.stem) % 2)
        self.stem.data[:, 0, 1:, 1:] += HAAR[kind] * signs[:, None, None]
        self.stemmed = Curve(widths.stem, recipe.main_reach, recipe.main_middle)
        side = -(-INPUT_SHAPE[1] // 2)
        blocks = []
        for layout in widths.blocks():
            blocks.append(DeepBlock(layout, recipe, side))
            side = -(-side // layout.stride)
        self.blocks = nn.ModuleList(blocks)
        last, head = widths.stages[-1], widths.head
        self.head = widening(last, -(-head // last), recipe.expand_terms, head)
        self.headed = Curve(head, recipe.main_reach, recipe.main_middle)
        read = torch.arange(head) % CLASSES == torch.arange(CLASSES)[:, None]
        read &= torch.arange(head) < CLASSES * recipe.class_terms
        self.read: Tensor
        self.register_buffer("read", read.float(), persistent=False)
        self.classes = nn.Parameter(torch.randn(CLASSES, head))
        self.bias = nn.Parameter(torch.zeros(CLASSES))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(recipe.temperature)))

    def deep_blocks(self) -> Iterator[DeepBlock]:
        for block in self.blocks:
            assert isinstance(block, DeepBlock)
            yield block

    def stem_weight(self) -> Tensor:
        """(C, 1, 3, 3): no pixel's column is longer than 1."""
        columns = torch.stack(
            [self.stem[:, 0, p::2, q::2].square().sum() for p in (0, 1) for q in (0, 1)]
        )
        return self.stem / columns.max().sqrt()

    def class_weight(self) -> Tensor:
        """(10, C): no difference of two rows is longer than 1."""
        weight = self.classes * self.read
        lengths = (weight[:, None] - weight[None]).square().sum(2)
        return weight / lengths.max().sqrt()

    def forward(self, x: Tensor) -> Tensor:
        h = self.stemmed.kernels(x, self.stem_weight(), 2, 1)
        h = h * self.stemmed.after()[:, None, None]
        for block in self.blocks:
            h = block(h)
        h = self.headed.pointwise(h, self.head())
        h = h.mean((2, 3)) * math.sqrt(h.shape[2] * h.shape[3])
        weight = self.class_weight() * self.headed.after()
        return self.log_temperature.exp() * (h @ weight.T) + self.bias

    @torch.no_grad()
    def settle(self) -> None:
        """After a step: what is learned of orthonormal weights is made so."""
        for layer in self.modules():
            if isinstance(layer, (Blocks, SqueezeExcite)):
                layer.settle()


def widening(inputs: int, copies: int, terms: int, outputs: int | None = None) -> Blocks:
    """An expansion: output c * inputs + d starts as copy c of input d, every other one negated.

    Groups of `terms` inputs are mixed with each other.
    """
    outputs = copies * inputs if outputs is None else outputs
    groups = torch.randperm(inputs).tensor_split(max(1, -(-inputs // terms)))
    start = torch.zeros(outputs, inputs)
    rows = []
    for group in groups:
        row = (torch.arange(copies)[:, None] * inputs + group).flatten()
        row = row[row < outputs]
        signs = 1.0 - 2 * (torch.arange(copies) % 2)
        start[row[:, None], group] = torch.kron(signs[:, None], torch.eye(len(group)))[: len(row)]
        rows.append(row)
    return Blocks(rows, list(groups), start + NOISE * torch.randn(outputs, inputs))


def narrowing(
    inputs: int, copies: int, outputs: int, shared: int, signs: Tensor
) -> tuple[Blocks, Tensor]:
    """A projection, and for each of its columns whether it starts in one of the first rows.

    Row d starts as the mean of copies of channel d, each with its sign, (columns,); rows beyond the
    inputs get what is left. `shared` rows have their columns in common.
    """
    columns = inputs * copies
    order = torch.arange(columns).view(copies, inputs).T.flatten()  # copies of one side by side
    if outputs <= inputs:
        owned = list(order.tensor_split(outputs))
    else:
        kept = copies - -(-(outputs - inputs) // inputs)
        table = order.view(inputs, copies)
        rest = table[:, kept:].flatten().tensor_split(outputs - inputs)
        owned = [*table[:, :kept].unbind(), *rest]
    start = NOISE * torch.randn(outputs, columns)
    for row, own in enumerate(owned):
        start[row, own] += signs[own] * len(own) ** -0.5
    groups = torch.randperm(outputs).tensor_split(max(1, -(-outputs // shared)))
    read = [torch.cat([owned[row] for row in group.tolist()]) for group in groups]
    first = torch.zeros(columns, dtype=torch.bool)
    first[torch.cat(owned[:inputs])] = True
    return Blocks(list(groups), read, start), first


@torch.no_grad()
def start_kernels(layer: Depthwise, first: Tensor, signs: Tensor) -> None:
    """Kernels that pass what they read: a delta; with stride 2 the mean of four, or differences.

    `first` (C,) says which channels carry the means. SiLU bends what is negative: with `signs` (C,)
    some channel bends whatever an image has.
    """
    raw, middle = layer.raw[:, 0], layer.kernel // 2
    raw.normal_(0, NOISE)
    if layer.stride == 1:
        raw[:, middle, middle] += signs
        return
    kind = torch.where(first, 0, 1 + torch.arange(len(raw)) % 3)
    start = HAAR[kind] * signs[:, None, None]
    raw[:, middle : middle + 2, middle : middle + 2] += start
