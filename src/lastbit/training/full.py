"""From the live channels to the whole EfficientNet-B0, under timm's names.

A dead channel has weights 0 and an identity for batch norm. An almost linear SiLU reads k z instead
of z, where the power of two k is in the batch norm before it, and 2/k is in the weights after it:
silu(k z) 2/k = z + k z^2 / 2 - ... So k sets how linear it is, and costs no rounding. What a
convolution returns is as in training, so are its statistics. The gate's factor 2 goes into the
projection, and what its sigmoid reads is scaled down, by a power of two, into the same range.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lastbit.models import absorb
from lastbit.models.efficientnet import BATCH_NORM_EPSILON, state_shapes
from lastbit.training.bound import Core
from lastbit.training.network import LiveNetwork, NormedConv, SqueezeExcite

FullState = dict[str, NDArray[np.float32]]


def full_state(
    network: LiveNetwork, activation_range: float, logit_scale: float = 1.0
) -> FullState:
    """The state dict of EfficientNet-B0 that computes what `network` computes.

    Args:
        network: trained.
        activation_range: see `Recipe`; only a linear trunk uses it.
        logit_scale: see `Recipe`.
    """
    writer = _Writer()
    writer.normed("", ("conv_stem", "bn1"), network.stem)
    # What the trunk's layers and at last the classifier read; before it, the live layers' boxes.
    core = Core(network)
    read = iter(core.magnitudes() if network.linear else [])
    for number, block in enumerate(network.live_blocks()):
        prefix, layout = f"{block.layout.name}.", block.layout
        expanded = filtered = None
        gate = block.se.scale
        if network.linear:
            if block.is_linear:
                _, expanded = next(read), _scale(float(next(read).max()), activation_range)
            if number + 1 < network.live:
                box = core.base[number]
                gated = (box.centre.abs() + box.radius)[None, :, None, None]
            else:
                gated = next(read)
            if block.is_linear:
                filtered = _scale(float(gated.max()), activation_range)
            gate = min(gate, _scale(_gate_reach(block.se, gated), activation_range))
        if layout.expand is not None and block.expand is not None:
            writer.normed(prefix, layout.expand, block.expand, write=expanded)
        writer.normed(prefix, layout.depthwise, block.depthwise, read=expanded, write=filtered)
        writer.biased(f"{prefix}se.conv_reduce", block.se.conv_reduce, read=filtered)
        writer.biased(f"{prefix}se.conv_expand", block.se.conv_expand, factor=gate)
        writer.normed(prefix, layout.project, block.project, read=filtered, factor=block.se.gain)
    features = None
    if network.linear:
        _, features = next(read), _scale(float(next(read).max()), activation_range)
    writer.normed("", ("conv_head", "bn2"), network.head, write=features)
    writer.put("classifier.weight", network.classifier.weight, _undone(features) * logit_scale)
    writer.put("classifier.bias", network.classifier.bias, logit_scale)
    if network.absorb:
        first = next(network.live_blocks()).layout
        writer.given("", ("conv_stem", "bn1"), *absorb.stem())
        writer.given(f"{first.name}.", first.depthwise, *absorb.depthwise())
    return writer.state


def _scale(largest: float, wanted: float) -> float:
    """The power of two that brings ``largest`` to at most ``wanted``, and above half of it."""
    return 2.0 ** math.floor(math.log2(wanted / largest)) if largest > 0 else 1.0


@torch.no_grad()
def _gate_reach(se: SqueezeExcite, magnitude: Tensor) -> float:
    """A bound on what the gate's sigmoid would read, unscaled; `magnitude` (1, C, H, W)."""
    x = magnitude.mean((2, 3))[0]
    for layer in (se.conv_reduce, se.conv_expand):
        assert layer.bias is not None
        x = layer.weight[:, :, 0, 0].abs() @ x + layer.bias.abs()
    return float(x.max())


def _undone(scale: float | None) -> float:
    """What the weights after an almost linear SiLU are multiplied by."""
    return 1.0 if scale is None else 2 / scale


class _Writer:
    """Puts live tensors into the corner of full ones.

    `write` is the k of the SiLU that reads the layer's output, `read` of the one that wrote its
    input; None where the SiLU is an ordinary one.
    """

    def __init__(self) -> None:
        self.state: FullState = {
            name: np.full(shape, name.endswith("running_var"), np.float32)
            for name, shape in state_shapes().items()
            if not name.endswith("num_batches_tracked")
        }

    def put(self, name: str, live: Tensor | None, factor: float = 1.0) -> None:
        assert live is not None
        values = live.detach().cpu().numpy()
        corner = tuple(slice(size) for size in values.shape)
        self.state[name][corner] = values * np.float32(factor)

    def normed(
        self,
        prefix: str,
        names: tuple[str, str],
        layer: NormedConv,
        *,
        read: float | None = None,
        write: float | None = None,
        factor: float = 1.0,
    ) -> None:
        conv, norm = (prefix + name for name in names)
        self.put(f"{conv}.weight", layer.conv.weight, _undone(read) * factor)
        self.put(f"{norm}.weight", layer.bn.weight, write or 1.0)
        self.put(f"{norm}.bias", layer.bn.bias, write or 1.0)
        self.put(f"{norm}.running_mean", layer.bn.running_mean)
        self.put(f"{norm}.running_var", layer.bn.running_var)

    def given(
        self, prefix: str, names: tuple[str, str], weight: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """A folded layer: batch norm's factor is within 2^-25 of 1, so that folding is exact."""
        conv, norm = (prefix + name for name in names)
        ones = np.ones_like(bias)
        self.state |= {f"{conv}.weight": weight, f"{norm}.weight": ones, f"{norm}.bias": bias,
                       f"{norm}.running_mean": 0 * bias,
                       f"{norm}.running_var": ones - np.float32(BATCH_NORM_EPSILON)}  # fmt: skip

    def biased(
        self, name: str, layer: nn.Conv2d, *, read: float | None = None, factor: float = 1.0
    ) -> None:
        self.put(f"{name}.weight", layer.weight, _undone(read) * factor)
        self.put(f"{name}.bias", layer.bias, factor)
