"""Every value of an execution against what its certificate's rules say of it.

A node's value is held against the node's function of the values that the *same execution*
computed before it. That function is evaluated in float64, with a bound of the evaluation's own
error, which counts against us:

    linear    n products and sums in any order, fused or not, err by at most (n + 16) 2^-53 of the
              sum of the magnitudes (Higham, section 3.1); 16 covers batch norm folded in float64.
              The rounding that is allowed is of the order of 2^-24 of that sum.
    curves    `lastbit.audit.reference`.
    gate, add one float64 operation: 2^-53 of the result.
    softmax   a difference below 745 rounded once, exp, a sum, a quotient: 2^-40 of the result.

An execution that fuses nodes hides the values between. A hidden value is allowed its own rounding,
and what the nodes make of the roundings of hidden values before it; the first visible value after
them is held against the sum of all that. Nothing is missed by this that an allowed execution could
not have done, but a share says less there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from lastbit_check.exact import Fix

from lastbit.audit.reference import TINY, Float64Array, reference
from lastbit.bound import Kept
from lastbit.bound.linear import LinearMap
from lastbit.graph import (
    Add,
    Affine,
    ByteArray,
    Float32Array,
    Gate,
    Linear,
    Mean,
    Network,
    Node,
    Sigmoid,
    Silu,
    Softmax,
)
from lastbit_check.check import softmax_error

Values = Mapping[str, Float32Array]
"""The values (N, C, H, W) of the nodes that can be seen, by name."""

_ROUND = 2.0**-53
_UP = 1 + 2.0**-40
_SLOPE = {"silu": 1.1, "sigmoid": 0.25}


@dataclass(frozen=True)
class Finding:
    """One node over some images.

    Attributes:
        share: largest error as a share of what the certificate allows, never rounded down.
        outside: number of values that are not in their interval.
        values: number of values that were held against it.
    """

    share: float
    outside: int
    values: int

    def joined(self, other: Finding) -> Finding:
        """Both together."""
        outside, values = self.outside + other.outside, self.values + other.values
        return Finding(max(self.share, other.share), outside, values)

    @property
    def holds(self) -> bool:
        """Whether no value is outside of anything; false for NaN."""
        return self.share <= 1 and not self.outside


@dataclass(frozen=True)
class _Known:
    """A value (C, H, W, N): computed, or evaluated where it is hidden.

    Attributes:
        value: the float64 number.
        error: how far it may be from the exact one, because it was evaluated in float64.
        allowance: how far the hidden value may be from the exact one, because it was rounded.
    """

    value: Float64Array
    error: Float64Array | float = 0.0
    allowance: Float64Array | float = 0.0


class NetworkJudge:
    """The rounding bounds and ranges that a certificate's hints prove for one network.

    Args:
        network: in normal form.
        derived: what `lastbit.bound.derive(..., keep=True)` returned for it.
    """

    def __init__(self, network: Network, derived: Kept) -> None:
        self.network = network
        shapes = {node.name: node.shape for node in network}
        self.maps = {
            node.name: _Map(node, shapes[node.x])
            for node in network
            if isinstance(node, Affine | Linear | Mean)
        }
        self.allowed = {name: _real(bound) for name, bound in derived.roundings.items()}
        # rounded down by more than float() and the comparison in float64 can add
        soft = float(softmax_error(network.classes)) * (1 - 2.0**-40)
        self.allowed[network.output] = np.full((*network.nodes[-1].shape, 1), soft)
        self.ranges = {
            name: (_real(form.interval[0]), _real(form.interval[1]))
            for name, form in derived.forms.items()
        }

    def findings(self, images: ByteArray, values: Values) -> dict[str, Finding]:
        """The visible nodes of an execution on images (N, C, H, W), in the network's order.

        Raises:
            ValueError: the values of a node are not (N, C, H, W), or the output is hidden.
        """
        if self.network.output not in values:
            raise ValueError("an execution must show the output")
        first, *nodes = self.network
        known = {first.name: _Known(_columns(images))}
        found: dict[str, Finding] = {}
        with np.errstate(invalid="ignore", over="ignore"):
            for node in nodes:
                exact = self._evaluated(node, known)
                if node.name not in values:
                    allowance = (exact.allowance + self.allowed[node.name]) * _UP
                    known[node.name] = _Known(exact.value, exact.error, allowance)
                    continue
                seen = values[node.name]
                if seen.shape != (len(images), *node.shape):
                    raise ValueError(f"{node.name} has the shape {seen.shape}")
                known[node.name] = _Known(_columns(seen))
                found[node.name] = self._finding(node, known[node.name].value, exact)
        return found

    def _finding(self, node: Node, seen: Float64Array, exact: _Known) -> Finding:
        error = (np.abs(seen - exact.value) + exact.error) * _UP
        share = np.max(error / (self.allowed[node.name] + exact.allowance))
        outside = 0
        if node.name in self.ranges:
            low, high = self.ranges[node.name]
            outside = seen.size - int(np.count_nonzero((low <= seen) & (seen <= high)))
        return Finding(math.inf if np.isnan(share) else float(share), outside, seen.size)

    def _evaluated(self, node: Node, known: Mapping[str, _Known]) -> _Known:
        """The node's function of the values that were computed, with the error of saying so."""
        source = [known[name] for name in node.inputs]
        x = source[0]
        match node:
            case Affine() | Linear() | Mean():
                return self.maps[node.name](x)
            case Silu() | Sigmoid():
                name = "silu" if isinstance(node, Silu) else "sigmoid"
                true = reference(name, x.value)
                slope = _SLOPE[name]
                return _Known(true.value, true.error + slope * x.error, slope * x.allowance)
            case Gate():
                s = source[1]
                value = x.value * s.value
                off = s.error + s.allowance
                error = np.abs(x.value) * s.error + (np.abs(s.value) + off) * x.error
                allowance = np.abs(x.value) * s.allowance + (np.abs(s.value) + off) * x.allowance
                return _Known(value, (np.abs(value) * _ROUND + error) * _UP + TINY, allowance)
            case Add():
                y = source[1]
                value = x.value + y.value
                error = (np.abs(value) * _ROUND + x.error + y.error) * _UP
                return _Known(value, error, x.allowance + y.allowance)
            case Softmax():
                powers = np.exp(x.value - x.value.max(axis=0))
                value = powers / powers.sum(axis=0)
                # tanh(R / 4) <= R / 4 for differences of logits that are off by R = 2 max |error|
                error, allowance = (np.max(np.abs(v)) / 2 for v in (x.error, x.allowance))
                return _Known(value, (value * 2.0**-40 + error) * _UP + TINY, allowance)
            case _:
                raise AssertionError(node)


