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
    View,
    frozen,
    on_channels,
    wide,
)
from lastbit_check.operators.affine import by_channel
from lastbit_check.operators.seen import Seen

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

Views = tuple[View | None, ...]
AffineKind = Literal["div", "mul", "add", "sub", "from"]
KINDS: dict[str, AffineKind] = {"Div": "div", "Mul": "mul", "Add": "add", "Sub": "sub"}


@final
@dataclass(frozen=True, eq=False)
class Affine(Node):
    """One rounded operation with a constant: x / d, x * f, x + t, x - t or t - x.

    `constant` is (C,), a scalar of the file is repeated; or (C, H, W).
    """

    kind: AffineKind
    constant: Float32Array

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return (self.constant,)

    @property
    def convolution(self) -> Convolution | None:
        c = self.constant.astype(np.float64)
        if c.ndim > 1 or self.arranges:
            return None
        one, none = np.ones_like(c), np.zeros_like(c)
        factors = {"div": one / c if self.kind == "div" else one, "mul": c, "from": -one}
        factor = factors.get(self.kind, one)
        shift = {"add": c, "sub": -c, "from": c}.get(self.kind, none)
        return Convolution(factor[:, None, None, None], shift, groups=len(c))

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        apply = {
            "div": machine.divide,
            "mul": machine.multiply,
            "add": machine.add,
            "sub": machine.subtract,
            "from": lambda x, t: machine.subtract(np.broadcast_to(t, x.shape), x),
        }
        return apply[self.kind](xs[0], on_channels(self.constant))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return _applied(self.kind, xs[0], wide(self.constant))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        constant = constants[0] if constants[0].ndim > 1 else constants[0][:, None, None]
        return _applied(self.kind, xs[0], constant)

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
        case "from":
            return constant - x


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
class Subtract(Node):
    """x - y, both of one shape."""

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.subtract(*xs)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] - xs[1]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] - xs[1]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0] - xs[1]

    def box(self, *boxes: Box) -> Box:
        (low, high), (least, most) = boxes
        return low - most, high - least

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator("Sub", [*sources], self.name)


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
    """Add, Sub, Mul and Div of a value and a constant, which stands beside each unit."""
    (x,) = r.sources
    first = isinstance(r.reader.values[r.operator.inputs[0]], np.ndarray)
    kind = KINDS[r.operator.op]
    kind = "from" if kind == "sub" and first else kind
    values, views = _beside(r, x, r.floats(0 if first else 1))
    return Affine(r.name, r.made.shape, r.names, kind, values, views=views)


def _beside(r: Read, x: Seen, constant: Float32Array) -> tuple[Float32Array, Views]:
    """A constant as it stands beside the node: (C,), or (C, H, W); or by a view of it, (units,)."""
    values = x.inside(constant)
    if r.made.shape != x.node.shape:
        return frozen(values.ravel()), (View(r.made.shape),)
    return frozen(values[:, 0, 0] if by_channel(values) else values), ()


def read_add(r: Read) -> Node:
    """Add and Sub, of two values or of a value and a constant."""
    if len(r.names) == 1:
        return read_affine(r)
    kind = Subtract if r.operator.op == "Sub" else Add
    return kind(r.name, r.made.shape, r.names, views=r.views)


def read_negative(r: Read) -> Node:
    """Neg, which is 0 - x."""
    constant = np.zeros(r.made.shape[:1], np.float32)
    return Affine(r.name, r.made.shape, r.names, "from", frozen(constant))


def read_batch_norm(r: Read) -> Node:
    """BatchNormalization in inference."""
    epsilon = float(np.float32(r.operator.attribute("epsilon", 1e-5)))
    (x,) = r.sources
    axes = [1] * (len(x.sizes) - 1)
    found = [_beside(r, x, r.floats(k).reshape(-1, *axes)) for k in (1, 2, 3, 4)]
    gamma, beta, mean, variance = (values for values, _ in found)
    return BatchNorm(r.name, r.made.shape, r.names, gamma, beta, mean, variance, epsilon,
                     views=found[0][1])  # fmt: skip


READERS = {
    "Add": read_add,
    "BatchNormalization": read_batch_norm,
    "Neg": read_negative,
    "Sub": read_add,
}
