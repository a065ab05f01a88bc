"""EfficientNet-B0 from a state dict to an ONNX file, without PyTorch."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import ModelError
from lastbit.graph import OnnxBuilder
from lastbit.models.efficientnet import (
    BATCH_NORM_EPSILON,
    INPUT_SHAPE,
    Block,
    state_shapes,
    widths_of,
)

State = Mapping[str, NDArray[np.float32]]


def export_efficientnet(
    state: State,
    path: str | Path,
    *,
    fold_batch_norm: bool,
    weight_bits: int = 24,
    fold_pixels: bool = False,
) -> Path:
    """Write the network as a model that reads bytes and returns probabilities.

    Args:
        state: float32 arrays under timm's names; `num_batches_tracked` may be missing. The widths
            are those of the tensors.
        path: the .onnx file.
        fold_batch_norm: multiply each batch norm into its convolution (in float64, then rounded
            to float32), instead of writing BatchNormalization nodes.
        weight_bits: round each layer's weights to the grid on which the largest one has so many
            bits (24: leave them as they are). On a grid of 20 bits the checker's integers are the
            weights themselves, and nothing is left out of the linear core.
        fold_pixels: divide the stem's weights by 255, instead of the bytes.

    Raises:
        ModelError: the state dict has missing, surplus, misshapen or non-finite tensors.
        OutputError: `path` cannot be written.
    """
    _check(state)
    return _Exporter(state, fold_batch_norm, weight_bits, fold_pixels).network().save(path)


def folded(
    weight: NDArray[np.float32],
    gamma: NDArray[np.float32],
    beta: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    epsilon: float = BATCH_NORM_EPSILON,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (O, ...) and bias (O,) of a convolution without bias followed by batch norm."""
    wide = np.float64
    factor = gamma.astype(wide) / np.sqrt(variance.astype(wide) + epsilon)
    scaled = weight.astype(wide) * factor.reshape(-1, *[1] * (weight.ndim - 1))
    shift = beta.astype(wide) - mean.astype(wide) * factor
    return scaled.astype(np.float32), shift.astype(np.float32)


def on_grid(weight: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The nearest multiples of one power of two that are less than 2^`bits` times it."""
    largest = float(np.abs(weight).max())
    if bits >= 24 or largest == 0:
        return weight
    e = bits - math.frexp(largest)[1]
    if round(math.ldexp(largest, e)) == 2**bits:
        e -= 1
    return np.ldexp(np.rint(np.ldexp(weight.astype(np.float64), e)), -e).astype(np.float32)


def _check(state: State) -> None:
    shapes = state_shapes(widths_of({name: value.shape for name, value in state.items()}))
    problems = [f"{name} is not a tensor of EfficientNet-B0" for name in state.keys() - shapes]
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            problems.append(f"{name} is missing")
        elif state[name].shape != shape:
            problems.append(f"{name} has shape {state[name].shape}, not {shape}")
        elif state[name].dtype != np.float32:
            problems.append(f"{name} is {state[name].dtype}, not float32")
        elif not np.isfinite(state[name]).all():
            problems.append(f"{name} holds NaN or infinite numbers")
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelError(f"the state dict is not an EfficientNet-B0: {shown}{more}")


class _Exporter:
    def __init__(
        self, state: State, fold_batch_norm: bool, weight_bits: int, fold_pixels: bool
    ) -> None:
        self.state = state
        self.widths = widths_of({name: value.shape for name, value in state.items()})
        self.fold = fold_batch_norm
        self.bits = weight_bits
        self.fold_pixels = fold_pixels
        self.b = OnnxBuilder()

    def network(self) -> OnnxBuilder:
        b, state = self.b, self.state
        x, per = b.input_bytes(INPUT_SHAPE), 255.0
        if not self.fold_pixels:
            x, per = b.div(x, per, "pixels"), 1.0
        x = b.silu(self.normed(x, "", ("conv_stem", "bn1"), stride=2, per=per), "stem")
        for block in self.widths.blocks():
            x = self.block(x, block)
        x = b.silu(self.normed(x, "", ("conv_head", "bn2")), "head")
        x = b.flatten(b.mean(x, "pool"), "features")
        weight = on_grid(state["classifier.weight"], self.bits)
        x = b.dense(x, weight, state["classifier.bias"], "classifier")
        b.softmax(x)
        return b

    def block(self, x: str, block: Block) -> str:
        b, prefix, shortcut = self.b, f"{block.name}.", x
        if block.expand:
            x = b.silu(self.normed(x, prefix, block.expand), f"{prefix}expanded")
        x = self.normed(x, prefix, block.depthwise, stride=block.stride, group=block.expanded)
        x = b.silu(x, f"{prefix}filtered")
        x = b.gate(x, self.squeeze_excite(x, f"{prefix}se."), f"{prefix}gated")
        x = self.normed(x, prefix, block.project)
        return b.add(x, shortcut, f"{prefix}sum") if block.residual else x

    def squeeze_excite(self, x: str, prefix: str) -> str:
        b = self.b
        s = b.mean(x, f"{prefix}mean", reduce=True)
        s = b.silu(self.biased(s, f"{prefix}conv_reduce"), f"{prefix}squeezed")
        return b.sigmoid(self.biased(s, f"{prefix}conv_expand"), f"{prefix}gate")

    def biased(self, x: str, name: str) -> str:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return self.b.conv(x, on_grid(weight, self.bits), bias, name=name)

    def normed(
        self,
        x: str,
        prefix: str,
        names: tuple[str, str],
        *,
        stride: int = 1,
        group: int = 1,
        per: float = 1.0,
    ) -> str:
        """Convolution, its weights divided by ``per``, with symmetric padding, then batch norm."""
        conv, norm = (prefix + name for name in names)
        weight = self.state[f"{conv}.weight"]
        gamma, beta, mean, variance = (
            self.state[f"{norm}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        padding = weight.shape[-1] // 2
        bias = None
        if self.fold:
            weight, bias = folded(weight, gamma, beta, mean, variance)
        if per != 1:
            weight = (weight.astype(np.float64) / per).astype(np.float32)
        weight = on_grid(weight, self.bits)
        x = self.b.conv(x, weight, bias, stride=stride, padding=padding, group=group, name=conv)
        if self.fold:
            return x
        return self.b.batch_norm(
            x, gamma, beta, mean, variance, epsilon=BATCH_NORM_EPSILON, name=norm
        )