class _Map:
    """A linear node in float64, with the error of evaluating it."""

    def __init__(self, node: Affine | Linear | Mean, source: tuple[int, int, int]) -> None:
        self.map = LinearMap(node, source)
        self.bias = self.map.bias.astype(np.float64)[:, None, None, None]
        self.bias_size = np.abs(self.bias)
        if isinstance(node, Linear) and node.bn is not None:
            bn = node.bn
            scale = np.abs(bn.gamma / np.sqrt(bn.variance.astype(np.float64) + bn.epsilon))
            size = (np.abs(node.bias) + np.abs(bn.mean)) * scale + np.abs(bn.beta)
            self.bias_size = size[:, None, None, None]
        self.rate = (math.prod(self.map.weight.shape[1:]) + 16) * _ROUND * _UP

    def __call__(self, x: _Known) -> _Known:
        value = self.map(x.value) + self.bias
        size = self.map(np.abs(x.value), absolute=True) + self.bias_size
        error = size * self.rate + self._carried(x.error) + TINY
        return _Known(value, error * _UP, self._carried(x.allowance))

    def _carried(self, error: Float64Array | float) -> Float64Array | float:
        return self.map(error, absolute=True) if isinstance(error, np.ndarray) else error


def _columns(values: ByteArray | Float32Array) -> Float64Array:
    """(N, C, H, W) to (C, H, W, N) in float64, exactly."""
    return np.ascontiguousarray(values.transpose(1, 2, 3, 0), dtype=np.float64)


def _real(x: Fix) -> Float64Array:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)
