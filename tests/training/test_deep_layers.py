"""Layers of gain 1: whatever is learned, no power iteration finds more; starts reach it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lastbit.training.deep.folded import whole
from lastbit.training.deep.layers import (
    SILU_SLOPE,
    Blocks,
    Curve,
    Depthwise,
    SqueezeExcite,
    orthonormal,
)
from lastbit.training.deep.network import DeepNetwork, narrowing, widening
from training.small import random_deep, small_deep

NETWORK = random_deep(small_deep(), 0)
NONE = 1 + 1e-5
"""What float32 may add to a gain of 1."""


def gain(layer: Callable[[Tensor], Tensor], shape: tuple[int, ...], steps: int = 60) -> float:
    """The largest gain of a linear layer that power iterations from eight starts find."""
    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(1))
    with torch.enable_grad():
        for _ in range(steps):
            x = (x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).detach().requires_grad_()
            y = layer(x)
            (back,) = torch.autograd.grad(0.5 * y.square().sum(), x)
            x = back
    return math.sqrt(float(x.flatten(1).norm(dim=1).max()))


def norm(weight: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight.detach(), 2))


@pytest.mark.parametrize("number", range(16))
def test_no_block_gains(number: int):
    """Pointwise layers and depthwise kernels of a network whose every part is random."""
    block = [*NETWORK.deep_blocks()][number]
    side = (14, 14, 7, 7, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1)[number]
    weights = [block.project(), *([block.expand()] if block.expand is not None else [])]
    for weight in weights:
        assert 0.999 < norm(weight) <= NONE
    layer = block.depthwise
    kernels, channels = whole(layer).detach(), len(layer.raw)

    def apply(x: Tensor) -> Tensor:
        return functional.conv2d(x, kernels, None, layer.stride, layer.kernel // 2, 1, channels)

    found = gain(apply, (channels, side, side))
    assert found <= NONE
    assert found >= 0.8  # it is not the kernels' smallness that bounds them


def test_stem_and_classes_do_not_gain():
    stem = NETWORK.stem_weight().detach()
    pixels = torch.eye(784).view(784, 1, 28, 28)
    columns = functional.conv2d(pixels, stem, None, 2, 1).flatten(1).norm(dim=1)
    assert 0.999 < float(columns.max()) <= NONE
    rows = NETWORK.class_weight().detach()
    differences = (rows[:, None] - rows[None]).norm(dim=2)
    assert 0.999 < float(differences.max()) <= NONE
    assert int((rows != 0).sum(1).max()) == 3


def test_silu_has_slopes_of_at_most_one():
    z = torch.linspace(-30, 30, 200_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(functional.silu(z).sum(), z)
    assert 1 - 1e-6 < float(slope.max()) / SILU_SLOPE < 1
    assert float(slope.min()) / SILU_SLOPE > -0.1


def test_a_network_gains_no_more_than_its_temperature_and_its_gates():
    """By one pixel, at some images, as far as automatic derivatives see."""
    pixels = torch.rand(6, 1, 28, 28).requires_grad_()
    logits = NETWORK(pixels)
    most = 0.0
    for i in range(1, 10):
        (slope,) = torch.autograd.grad((logits[:, i] - logits[:, 0]).sum(), pixels,
                                       retain_graph=True)  # fmt: skip
        most = max(most, float(slope.abs().max()))
    growth = math.prod(1 + block.branch * block.growth for block in NETWORK.deep_blocks())
    assert 0 < most <= float(NETWORK.log_temperature.detach().exp()) * growth


@pytest.mark.parametrize(("rows", "columns"), [(7, 3), (3, 7), (4, 4)])
def test_orthonormal_weights_stay_so_after_a_step(rows: int, columns: int):
    start = torch.randn(rows, columns)
    blocks = Blocks([torch.arange(rows)], [torch.arange(columns)], start)
    with torch.no_grad():
        blocks.raw.add_(torch.randn_like(blocks.raw), alpha=0.02)
    assert norm(blocks()) < 1 + 1e-3
    blocks.settle()
    singular = torch.linalg.svdvals(blocks().detach())
    assert torch.allclose(singular, torch.ones_like(singular), atol=1e-5)


def test_the_iteration_leaves_zeros_alone():
    raw = torch.zeros(6, 4)
    raw[:3, :2] = torch.linalg.qr(torch.randn(3, 2))[0] * 0.9
    made = orthonormal(raw, 12)
    assert torch.equal(made != 0, raw != 0)
    assert torch.allclose(made[:3, :2].mT @ made[:3, :2], torch.eye(2), atol=1e-6)


@pytest.mark.parametrize(("inputs", "copies", "outputs", "shared"),
                         [(4, 6, 5, 2), (6, 1, 4, 2), (8, 6, 8, 1), (5, 6, 10, 3)])  # fmt: skip
def test_a_projection_starts_by_passing_on_what_its_expansion_copied(
    inputs: int, copies: int, outputs: int, shared: int
):
    torch.manual_seed(0)
    expand = widening(inputs, copies, 3)
    copy = torch.arange(inputs * copies) // inputs
    project, first = narrowing(inputs, copies, outputs, shared, 1.0 - 2 * (copy % 2))
    both = (project() @ expand()).detach()
    assert norm(both) <= NONE
    kept = min(inputs, outputs)
    assert both[:kept].norm(dim=1).min() > 0.7
    assert len(first) == inputs * copies


def test_kernels_that_meet_only_padding_are_zero_and_counted_out():
    layer = Depthwise(3, 5, 1, 1)
    with torch.no_grad():
        layer.raw.normal_()
    kernels = whole(layer).detach()
    assert int((kernels != 0).sum()) == 3
    assert torch.allclose(kernels[:, 0, 2, 2].abs(), torch.ones(3))


def test_a_curve_holds_the_deviation_and_takes_off_the_mean():
    torch.manual_seed(0)
    curve = Curve(4, reach=0.7, middle=1.2)
    h, weight = torch.randn(500, 4, 2, 2) * 3 + 1, torch.eye(4)
    curve.train()
    for _ in range(3):
        curve.pointwise(h, weight)
    read = (h - curve.mean[:, None, None]) * curve.before()[:, None, None]
    assert abs(float(read.mean())) < 1e-3
    assert abs(float(read.std()) - 0.7) < 0.01
    alive = curve.eval().pointwise(h, weight) * curve.after()[:, None, None]
    expected = functional.silu(read + 1.2) * curve.after()[:, None, None]
    assert torch.allclose(alive, expected, atol=1e-5)


def test_gates_are_held_at_their_deviation():
    torch.manual_seed(0)
    gate = SqueezeExcite(6, 2, 2.0, 0.003, Curve(2, 1.0, 1.5)).train()
    h = torch.randn(400, 6, 3, 3) + torch.randn(400, 6, 1, 1)
    for _ in range(40):
        gate(h, torch.ones(6), math.inf)
    made = gate(h, torch.ones(6), math.inf).detach() * gate.top
    assert abs(float((made - made.mean(0)).square().mean().sqrt()) - 0.003) < 3e-4
    assert abs(float(made.mean()) - gate.top) < 1e-3
    held = float(gate.strength) / 4
    for _ in range(400):
        gate(h, torch.ones(6), held)
    assert abs(float(gate.strength) - held) < 0.01 * held


def test_a_pixel_reaches_the_logits_from_the_start():
    """Without a start that passes everything on, what is left of a signal vanishes."""
    torch.manual_seed(0)
    network = DeepNetwork(small_deep()).train()
    pixels = torch.rand(60, 1, 28, 28)
    for _ in range(3):
        network(pixels)
    logits = network(pixels)
    assert float(logits.detach().std(0).mean()) > 1e-3
