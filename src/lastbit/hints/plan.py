"""How a network is to be bounded: which nodes keep their linear core, and with which slopes.

A SiLU or sigmoid that stays close to a line is kept as that line in the ranges (it depends on the
bases through it); one that bends is boxed. The first base is the last bending SiLU over pixels
before the first straight one that comes after any; the image, if none bends. All of this is a hint:
a bad plan costs tightness only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lastbit.float32.executor import execute_float64
from lastbit.graph.network import (
    Add,
    Affine,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Sigmoid,
    Silu,
    Softmax,
)
from lastbit.hints.linear import Float64Array, LinearMap
from lastbit_check.certificate import MOST_SLOPE_BITS, SLOPE_BITS, Hints

NEARLY_STRAIGHT = 2.0**-5
"""Largest |z| on sampled images up to which a SiLU or a sigmoid counts as straight."""


STEEPEST = 30
"""Numbers of slopes stay below 2^53; a factor that is larger has none, and is far from any line."""


@dataclass(frozen=True)
class Plan:
    """Hints on ranges and cores.

    Attributes:
        slopes: node name -> slope of the linear core per channel (C,), for silu, sigmoid, gate
            (a gate's slope is its constant factor).
        boxes: names of the nodes whose dependence on the base is forgotten.
        bases: names of the nodes whose box is carried on column by column.
    """

    slopes: dict[str, Float64Array]
    boxes: frozenset[str]
    bases: frozenset[str]


def plan(network: Network, *, samples: int = 16, seed: int = 0) -> Plan:
    """Choose a plan from a few executions on random bytes and from boxes of the first layers."""
    peaks = _sampled(network, samples, seed)
    curved = [n for n in network if isinstance(n, Silu | Sigmoid)]
    straight = {n.name for n in curved if peaks[n.x][0] <= NEARLY_STRAIGHT}
    names = [n.name for n in network]
    silus = [n for n in curved if isinstance(n, Silu)]
    bent = [n.name for n in silus if n.shape[1] * n.shape[2] > 1 and n.name not in straight]
    start = names.index(bent[0]) if bent else 0
    later = (names.index(n.name) for n in silus if n.name in straight)
    first = min((k for k in later if k > start), default=0)
    bases = [name for name in bent if names.index(name) < first]
    base = bases[-1] if bases else network.nodes[0].name if first else ""
    boxes = {n.name for n in curved if n.name not in straight}
    if not base:
        boxes |= {n.name for n in curved}
    boxed = _boxes(network)
    slopes: dict[str, Float64Array] = {}
    for node in network:
        match node:
            case Silu() if node.name in straight and base:
                slopes[node.name] = np.full(node.shape[0], 0.5)
            case Silu():
                slopes[node.name] = _middle_slope(*boxed[node.x])
            case Sigmoid():
                slopes[node.name] = np.full(node.shape[0], 0.25)
            case Gate():
                slopes[node.name] = peaks[node.s][1]
            case _:
                pass
    return Plan(slopes, frozenset(boxes), _bases(network, base))


def hints_for(network: Network, chosen: Plan | None = None) -> Hints:
    """The hints for a network (choosing a plan if none is given), as the checker reads them."""
    chosen = chosen or plan(network)
    slopes = {name: _numbers(m) for name, m in chosen.slopes.items()}
    return Hints(slopes, chosen.boxes, chosen.bases)


def _numbers(slopes: Float64Array) -> list[int]:
    """In units of 2^-SLOPE_BITS, and of a power of two that leaves MOST_SLOPE_BITS bits."""
    largest = float(np.max(np.abs(slopes), initial=0.0))
    coarser = max(0, math.frexp(largest)[1] + SLOPE_BITS - MOST_SLOPE_BITS + 1)
    if coarser > STEEPEST:
        return [0] * len(slopes)
    scaled = np.rint(np.ldexp(slopes, SLOPE_BITS - coarser))
    return [int(n) << coarser for n in scaled]


def _bases(network: Network, first: str) -> frozenset[str]:
    """The first base, and after it every sum or projection that a layer as wide or wider reads.

    There the errors that have gathered start again as columns.
    """
    if not first:
        return frozenset()
    names = [n.name for n in network]
    later = network.nodes[names.index(first) + 1 :]
    shapes = {n.name: n.shape for n in network}
    wide = [n for n in later if isinstance(n, Linear) and n.shape[0] >= shapes[n.x][0]]
    pointwise = [n for n in wide if n.weight.shape[2:] == (1, 1)]
    return frozenset({first, *(n.x for n in pointwise if isinstance(network[n.x], Linear | Add))})


def _sampled(network: Network, samples: int, seed: int) -> dict[str, tuple[float, Float64Array]]:
    """Per node the largest magnitude and the mean per channel over random images of bytes."""
    rng = np.random.default_rng(seed)
    peaks: dict[str, float] = {}
    sums: dict[str, Float64Array] = {}
    for k in range(samples):
        density = (k + 1) / samples
        image = rng.integers(0, 256, network.input_shape) * (
            rng.random(network.input_shape) < density
        )
        _, values = execute_float64(network, image.astype(np.uint8))
        for name, value in values.items():
            peaks[name] = max(peaks.get(name, 0.0), float(np.max(np.abs(value))))
            mean = value.reshape(value.shape[0], -1).mean(axis=1) / samples
            sums[name] = sums.get(name, 0.0) + mean
    return {name: (peaks[name], sums[name]) for name in peaks}


def _boxes(network: Network) -> dict[str, tuple[Float64Array, Float64Array]]:
    """Interval by interval, per channel: lower and upper bounds (C,), wide after a few layers."""
    found: dict[str, tuple[Float64Array, Float64Array]] = {}
    shapes = {node.name: node.shape for node in network}
    for node in network:
        match node:
            case Input():
                low, high = np.zeros(node.shape), np.full(node.shape, 255.0)
            case Affine() | Linear() | Mean():
                low, high = _linear_box(LinearMap(node, shapes[node.x]), *found[node.x])
            case Silu():
                low, high = _silu_box(*found[node.x])
            case Sigmoid():
                low, high = np.zeros(node.shape), np.ones(node.shape)
            case Gate():
                low, high = (np.minimum(found[node.x][0], 0.0), np.maximum(found[node.x][1], 0.0))
            case Add():
                low = found[node.x][0] + found[node.y][0]
                high = found[node.x][1] + found[node.y][1]
            case Softmax():
                continue
        found[node.name] = (low, high)
    return found


def _linear_box(
    layer: LinearMap, low: Float64Array, high: Float64Array
) -> tuple[Float64Array, Float64Array]:
    centre = layer(((low + high) / 2)[..., None])[..., 0] + layer.bias[:, None, None]
    radius = layer(((high - low) / 2)[..., None], absolute=True)[..., 0]
    return centre - radius, centre + radius


def silu(z: Float64Array) -> Float64Array:
    """z / (1 + exp(-z)), without overflow."""
    return z * 0.5 * (1.0 + np.tanh(z / 2))


def silu_slope(z: Float64Array) -> Float64Array:
    """The derivative of silu."""
    s = 0.5 * (1.0 + np.tanh(z / 2))
    return s * (1.0 + z * (1.0 - s))


def _silu_box(low: Float64Array, high: Float64Array) -> tuple[Float64Array, Float64Array]:
    least = np.minimum(silu(low), silu(high))
    return (np.where((low < -1.2785) & (high > -1.2784), -0.27847, least),
            np.maximum(silu(low), silu(high)))  # fmt: skip


def _middle_slope(low: Float64Array, high: Float64Array) -> Float64Array:
    """Per channel the middle of the slopes of silu over the channel's box (C,)."""
    lo, hi = low.min(axis=(1, 2)), high.max(axis=(1, 2))
    points = lo + (hi - lo) * np.linspace(0.0, 1.0, 513)[:, None]
    slopes = silu_slope(points)
    least, most = slopes.min(axis=0), slopes.max(axis=0)
    least = np.where((lo < -2.4) & (hi > -2.4), -0.09984, least)
    most = np.where((lo < 2.4) & (hi > 2.4), 1.09984, most)
    return (least + most) / 2
