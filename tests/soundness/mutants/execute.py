"""The checker's normal form in float64, and how far a float32 execution of it may be away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit.operators import CURVES, curve_of
from lastbit_check.network import Factor, Network, Node, Part, View, growth, product
from lastbit_check.operators.patterns import products, taps_of

Float64 = NDArray[np.float64]
U = 2.0**-24
TINY = 2.0**-120  # what underflow may do, generously
HUGE = 2.0**120  # beyond it a float32 execution may overflow
STEEPEST = 1.5  # of the slopes of all curves


@dataclass(frozen=True)
class Execution:
    """A network on images (units, N); so are its values."""

    network: Network
    images: Float64

    @cached_property
    def probabilities(self) -> Float64:
        """Of each image (N, classes)."""
        logits = self.values[self.network.logits].T
        t = np.exp(logits - logits.max(axis=1, keepdims=True))
        return t / t.sum(axis=1, keepdims=True)

    @cached_property
    def values(self) -> dict[str, Float64]:
        """Of every node but the softmax."""
        values = {self.network.input.name: self.images}
        for node in self.network.computed[1:]:
            xs = self._read(node, values)
            match node.op:
                case "sum":
                    made = self._sum(node, xs)
                case "gate":
                    made = xs[0] * xs[1]
                case "quotient":
                    made = xs[0] / xs[1]
                case "max":
                    made = np.max(xs[0][self._taps(node)], axis=0)
                case _:
                    curve = curve_of(node)
                    made = np.stack([curve.float64(x.reshape(node.shape)) for x in xs[0].T], axis=3)
            values[node.name] = made.reshape(-1, self.images.shape[1])
        return values

    @cached_property
    def tolerance(self) -> Float64:
        """How far from these the probabilities of a float32 execution may be (N,).

        Four times a bound of first order; infinite where a value may overflow.
        """
        errors, largest = {self.network.input.name: np.zeros(self.images.shape)}, 0.0
        for node in self.network.computed[1:]:
            xs, before = self._read(node, self.values), self._read(node, errors)
            match node.op:
                case "sum":
                    error, size = self._off(node, xs, before)
                    largest = max(largest, size)
                case "gate":
                    (x, s), (e, f) = xs, before
                    error = np.abs(x) * f + np.abs(s) * e + e * f + 8 * U * np.abs(x * s)
                case "quotient":
                    (x, s), (e, f) = xs, before
                    least = np.maximum(np.abs(s) - f, 0.0)
                    with np.errstate(divide="ignore", invalid="ignore"):
                        error = (np.abs(s) * e + np.abs(x) * f) / (np.abs(s) * least)
                        error += 8 * U * np.abs(x / s)
                    error = np.where(least > 0, error, np.inf)
                case "max":
                    error = np.max(before[0][self._taps(node)], axis=0)
                case _:
                    grows = CURVES[node.op].grows
                    error = STEEPEST * before[0] + 16 * U * (np.abs(xs[0]) if grows else 1)
            errors[node.name] = error + TINY
        off = np.max(errors[self.network.logits], axis=0)
        return np.where((largest < HUGE) & np.isfinite(off), 4 * off + 2.0**-18, np.inf)

    def _read(self, node: Node, values: dict[str, Float64]) -> list[Float64]:
        """The operands, as they are seen."""
        views = node.views or (None,) * len(node.inputs)
        xs = [_seen(values[name], view) for name, view in zip(node.inputs, views, strict=True)]
        if node.op == "gate":  # channels may be multiplied by one number each
            xs[1] = np.repeat(xs[1], len(xs[0]) // len(xs[1]), axis=0)
        return xs

    def _taps(self, node: Node) -> NDArray[np.intp]:
        shape = self.network.by_name[node.inputs[0]].shape
        taps = taps_of(node, {node.inputs[0]: shape})
        assert taps is not None
        return taps

    def _weights(self, node: Node, part: Part) -> csr_array:
        """By unit and unit that is read, factors included."""
        made = products(part, node.shape, self.network.by_name[part.source].shape)
        unit = np.repeat(np.arange(made.shape[0]), np.diff(made.indptr))
        scale = _scale(part.factors, node).ravel()[unit]
        data = part.weight.astype(np.float64).ravel()[made.data] * scale
        return csr_array((data, made.indices, made.indptr), made.shape)

    def _sum(self, node: Node, xs: list[Float64]) -> Float64:
        assert node.sum is not None
        total = np.zeros((int(np.prod(node.shape)), self.images.shape[1]))
        for part, x in zip(node.sum.parts, xs, strict=True):
            total += self._weights(node, part) @ x
        return total + sum(_constants(node))

    def _off(self, node: Node, xs: list[Float64], before: list[Float64]) -> tuple[Float64, float]:
        """The error of a sum, and the largest magnitude that is computed on the way."""
        assert node.sum is not None
        error, largest = np.zeros((int(np.prod(node.shape)), self.images.shape[1])), 0.0
        size, terms = error.copy(), 20 + len(node.sum.constants)
        for part, x, e in zip(node.sum.parts, xs, before, strict=True):
            heavy = abs(self._weights(node, part))
            error += heavy @ e
            inner = heavy @ np.abs(x)
            size, terms = size + inner, terms + part.weight[0].size
            grows = float(growth((*part.factors, *part.moved)))
            largest = max(largest, (float(np.max(inner)) + 1) * grows)
        for constant, value in zip(node.sum.constants, _constants(node), strict=True):
            size = size + np.abs(value)
            grows = float(growth(constant.factors))
            largest = max(largest, (float(np.max(np.abs(value))) + 1) * grows)
        return error + terms * U * size, max(largest, float(np.max(size)))


def _seen(x: Float64, view: View | None) -> Float64:
    """Values (units, N) by a view; 0 where it has no unit."""
    if view is None or view.order is None:
        return x
    return np.append(x, np.zeros((1, x.shape[1])), axis=0)[view.order]


def _scale(factors: tuple[Factor, ...], node: Node) -> Float64:
    """All factors together (C, H, W)."""
    by_channel = product(factors, node.shape[0]).astype(np.float64)[:, None, None]
    return np.broadcast_to(by_channel, node.shape)


def _constants(node: Node) -> list[Float64]:
    """What is added, unit by unit (units, 1)."""
    assert node.sum is not None
    return [
        (
            _scale(c.factors, node)
            * (c.value if c.value.ndim == 3 else c.value[:, None, None]).astype(np.float64)
        ).reshape(-1, 1)
        for c in node.sum.constants
    ]
