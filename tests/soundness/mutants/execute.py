"""The checker's normal form in float64, and how far a float32 execution of it may be away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lastbit_check.network import Node, Weights

Float64 = NDArray[np.float64]
Images = NDArray[np.uint8]
U = 2.0**-24
TINY = 2.0**-120  # what underflow may do, generously
HUGE = 2.0**120  # beyond it a float32 execution may overflow


def execute(nodes: list[Node], images: Images) -> Float64:
    """Probabilities (N, classes) of images (N, C, H, W)."""
    return _probabilities(_values(nodes, images)[nodes[-1].inputs[0]])


def _probabilities(logits: Float64) -> Float64:
    flat = logits.reshape(len(logits), -1)
    t = np.exp(flat - flat.max(axis=1, keepdims=True))
    return t / t.sum(axis=1, keepdims=True)


def _values(nodes: list[Node], images: Images) -> dict[str, Float64]:
    values = {nodes[0].name: images.astype(np.float64)}
    for node in nodes[1:-1]:
        sources = [values[name] for name in node.inputs]
        if node.weights:
            values[node.name] = _Linear(node.weights).value(sources[0])
        else:
            values[node.name] = SIMPLE[node.op](*sources)
    return values


def _sigmoid(z: Float64) -> Float64:
    return 0.5 * (1 + np.tanh(z / 2))


SIMPLE: dict[str, Callable[..., Float64]] = {
    "silu": lambda z: z * _sigmoid(z),
    "sigmoid": _sigmoid,
    "gate": lambda x, s: x * s,
    "add": lambda x, y: x + y,
}


def tolerance(nodes: list[Node], images: Images) -> Float64:
    """How far from these the probabilities of a float32 execution may be (N,).

    Four times a bound of first order; infinite where a value may overflow.
    """
    values, errors, largest = _values(nodes, images), dict[str, Float64](), 0.0
    errors[nodes[0].name] = np.zeros(images.shape)
    for node in nodes[1:-1]:
        x, *more = (values[name] for name in node.inputs)
        e, *others = (errors[name] for name in node.inputs)
        match node.op:
            case "silu":
                error = 1.1 * e + 8 * U * np.abs(x)
            case "sigmoid":
                error = e / 4 + 8 * U
            case "gate":
                s, f = more[0], others[0]
                error = np.abs(x) * f + np.abs(s) * e + e * f + U * np.abs(x * s)
            case "add":
                error = e + others[0] + U * (np.abs(x) + np.abs(more[0]))
            case _:
                assert node.weights
                error, size = _Linear(node.weights).error(x, e)
                largest = max(largest, float(np.max(size)))
        errors[node.name] = error + TINY
    off = np.max(errors[nodes[-1].inputs[0]].reshape(len(images), -1), axis=1)
    return np.where((largest < HUGE) & np.isfinite(off), 4 * off + 2.0**-18, np.inf)


class _Linear:
    """A linear node's numbers in float64."""

    def __init__(self, w: Weights) -> None:
        self.w, self.weight = w, w.weight.astype(np.float64)
        self.bias = w.bias.astype(np.float64)[:, None, None]
        columns = (np.asarray(v).astype(np.float64)[:, None, None] for v in w.norm[:4])
        self.gamma, self.beta, self.mean, self.root = columns

    def value(self, x: Float64) -> Float64:
        raw = self.sums(self.weight, x) + self.bias
        return self.gamma * (raw - self.mean) / self.root + self.beta

    def error(self, x: Float64, e: Float64) -> tuple[Float64, Float64]:
        """The error, and the largest magnitude that is computed on the way."""
        heavy, scale = np.abs(self.weight), np.abs(self.gamma / self.root)
        inner = self.sums(heavy, np.abs(x)) + np.abs(self.bias) + np.abs(self.mean)
        size = scale * inner + np.abs(self.beta)
        steps = np.maximum(np.maximum(inner, size), inner * np.abs(self.gamma))
        terms = self.weight[0].size + 20
        return scale * self.sums(heavy, e) + terms * U * size, np.maximum(steps, 1 / self.root)

    def sums(self, weight: Float64, x: Float64) -> Float64:
        """Sums of products (N, O, H, W)."""
        w, (outs, ins, *kernel) = self.w, weight.shape
        top, left, bottom, right = w.pads
        if any(w.pads):
            x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        (down, across), n = w.strides, len(x)
        high, wide = (x.shape[2] - kernel[0]) // down + 1, (x.shape[3] - kernel[1]) // across + 1
        each = weight.reshape(w.groups, outs // w.groups, ins, *kernel)
        if high == wide == 1:
            seen = x[:, :, : kernel[0], : kernel[1]].reshape(n, w.groups, ins, *kernel)
            return np.einsum("ngikl,goikl->ngo", seen, each).reshape(n, outs, 1, 1)
        total = np.zeros((n, w.groups, outs // w.groups, high, wide))
        for i, j in np.ndindex(*kernel):
            seen = x[:, :, i : i + down * high : down, j : j + across * wide : across]
            seen = seen.reshape(n, w.groups, ins, high, wide)
            total += np.einsum("ngihw,goi->ngohw", seen, each[..., i, j])
        return total.reshape(n, outs, high, wide)
