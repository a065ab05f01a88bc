"""The reference executor: a network in NumPy float32, one rounding at a time.

Every product and every addition is a float32 operation of its own, in an order that can be
chosen. It is slow and plain on purpose: it is what the statement's "execution" means, and tests
hold every bound against it.
"""

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from lastbit.float32.functions import (
    Function,
    correctly_rounded_exp,
    correctly_rounded_sigmoid,
)
from lastbit.float32.patches import grouped_weight, patches
from lastbit.float32.rounding import Arithmetic
from lastbit.float32.sums import Order, ordered_sum
from lastbit.graph import (
    Add,
    Affine,
    BatchNorm,
    ByteArray,
    Float32Array,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Node,
    Sigmoid,
    Silu,
    Softmax,
    as_batch,
)

BatchNormForm = Literal["centred", "scaled"]
"""centred: (y - mean) / sqrt(variance + epsilon) * gamma + beta, from left to right.
scaled: y * f + (beta - mean * f) with f = gamma / sqrt(variance + epsilon)."""


@overload
def execute(
    network: Network,
    image: ByteArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    fold_batch_norm: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: Literal[False] = False,
) -> Float32Array: ...


@overload
def execute(
    network: Network,
    image: ByteArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    fold_batch_norm: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: Literal[True],
) -> tuple[Float32Array, dict[str, Float32Array]]: ...


def execute(
    network: Network,
    image: ByteArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    fold_batch_norm: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: bool = False,
) -> Float32Array | tuple[Float32Array, dict[str, Float32Array]]:
    """Class probabilities (classes,) of one image.

    Args:
        network: in normal form.
        image: bytes, (H, W) or (C, H, W).
        order: in which each sum is carried out; the bias is the last term.
        flush_to_zero: subnormal operands and results become zero.
        fold_batch_norm: multiply batch norm into weights and bias, in float32, beforehand.
        batch_norm_form: how batch norm is executed where it is not folded.
        sigmoid: in the place of the correctly rounded one.
        exp: likewise, inside softmax.
        keep: return also the value (C, H, W) of every node, by name.

    Raises:
        UsageError: the image does not fit, or there is no such order.
    """
    how = _Execution(
        Arithmetic(flush_to_zero),
        order,
        fold_batch_norm,
        batch_norm_form,
        sigmoid or correctly_rounded_sigmoid,
        exp or correctly_rounded_exp,
    )
    pixels = as_batch(image, network.input_shape)[0].astype(np.float32)
    values: dict[str, Float32Array] = {}
    with np.errstate(all="ignore"):
        for node in network:
            values[node.name] = how.value(node, values, pixels)
    probabilities = values[network.output].reshape(-1)
    return (probabilities, values) if keep else probabilities


