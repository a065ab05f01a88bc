"""The checker's normal form in float64, and how far a float32 execution of it may be away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lastbit_check.network import Factor, Network, Node, Part, growth, product

Float64 = NDArray[np.float64]
Images = NDArray[np.uint8]
U = 2.0**-24
TINY = 2.0**-120  # what underflow may do, generously
HUGE = 2.0**120  # beyond it a float32 execution may overflow


def execute(network: Network, images: Images) -> Float64:
    """Probabilities (N, classes) of images (N, C, H, W)."""
    return _probabilities(_values(network, images)[network.logits])


def _probabilities(logits: Float64) -> Float64:
    flat = logits.reshape(len(logits), -1)
    t = np.exp(flat - flat.max(axis=1, keepdims=True))
    return t / t.sum(axis=1, keepdims=True)


def _values(network: Network, images: Images) -> dict[str, Float64]:
    values = {network.input.name: images.astype(np.float64)}
    for node in network.computed[1:]:
        sources = [values[name] for name in node.inputs]
        values[node.name] = _added(node, sources) if node.sum else SIMPLE[node.op](*sources)
    return values


def _sigmoid(z: Float64) -> Float64:
    return 0.5 * (1 + np.tanh(z / 2))


SIMPLE: dict[str, Callable[..., Float64]] = {
    "silu": lambda z: z * _sigmoid(z),
    "sigmoid": _sigmoid,
    "gate": lambda x, s: x * s,
}


def tolerance(network: Network, images: Images) -> Float64:
    """How far from these the probabilities of a float32 execution may be (N,).

    Four times a bound of first order; infinite where a value may overflow.
    """
    values, errors, largest = _values(network, images), dict[str, Float64](), 0.0
    errors[network.input.name] = np.zeros(images.shape)
    for node in network.computed[1:]:
        sources = [values[name] for name in node.inputs]
        before = [errors[name] for name in node.inputs]
        match node.op:
            case "silu":
                error = 1.1 * before[0] + 8 * U * np.abs(sources[0])
            case "sigmoid":
                error = before[0] / 4 + 8 * U
            case "gate":
                (x, s), (e, f) = sources, before
                error = np.abs(x) * f + np.abs(s) * e + e * f + 8 * U * np.abs(x * s)
            case _:
                error, size = _off(node, sources, before)
                largest = max(largest, size)
        errors[node.name] = error + TINY
    off = np.max(errors[network.logits].reshape(len(images), -1), axis=1)
    return np.where((largest < HUGE) & np.isfinite(off), 4 * off + 2.0**-18, np.inf)


def _added(node: Node, sources: list[Float64]) -> Float64:
    """A sum."""
    assert node.sum is not None
    total = np.zeros((len(sources[0]), *node.shape))
    for part, x in zip(node.sum.parts, sources, strict=True):
        total += _scale(part.factors, node) * _sums(part, part.weight.astype(np.float64), x)
    for constant in node.sum.constants:
        value = constant.value.astype(np.float64)[:, None, None]
        total += _scale(constant.factors, node) * value
    return total


def _off(node: Node, sources: list[Float64], before: list[Float64]) -> tuple[Float64, float]:
    """The error of a sum, and the largest magnitude that is computed on the way."""
    assert node.sum is not None
    error = np.zeros((len(sources[0]), *node.shape))
    size, terms, largest = error.copy(), 20 + len(node.sum.constants), 0.0
    for part, x, e in zip(node.sum.parts, sources, before, strict=True):
        heavy, scale = np.abs(part.weight.astype(np.float64)), np.abs(_scale(part.factors, node))
        error += scale * _sums(part, heavy, e)
        inner = _sums(part, heavy, np.abs(x))
        size, terms = size + scale * inner, terms + part.weight[0].size
        grows = float(growth((*part.factors, *part.moved)))
        largest = max(largest, (float(np.max(inner)) + 1) * grows)
    for constant in node.sum.constants:
        value = np.abs(constant.value.astype(np.float64))[:, None, None]
        size = size + np.abs(_scale(constant.factors, node)) * value
        largest = max(largest, (float(np.max(value)) + 1) * float(growth(constant.factors)))
    return error + terms * U * size, max(largest, float(np.max(size)))


def _scale(factors: tuple[Factor, ...], node: Node) -> Float64:
    return product(factors, node.shape[0]).astype(np.float64)[:, None, None]


def _sums(part: Part, weight: Float64, x: Float64) -> Float64:
    """Sums of products (N, O, H, W)."""
    outs, ins, *kernel = weight.shape
    top, left, bottom, right = part.pads
    if any(part.pads):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    (down, across), n = part.strides, len(x)
    high, wide = (x.shape[2] - kernel[0]) // down + 1, (x.shape[3] - kernel[1]) // across + 1
    each = weight.reshape(part.groups, outs // part.groups, ins, *kernel)
    if high == wide == 1:
        seen = x[:, :, : kernel[0], : kernel[1]].reshape(n, part.groups, ins, *kernel)
        return np.einsum("ngikl,goikl->ngo", seen, each).reshape(n, outs, 1, 1)
    total = np.zeros((n, part.groups, outs // part.groups, high, wide))
    for i, j in np.ndindex(*kernel):
        seen = x[:, :, i : i + down * high : down, j : j + across * wide : across]
        seen = seen.reshape(n, part.groups, ins, high, wide)
        total += np.einsum("ngihw,goi->ngohw", seen, each[..., i, j])
    return total.reshape(n, outs, high, wide)
