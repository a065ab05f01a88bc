"""The walk: how far any execution of any image may be from one reference, node by node.

The reference is what float64 makes of the middle of the inputs' box: numbers v, each node's within
``off`` of what it makes of those before. An execution's value x is its node's function of what it
read, and a rounding; so x - v goes on by a step, and both are added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.binary64 import F64, real, upper
from lastbit_check.around.linear import Prepared, prepared
from lastbit_check.around.near import Near
from lastbit_check.around.slopes import other, reads
from lastbit_check.around.steps import sum_of
from lastbit_check.around.walk import FIRST
from lastbit_check.derive import reach
from lastbit_check.network import Network, Node
from lastbit_check.norms import roundings
from lastbit_check.norms.products import by_channel, by_factor, choosing, scaling
from lastbit_check.norms.ranges import range_of, value_between
from lastbit_check.norms.sizes import Size, of_units
from lastbit_check.norms.steps import BEYOND, Step, bending, through
from lastbit_check.operators.curves import curve_of
from lastbit_check.operators.forms import Value, operands
from lastbit_check.operators.kinds import Setting
from lastbit_check.question import Question
from lastbit_check.verdict import at


@dataclass(frozen=True)
class Followed:
    """By node: ``values``, the ``reference``, how far values are ``away`` from it, roundings.

    ``steps`` are those of two executions; ``masks`` say what each cell reaches.
    """

    prepared: Prepared
    question: Question
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    reference: dict[str, F64] = field(default_factory=dict[str, F64])
    away: dict[str, Size] = field(default_factory=dict[str, Size])
    noise: dict[str, Size] = field(default_factory=dict[str, Size])
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    masks: dict[str, reach.Reach] = field(default_factory=dict[str, reach.Reach])

    @property
    def network(self) -> Network:
        return self.prepared.network


def follow(network: Network, question: Question) -> Followed:
    """All nodes but softmax. Raises Rejected where a rule of ranges fails (finite.values, ...)."""
    found = Followed(prepared(network), question)
    _input(found, network.input)
    for node in network.computed[1:]:
        with at(node.name):
            _node(found, node)
    return found


def _input(found: Followed, node: Node) -> None:
    low, high = (end.ravel() for end in found.question.whole(node.shape))
    middle = low + (high - low) / 2
    far = upper(np.maximum(high - middle, middle - low))
    found.values[node.name] = replace(found.question.image(node.shape), before=FIRST)
    found.reference[node.name] = middle
    found.away[node.name] = of_units(far[:, None], node.shape)
    found.noise[node.name] = of_units(0 * far[:, None], node.shape)
    found.masks[node.name] = reach.from_input(node, found.question)


def _node(found: Followed, node: Node) -> None:
    known, sources = found.prepared, operands(node, found.values)
    curve = curve_of(known.kind(node), node)
    setting = replace(known.settings[node.name], boxed=curve is not None)
    none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
    made = known.kind(node).value(setting, sources, none)
    near = {name: _still(found.reference[name]) for name in node.inputs}
    sums = known.sums.get(node.name)
    at_reference = other(node, known, near) if sums is None else sum_of(sums, near)
    value, off = at_reference.value, of_units(upper(at_reference.off)[:, None], node.shape)
    of_reference, step = _steps(found, node, sources)
    exact = of_reference.carried([found.away[name] for name in node.inputs]).plus(off)
    each = np.broadcast_to(real(made.noise), (*node.shape, 1)).reshape(-1, 1)
    noise = of_units(each, node.shape)
    more = _rounded(found, node, setting, sources, (value, exact))
    noise = noise if more is None else noise.within(more)
    away = exact.plus(noise)
    low, high = range_of(made, value, away.units[:, 0])
    far = upper(np.maximum(high - value, value - low))
    away = away.within(of_units(far[:, None], node.shape))
    found.steps[node.name], found.reference[node.name] = step, value
    found.away[node.name], found.noise[node.name] = away, noise
    found.values[node.name] = value_between(node, low, high, made)
    before = [found.masks[name] for name in node.inputs]
    found.masks[node.name] = reach.reached(setting, sources, before)


def _steps(found: Followed, node: Node, sources: list[Value]) -> tuple[Step, Step]:
    """From the reference to an execution, and from one execution to another."""
    known, setting = found.prepared, found.prepared.settings[node.name]
    if node.name in known.sums:
        step = through(node, setting, known.sums[node.name])
        return step, step
    curve, index = curve_of(known.kind(node), node), reads(node, known)
    if curve is not None:
        step = bending(node, curve, sources[0], index[0])
        return replace(step, beyond=BEYOND.get(node.op, math.inf)), step
    if setting.taps is not None:
        step = choosing(node, setting.taps, index[0])
        return step, step
    (x, s), (i, j) = node.inputs, index
    v, away, factors = found.reference[x][i], found.away[x], len(found.reference[s])
    low, high = (real(end).ravel()[j] for end in found.values[s].interval)
    far, alone = away.units[i, 0], by_factor(v, j, factors)
    more = far + (np.abs(v) + far) * 2.0**-50
    ends = v - more, v + more
    read = away.seen((node.views or (None,))[0])
    of_read = read.channels[:, 0] if by_channel(node, j) else read.total
    every = by_factor(upper(np.abs(v) + far), j, factors)
    together, of_s = np.minimum(every, upper(alone + of_read)), (low, high)
    return (scaling(node, (i, j), (v, v), of_s, alone),
            scaling(node, (i, j), ends, of_s, together))  # fmt: skip


def _rounded(
    found: Followed, node: Node, setting: Setting, sources: list[Value], whole: tuple[F64, Size]
) -> Size | None:
    away = [found.away[name] for name in node.inputs]
    references = [found.reference[name] for name in node.inputs]
    sums, curve = found.prepared.sums.get(node.name), curve_of(found.prepared.kind(node), node)
    if sums is not None:
        return roundings.of_sum(setting, sums, sources, references, away, whole)
    if curve is not None:
        return roundings.of_curve(curve, node, references[0], away[0])
    if setting.taps is not None:
        return None
    x = references[0][reads(node, found.prepared)[0]]
    return roundings.of_product(node, sources, x, away[0].seen((node.views or (None,))[0]))


def _still(value: F64) -> Near:
    """A number that is known, and nothing near it."""
    return Near(value, np.zeros((len(value), 0)), {}, 0 * value, 0 * value)