@dataclass(frozen=True)
class _Execution:
    arithmetic: Arithmetic
    order: Order
    fold_batch_norm: bool
    batch_norm_form: BatchNormForm
    sigmoid: Function
    exp: Function

    def value(
        self, node: Node, values: dict[str, Float32Array], pixels: Float32Array
    ) -> Float32Array:
        a = self.arithmetic
        match node:
            case Input():
                return pixels
            case Affine():
                return self.affine(node, values[node.x])
            case Linear():
                return self.linear(node, values[node.x])
            case Sigmoid():
                return a.flush(self.sigmoid(a.flush(values[node.x])))
            case Silu():
                x = values[node.x]
                return a.multiply(x, a.flush(self.sigmoid(a.flush(x))))
            case Gate():
                return a.multiply(values[node.x], values[node.s])
            case Add():
                return a.add(values[node.x], values[node.y])
            case Mean():
                return self.mean(values[node.x])
            case Softmax():
                return self.softmax(values[node.x])

    def sum(self, terms: Float32Array) -> Float32Array:
        return ordered_sum(terms, self.order, self.arithmetic)

    def affine(self, node: Affine, x: Float32Array) -> Float32Array:
        constant = node.constant[:, None, None]
        match node.kind:
            case "div":
                return self.arithmetic.divide(x, constant)
            case "mul":
                return self.arithmetic.multiply(x, constant)
            case "add":
                return self.arithmetic.add(x, constant)
            case "sub":
                return self.arithmetic.subtract(x, constant)

    def linear(self, node: Linear, x: Float32Array) -> Float32Array:
        a = self.arithmetic
        weight, bias = grouped_weight(node), node.bias
        if self.fold_batch_norm and node.bn is not None:
            factor = self.batch_norm_factor(node.bn)
            weight = a.multiply(weight, factor.reshape(*weight.shape[:2], 1))
            bias = a.add(a.multiply(a.subtract(bias, node.bn.mean), factor), node.bn.beta)
        columns = patches(x, node)
        # (terms, group, channels of a group, positions), the bias as the last term
        products = a.multiply(
            weight.transpose(2, 0, 1)[..., None], columns.swapaxes(0, 1)[:, :, None]
        )
        last = np.broadcast_to(bias.reshape(1, *weight.shape[:2], 1), (1, *products.shape[1:]))
        y = self.sum(np.concatenate([products, last])).reshape(node.shape)
        return y if self.fold_batch_norm or node.bn is None else self.batch_norm(node.bn, y)

    def batch_norm_factor(self, bn: BatchNorm) -> Float32Array:
        a = self.arithmetic
        epsilon = np.full_like(bn.variance, bn.epsilon)
        return a.divide(bn.gamma, a.sqrt(a.add(bn.variance, epsilon)))

    def batch_norm(self, bn: BatchNorm, y: Float32Array) -> Float32Array:
        a = self.arithmetic
        gamma, beta, mean, variance = (
            v[:, None, None] for v in (bn.gamma, bn.beta, bn.mean, bn.variance)
        )
        if self.batch_norm_form == "scaled":
            factor = self.batch_norm_factor(bn)[:, None, None]
            return a.add(a.multiply(y, factor), a.subtract(beta, a.multiply(mean, factor)))
        deviation = a.sqrt(a.add(variance, np.full_like(variance, bn.epsilon)))
        return a.add(a.multiply(a.divide(a.subtract(y, mean), deviation), gamma), beta)

    def mean(self, x: Float32Array) -> Float32Array:
        count = np.full((x.shape[0],), x.shape[1] * x.shape[2], np.float32)
        total = self.sum(x.reshape(x.shape[0], -1).T)
        return self.arithmetic.divide(total, count)[:, None, None]

    def softmax(self, x: Float32Array) -> Float32Array:
        a = self.arithmetic
        x = a.flush(x)
        powers = a.flush(self.exp(a.subtract(x, np.max(x, keepdims=True))))
        return a.divide(powers, self.sum(powers)[None])


def execute_float64(
    network: Network, image: ByteArray, *, stored: bool = False
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """As `execute(..., keep=True)`, in float64 and as accurately as NumPy does it.

    With `stored` each node's value is rounded to float32 once it is there. Both are executions that
    the statement allows: it speaks of "binary32 or wider".
    """
    values: dict[str, NDArray[np.float64]] = {}
    pixels = as_batch(image, network.input_shape)[0].astype(np.float64)
    with np.errstate(over="ignore"):
        for node in network:
            value = _float64_value(node, values, pixels)
            values[node.name] = value.astype(np.float32).astype(np.float64) if stored else value
    return values[network.output].reshape(-1), values


def _float64_value(
    node: Node, values: dict[str, NDArray[np.float64]], pixels: NDArray[np.float64]
) -> NDArray[np.float64]:
    match node:
        case Input():
            return pixels
        case Affine():
            x, constant = values[node.x], node.constant.astype(np.float64)[:, None, None]
            return {"div": np.divide, "mul": np.multiply, "add": np.add, "sub": np.subtract}[
                node.kind
            ](x, constant)
        case Linear():
            weight = grouped_weight(node).astype(np.float64)
            y = (weight @ patches(values[node.x], node)).reshape(node.shape)
            y = y + node.bias.astype(np.float64)[:, None, None]
            return y if node.bn is None else _float64_batch_norm(node.bn, y)
        case Sigmoid():
            return 1 / (1 + np.exp(-values[node.x]))
        case Silu():
            return values[node.x] / (1 + np.exp(-values[node.x]))
        case Gate():
            return values[node.x] * values[node.s]
        case Add():
            return values[node.x] + values[node.y]
        case Mean():
            return values[node.x].mean(axis=(1, 2), keepdims=True)
        case Softmax():
            powers = np.exp(values[node.x] - values[node.x].max())
            return powers / powers.sum()


def _float64_batch_norm(bn: BatchNorm, y: NDArray[np.float64]) -> NDArray[np.float64]:
    gamma, beta, mean, variance = (
        v.astype(np.float64)[:, None, None] for v in (bn.gamma, bn.beta, bn.mean, bn.variance)
    )
    return gamma * (y - mean) / np.sqrt(variance + bn.epsilon) + beta
