"""Every node's exact function of what it reads, in float64 with a bound of its own error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.reference import FunctionName, Reference, reference
from lastbit.audit.sums import ROUND, TINY, UP, Float64Array, Known, SumInFloat64
from lastbit.operators import CURVES, curve_of
from lastbit_check.derive.frame import Frame
from lastbit_check.network import Node


class ExactNodes:
    """The nodes of a network; ``sums`` by name."""

    def __init__(self, frame: Frame) -> None:
        by_name = frame.network.by_name
        self.sums = {
            name: SumInFloat64(setting, [by_name[source] for source in setting.node.inputs])
            for name, setting in frame.settings.items()
            if setting.layer is not None
        }
        self.taps = {
            name: setting.taps
            for name, setting in frame.settings.items()
            if setting.taps is not None
        }

    def exact(self, node: Node, xs: list[Known]) -> Known:
        """The node's exact function of what it reads."""
        x = xs[0]
        match node.op:
            case "sum":
                return self.sums[node.name](xs)
            case "max":
                return self._largest(node, x)
            case name if name in CURVES:
                off = np.broadcast_to(x.off, x.value.shape)
                true = true_curve(node, x.value)
                slope = curve_of(node).steepness_at(x.value, off) * UP
                return Known(true.value, true.error + slope * x.error, slope * x.allowance)
            case "gate":
                return product_of(node, x, xs[1])
            case "quotient":
                return quotient_of(node, x, xs[1])
            case _:
                powers = np.exp(x.value - x.value.max(axis=0))
                value = powers / powers.sum(axis=0)
                # tanh(R / 4) <= R / 4 for differences of logits that are off by R = 2 max |error|
                error, allowance = (
                    np.max(np.abs(np.broadcast_to(v, x.value.shape)), axis=0) / 2
                    for v in (x.error, x.allowance)
                )
                return Known(value, (value * 2.0**-40 + error) * UP + TINY, allowance)

    def _largest(self, node: Node, x: Known) -> Known:
        """The largest in each window; it is off by no more than the worst of them."""
        taps = self.taps[node.name]
        value, error, allowance = (np.broadcast_to(v, x.value.shape)[taps].max(axis=0)
                                   for v in (x.value, x.error, x.allowance))  # fmt: skip
        return Known(value, error, allowance)


def operands(node: Node, known: Mapping[str, Known]) -> list[Known]:
    """What a node reads, as it reads it."""
    views = node.views or (None,) * len(node.inputs)
    return [known[name] if view is None else known[name].seen(view)
            for name, view in zip(node.inputs, views, strict=True)]  # fmt: skip


def true_curve(node: Node, z: Float64Array) -> Reference:
    """A curve's values, and by how much they may be off."""
    curve = curve_of(node)
    if curve.function:
        shaping = (spread(node, v.astype(np.float64)[:, None]) for v in curve.shaping)
        return reference(cast("FunctionName", curve.function), z, *shaping)
    value = columns(curve.float64(z.T.reshape(-1, *node.shape)))
    return Reference(value, (np.abs(value) * curve.roundings + curve.cancels) * ROUND)


def product_of(node: Node, x: Known, s: Known) -> Known:
    """The product of (C, H, W) and one number a channel."""
    wide = Known(*(spread(node, v) for v in (s.value, s.error, s.allowance)))
    value = x.value * wide.value
    error = np.abs(x.value) * wide.error + (np.abs(wide.value) + wide.off) * x.error
    allowance = np.abs(x.value) * wide.allowance + (np.abs(wide.value) + wide.off) * x.allowance
    return Known(value, (np.abs(value) * ROUND + error) * UP + TINY, allowance)


def quotient_of(node: Node, x: Known, y: Known) -> Known:
    """The quotient of two values of the same shape, or of one number a channel."""
    wide = Known(*(spread(node, v) for v in (y.value, y.error, y.allowance)))
    value, least = x.value / wide.value, least_divisor(wide)
    error, allowance = (
        (a + np.abs(value) * b) / least
        for a, b in ((x.error, wide.error), (x.allowance, wide.allowance))
    )
    return Known(value, (np.abs(value) * 2 * ROUND + error) * UP + TINY, allowance * UP)


def least_divisor(y: Known) -> Float64Array:
    """Lower bound of the magnitude of what the execution divided by."""
    return np.maximum((np.abs(y.value) - y.off) / UP, 2.0**-126)


def spread(node: Node, s: Float64Array | float) -> Float64Array:
    """One number a channel (C, N), or one a unit, at every place (units, N)."""
    rows = len(s) if isinstance(s, np.ndarray) else node.shape[0]
    wide = np.broadcast_to(s, (rows, np.shape(s)[-1] if np.ndim(s) else 1))
    return np.repeat(wide, math.prod(node.shape) // rows, axis=0)


def columns(values: NDArray[np.generic]) -> Float64Array:
    """(N, C, H, W) to (units, N) in float64, exactly."""
    return np.ascontiguousarray(values.reshape(len(values), -1).T, dtype=np.float64)
