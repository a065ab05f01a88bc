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
from lastbit.graph.inputs import between
from lastbit.graph.network import Network
from lastbit.operators import Add, BatchNorm, Curve, Linear, Silu
from lastbit.operators.base import Box, Float64Array, box_seen, seen
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


def plan(network: Network, *, samples: int = 16, seed: int = 0, based: bool = True) -> Plan:
    """Choose a plan from a few executions on random bytes and from boxes of the first layers.

    If it is not ``based``, no node keeps how it depends on others: that takes the least memory.
    """
    peaks = _sampled(network, samples, seed)
    curved = [n for n in network if isinstance(n, Curve)]
    small = {n.name for n in curved if peaks[n.x][0] <= NEARLY_STRAIGHT}
    straight = small - {n.name for n in curved if n.bends_at_zero}
    names = [n.name for n in network]
    silus = [n for n in curved if isinstance(n, Silu)]
    bent = [n.name for n in silus if n.shape[1] * n.shape[2] > 1 and n.name not in straight]
    start = names.index(bent[0]) if bent else 0
    later = (names.index(n.name) for n in silus if n.name in straight)
    first = min((k for k in later if k > start), default=0) if based else 0
    bases = [name for name in bent if names.index(name) < first]
    base = bases[-1] if bases else network.nodes[0].name if first else ""
    boxes = {n.name for n in curved if n.name not in straight}
    if not base:
        boxes |= {n.name for n in curved}
    boxed, means = _boxes(network), {name: mean for name, (_, mean) in peaks.items()}
    slopes: dict[str, Float64Array] = {}
    for node in network.nodes[1:]:
        line = node.name in straight and bool(base)
        mean = node.operands(means, seen)[-1]
        mean = mean.reshape(len(mean), -1).mean(axis=1)
        slope = node.slope(node.operands(boxed, box_seen)[0], mean, straight=line)
        if slope is not None:
            slopes[node.name] = slope
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
    layers = [n for n in later if isinstance(n, Linear) and n.weight.shape[2:] == (1, 1)]
    wide = [n for n in layers if n.shape[0] >= shapes[n.x][0]]
    sums = {n.name for n in network if isinstance(n, Linear | BatchNorm | Add)}
    return frozenset({first, *(n.x for n in wide if n.x in sums)})


def _sampled(network: Network, samples: int, seed: int) -> dict[str, tuple[float, Float64Array]]:
    """Per node the largest magnitude, and the mean of each unit, over random images."""
    rng = np.random.default_rng(seed)
    peaks: dict[str, float] = {}
    sums: dict[str, Float64Array] = {}
    for k in range(samples):
        density = (k + 1) / samples
        image = rng.integers(0, 256, network.input_shape) * (
            rng.random(network.input_shape) < density
        )
        _, values = execute_float64(network, between(image, network.question))
        for name, value in values.items():
            peaks[name] = max(peaks.get(name, 0.0), float(np.max(np.abs(value))))
            sums[name] = sums.get(name, 0.0) + value / samples
    return {name: (peaks[name], sums[name]) for name in peaks}


def _boxes(network: Network) -> dict[str, Box]:
    """Interval by interval: lower and upper bounds (C, H, W), wide after a few layers."""
    found: dict[str, Box] = {}
    for node in network:
        found[node.name] = node.box(*node.operands(found, box_seen))
    return found
