"""Convolutions, dense layers and means: sums over the places of a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from lastbit.operators.base import (
    Box,
    Channels,
    Convolution,
    Float32Array,
    Float64Array,
    Machine,
    Node,
    Read,
    frozen,
    on_channels,
    wide,
)
from lastbit_check.network import product

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

Real = TypeVar("Real", bound=np.floating)


@final
@dataclass(frozen=True, eq=False)
class Linear(Node):
    """Convolution or dense layer (a 1x1 convolution on (C, 1, 1)).

    `weight` is (O, I / group, kh, kw), `bias` (O,) (zeros if the file has none), `strides` (rows,
    columns), `pads` (top, left, bottom, right).
    """

    weight: Float32Array
    bias: Float32Array
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    dense: bool = False

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return self.weight, self.bias

    @property
    def channelwise(self) -> bool:
        return False

    @property
    def depthwise(self) -> bool:
        """Whether each output reads one input channel of its own."""
        return self.group == len(self.weight) > 1 and self.weight.shape[1] == 1

    @property
    def convolution(self) -> Convolution | None:
        if self.arranges:
            return None
        weight, bias = (v.astype(np.float64) for v in self.arrays)
        return Convolution(weight, bias, self.strides, self.pads, self.group)

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        weight = grouped_weight(self)
        columns = patches(xs[0], self)
        # (terms, group, channels of a group, positions), the bias as the last term
        products = machine.multiply(
            weight.transpose(2, 0, 1)[..., None], columns.swapaxes(0, 1)[:, :, None]
        )
        last = self.bias.reshape(1, *weight.shape[:2], 1)
        last = np.broadcast_to(last, (1, *products.shape[1:]))
        return machine.sum(np.concatenate([products, last])).reshape(self.shape)

    def float64(self, *xs: Float64Array) -> Float64Array:
        weight = grouped_weight(self).astype(np.float64)
        return (weight @ patches(xs[0], self)).reshape(self.shape) + wide(self.bias)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        from torch.nn import functional

        (weight, bias), x = constants, xs[0]
        top, left, bottom, right = self.pads
        if (top, left) == (bottom, right):
            return functional.conv2d(x, weight, bias, self.strides, (top, left), 1, self.group)
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, weight, bias, self.strides, 0, 1, self.group)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        top, left, bottom, right = self.pads
        y = jax.lax.conv_general_dilated(
            xs[0],
            self.weight,
            self.strides,
            ((top, bottom), (left, right)),
            feature_group_count=self.group,
            precision=precision,
        )
        return y + on_channels(self.bias) if self.bias.any() else y

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        magnitudes = replace(self, weight=np.abs(self.weight), bias=np.zeros_like(self.bias))
        centre, radius = self.float64((low + high) / 2), magnitudes.float64((high - low) / 2)
        return centre - radius, centre + radius

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        if self.dense:
            return b.dense(sources[0], self.weight[:, :, 0, 0], self.bias, self.name)
        return b.conv(sources[0], self.weight, self.bias, stride=self.strides, padding=self.pads,
                      group=self.group, name=self.name)  # fmt: skip

    def restricted(self, own: Channels, read: Mapping[str, Channels]) -> Self:
        weight, group, kept = self.weight[own], self.group, read[self.x]
        if self.arranges:  # what it reads keeps all of its channels
            kept = np.ones(group * weight.shape[1], np.bool_)
        if group == 1:
            weight = weight[:, kept]
        else:
            group = int(kept.reshape(self.group, -1).any(1).sum())
        like = super().restricted(own, read)
        return replace(like, weight=frozen(weight), bias=frozen(self.bias[own]), group=group)


@final
@dataclass(frozen=True, eq=False)
class Mean(Node):
    """Mean over both image axes: (C, H, W) to (C, 1, 1).

    `counts` (C,) are what the sums are divided by, where some of the places are none.
    """

    counts: Float32Array | None = None

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return () if self.counts is None else (self.counts,)

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        total = machine.sum(xs[0].reshape(len(xs[0]), -1).T)
        places = np.full(len(total), xs[0][0].size, np.float32)
        counts = places if self.counts is None else self.counts
        return machine.divide(total, counts)[:, None, None]

    def float64(self, *xs: Float64Array) -> Float64Array:
        if self.counts is None:
            return xs[0].mean(axis=(1, 2), keepdims=True)
        return xs[0].sum(axis=(1, 2), keepdims=True) / wide(self.counts)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        if self.counts is None:
            return xs[0].mean((2, 3), keepdim=True)
        return xs[0].sum((2, 3), keepdim=True) / constants[0][:, None, None]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        if self.counts is None:
            return xs[0].mean((2, 3), keepdims=True)
        return xs[0].sum((2, 3), keepdims=True) / on_channels(self.counts)

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        return self.float64(low), self.float64(high)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        if self.counts is None:
            return b.mean(sources[0], self.name)
        axes = b.numbers(f"{self.name}.axes", [2, 3])
        total = b.operator("ReduceSum", [sources[0], axes], f"{self.name}.sum")
        return b.affine(total, "div", self.counts, self.name)


def patches(x: NDArray[Real], node: Linear) -> NDArray[Real]:
    """What each output reads: x (C, H, W) to (group, terms, outputs of one channel).

    The terms come in the order (channel, row, column) of the weights. Padding is an exact zero.
    """
    top, left, bottom, right = node.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    kernel = node.weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    windows = windows[:, :: node.strides[0], :: node.strides[1]]
    columns = windows.transpose(0, 3, 4, 1, 2)
    terms = node.weight.shape[1] * kernel[0] * kernel[1]
    return np.ascontiguousarray(columns).reshape(node.group, terms, -1)


def grouped_weight(node: Linear) -> Float32Array:
    """The weights as (group, output channels of a group, terms)."""
    outputs = len(node.weight)
    return node.weight.reshape(node.group, outputs // node.group, -1)


def read_linear(r: Read) -> Node:
    """Conv, Gemm, MatMul and ReduceSum, as the checker has read them."""
    (part,) = r.parts
    assert r.made.sum is not None
    outs, constants = len(part.weight), r.made.sum.constants
    weight, bias = part.weight, np.zeros(outs, np.float32)
    if part.factors:  # Gemm's alpha, multiplied before
        weight = weight * product(part.factors, outs).astype(np.float32)[:, None, None, None]
    for constant in constants:
        bias = constant.value * product(constant.factors, outs).astype(np.float32)
    down, across = part.strides
    top, left, bottom, right = part.pads
    dense = r.operator.op in ("Gemm", "MatMul") and r.made.shape[1:] == (1, 1)
    return Linear(r.name, r.made.shape, r.names, frozen(weight), frozen(bias), (down, across),
                  (top, left, bottom, right), part.groups, dense, views=r.views)  # fmt: skip


def read_mean(r: Read) -> Node:
    """GlobalAveragePool, and ReduceMean."""
    return Mean(r.name, r.made.shape, r.names, views=r.views)


READERS = {
    "Conv": read_linear,
    "Gemm": read_linear,
    "GlobalAveragePool": read_mean,
    "MatMul": read_linear,
    "ReduceMean": read_mean,
    "ReduceSum": read_linear,
}
