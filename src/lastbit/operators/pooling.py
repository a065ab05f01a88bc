"""MaxPool and AveragePool: the largest number in each window, and the mean of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read, frozen
from lastbit.operators.linear import Mean
from lastbit_check.network import Part

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """Windows ``kernel`` (rows, columns), strides, pads (top, left, bottom, right), dilations."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int] = (1, 1)

    @property
    def spread(self) -> tuple[int, int]:
        """Over how many places a window reaches (rows, columns)."""
        (high, wide), (down, across) = self.kernel, self.dilations
        return (high - 1) * down + 1, (wide - 1) * across + 1

    def windows(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        """What each output reads (places of the kernel, C, H, W)."""
        top, left, bottom, right = self.pads
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
        found = np.lib.stride_tricks.sliding_window_view(padded, self.spread, axis=(1, 2))
        (down, across), (below, beside) = self.strides, self.dilations
        found = found[:, ::down, ::across, ::below, ::beside]
        return found.transpose(3, 4, 0, 1, 2).reshape(-1, *self.shape)

    def padded(self, x: Any, fill: float) -> Any:
        """A tensor of PyTorch's with the pads around it."""
        from torch.nn import functional

        top, left, bottom, right = self.pads
        pads = (left, right, top, bottom)
        return functional.pad(x, pads, value=fill) if any(pads) else x

    def attributes(self) -> dict[str, Any]:
        """As a file has them."""
        return {"kernel_shape": self.kernel, "strides": self.strides, "pads": self.pads}


@final
@dataclass(frozen=True, eq=False)
class MaxPool(Pool):
    """The largest number in each window."""

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.flush(self.windows(xs[0], -np.inf).max(axis=0))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return self.windows(xs[0], -np.inf).max(axis=0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        from torch.nn import functional

        x = self.padded(xs[0], float("-inf"))
        return functional.max_pool2d(x, self.kernel, self.strides, dilation=self.dilations)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        top, left, bottom, right = self.pads
        return jax.lax.reduce_window(
            xs[0],
            np.float32(-np.inf),
            jax.lax.max,
            (1, 1, *self.kernel),
            (1, 1, *self.strides),
            ((0, 0), (0, 0), (top, bottom), (left, right)),
            window_dilation=(1, 1, *self.dilations),
        )

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        return self.float64(low), self.float64(high)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator(
            "MaxPool", [*sources], self.name, dilations=self.dilations, **self.attributes()
        )


@final
@dataclass(frozen=True, eq=False)
class AveragePool(Pool):
    """The mean of each window, zeros of the padding among them."""

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        terms = self.windows(xs[0], 0.0)
        count = np.full((1, 1, 1), len(terms), np.float32)
        return machine.divide(machine.sum(terms), count)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return self.windows(xs[0], 0.0).mean(axis=0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        from torch.nn import functional

        return functional.avg_pool2d(self.padded(xs[0], 0.0), self.kernel, self.strides)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        top, left, bottom, right = self.pads
        found = jax.lax.reduce_window(
            xs[0],
            np.float32(0),
            jax.lax.add,
            (1, 1, *self.kernel),
            (1, 1, *self.strides),
            ((0, 0), (0, 0), (top, bottom), (left, right)),
        )
        return found / np.float32(np.prod(self.kernel))

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        return self.float64(low), self.float64(high)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator(
            "AveragePool", [*sources], self.name, count_include_pad=1, **self.attributes()
        )


def read_largest(r: Read) -> Node:
    """MaxPool, GlobalMaxPool and ReduceMax."""
    window = r.made.window
    assert window is not None
    down, across = (*r.operator.attribute("dilations", [1, 1]), 1)[:2]
    high, wide = window.weight.shape[2:]
    kernel = (high - 1) // down + 1, (wide - 1) // across + 1
    return MaxPool(r.name, r.made.shape, r.names, kernel, *_placed(window), (down, across),
                   views=r.made.views)  # fmt: skip


def read_average(r: Read) -> Node:
    """AveragePool: where windows differ, each is a channel of its own, of which it is the mean."""
    (part,) = r.parts
    high, wide = part.weight.shape[2:]
    if part.view and part.view.shape[1:] == (high, wide) and not any(part.pads):
        counts = (1 / part.factors[0].value).astype(np.float32)
        return Mean(r.name, r.made.shape, r.names, frozen(counts), views=r.views)
    return AveragePool(r.name, r.made.shape, r.names, (high, wide), *_placed(part), views=r.views)


def _placed(window: Part) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Strides and pads."""
    (down, across), (top, left, bottom, right) = window.strides, window.pads
    return (down, across), (top, left, bottom, right)


READERS = {
    "AveragePool": read_average,
    **dict.fromkeys(("GlobalMaxPool", "MaxPool", "ReduceMax"), read_largest),
}
