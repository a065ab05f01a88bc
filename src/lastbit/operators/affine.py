"""Operations with constants, the sum of two values, and batch normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, final

import numpy as np

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

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

AffineKind = Literal["div", "mul", "add", "sub"]
KINDS: dict[str, AffineKind] = {"Div": "div", "Mul": "mul", "Add": "add", "Sub": "sub"}


@final
@dataclass(frozen=True, eq=False)
class Affine(Node):
    """One rounded operation with a constant: x / d, x * f, x + t or x - t.

    `constant` is (C,); a scalar of the file is repeated.
    """

    kind: AffineKind
    constant: Float32Array

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return (self.constant,)

    @property
    def convolution(self) -> Convolution:
        c = self.constant.astype(np.float64)
        one, none = np.ones_like(c), np.zeros_like(c)
        factor = {"div": one / c if self.kind == "div" else one, "mul": c}.get(self.kind, one)
        shift = {"add": c, "sub": -c}.get(self.kind, none)
        return Convolution(factor[:, None, None, None], shift, groups=len(c))

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        apply = {
            "div": machine.divide,
            "mul": machine.multiply,
            "add": machine.add,
            "sub": machine.subtract,
        }
        return apply[self.kind](xs[0], on_channels(self.constant))

    def float64(self, *xs: Float64Array) -> Float64Array:
        apply = {"div": np.divide, "mul": np.multiply, "add": np.add, "sub": np.subtract}
        return apply[self.kind](xs[0], wide(self.constant))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return _applied(self.kind, xs[0], constants[0][:, None, None])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return _applied(self.kind, xs[0], on_channels(self.constant))

    def box(self, *boxes: Box) -> Box:
        ends = [self.float64(end) for end in boxes[0]]
        return np.minimum(*ends), np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.affine(sources[0], self.kind, self.constant, self.name)

    def restricted(self, own: Channels, read: Mapping[str, Channels]) -> Self:
        kept = super().restricted(own, read)
        return replace(kept, constant=frozen(self.constant[own]))


def _applied(kind: AffineKind, x: Any, constant: Any) -> Any:
    match kind:
        case "div":
            return x / constant
        case "mul":
            return x * constant
        case "add":
            return x + constant
        case "sub":
            return x - constant


@final
@dataclass(frozen=True, eq=False)
class Add(Node):
    """x + y, both of one shape."""

    @property
    def y(self) -> str:
        """The second node that is read."""
        return self.inputs[1]

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.add(*xs)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] + xs[1]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] + xs[1]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0] + xs[1]

    def box(self, *boxes: Box) -> Box:
        (low, high), (least, most) = boxes
        return low + least, high + most

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.add(sources[0], sources[1], self.name)


@final
@dataclass(frozen=True, eq=False)
class BatchNorm(Node):
    """gamma * (y - mean) / sqrt(variance + epsilon) + beta; all (C,), epsilon a float32 value."""

    gamma: Float32Array
    beta: Float32Array
    mean: Float32Array
    variance: Float32Array
    epsilon: float

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return self.gamma, self.beta, self.mean, self.variance

    @property
    def convolution(self) -> Convolution:
        gamma, beta, mean, variance = (v.astype(np.float64) for v in self.arrays)
        factor = gamma / np.sqrt(variance + self.epsilon)
        shift = beta - mean * factor
        return Convolution(factor[:, None, None, None], shift, groups=len(factor))

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        gamma, beta, mean, variance = map(on_channels, self.arrays)
        epsilon = np.full_like(variance, self.epsilon)
        deviation = machine.sqrt(machine.add(variance, epsilon))
        if machine.batch_norm_form == "scaled":
            factor = machine.divide(gamma, deviation)
            shift = machine.subtract(beta, machine.multiply(mean, factor))
            return machine.add(machine.multiply(xs[0], factor), shift)
        centred = machine.divide(machine.subtract(xs[0], mean), deviation)
        return machine.add(machine.multiply(centred, gamma), beta)

    def float64(self, *xs: Float64Array) -> Float64Array:
        gamma, beta, mean, variance = map(wide, self.arrays)
        return gamma * (xs[0] - mean) / np.sqrt(variance + self.epsilon) + beta

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        from torch.nn import functional

        gamma, beta, mean, variance = constants
        return functional.batch_norm(xs[0], mean, variance, gamma, beta, eps=self.epsilon)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        gamma, beta, mean, variance = map(on_channels, self.arrays)
        deviation = jax.numpy.sqrt(variance + np.float32(self.epsilon))
        return (xs[0] - mean) / deviation * gamma + beta

    def box(self, *boxes: Box) -> Box:
        ends = [self.float64(end) for end in boxes[0]]
        return np.minimum(*ends), np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.batch_norm(sources[0], *self.arrays, epsilon=self.epsilon, name=self.name)

    def restricted(self, own: Channels, read: Mapping[str, Channels]) -> Self:
        gamma, beta, mean, variance = (frozen(v[own]) for v in self.arrays)
        kept = super().restricted(own, read)
        return replace(kept, gamma=gamma, beta=beta, mean=mean, variance=variance)


def read_affine(r: Read) -> Node:
    """Add, Sub, Mul and Div of a value and a constant."""
    constant = r.floats(0 if _is_constant(r, 0) else 1)
    values = np.broadcast_to(constant.reshape(-1), r.made.shape[:1])
    return Affine(r.name, r.made.shape, r.names, KINDS[r.operator.op], frozen(values))


def _is_constant(r: Read, index: int) -> bool:
    return isinstance(r.reader.values[r.operator.inputs[index]], np.ndarray)


def read_add(r: Read) -> Node:
    """Add, of two values or of a value and a constant."""
    return Add(r.name, r.made.shape, r.names) if len(r.names) == 2 else read_affine(r)


def read_batch_norm(r: Read) -> Node:
    """BatchNormalization in inference."""
    epsilon = float(np.float32(r.operator.attribute("epsilon", 1e-5)))
    gamma, beta, mean, variance = map(r.floats, (1, 2, 3, 4))
    return BatchNorm(r.name, r.made.shape, r.names, gamma, beta, mean, variance, epsilon)


READERS = {
    "Add": read_add,
    "BatchNormalization": read_batch_norm,
    "Div": read_affine,
    "Sub": read_affine,
}
