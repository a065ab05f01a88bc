"""Nodes whose every unit depends on one pixel: what an execution computes, for each of its bytes.

A table holds, for every unit, an interval for each byte of the pixel that it depends on; a unit
that reads padding only has the same one for all. An interval holds whatever an allowed execution
returns. Each operation returns a binary32 number, or one of a wider format within 2^-50 |t|, and
tensors are stored in binary32 (the assumption ``binary32-values``); so an interval shrinks to the
first and the last binary32 number in it. If at a node through which every path from the image leads
the intervals of the bytes between which a place moves (2k and 2k + 1, where it is the last bit) are
one and the same number, then the two images of a pair have bit-identical tensors there, and the
same program returns the same probabilities (the assumption ``deterministic``).

Map: byte-tables <- absorbed, no_last_bit, binary32-values, deterministic; argued in PROOF.md 5
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache

import numpy as np

from lastbit_check.arithmetic.binary32 import ETA_BITS, UNIT_BITS, power_of_two
from lastbit_check.network import Constant, Network, Node, Part, Shape, growth
from lastbit_check.operators.patterns import products
from lastbit_check.question import BYTES, Question
from lastbit_check.verdict import Rejected, require

GRID = 320  # numbers here are integers in units of 2^-320, and what is not is rounded outwards
SLACK = 64 << GRID - ETA_BITS  # as in sum_underflow: a rounding, and what was flushed before it
WIDE_BITS = 50  # a rounding in a wider format: 2^-50

Interval = tuple[int, int]
Row = tuple[Interval, ...]
Rule = Callable[[Node, list[Row], Shape], list[Row]]


def _one_tap(node: Node, x: list[Row], source: Shape) -> list[Row]:
    """A sum without batch norm whose every unit has one product, or none, and one constant."""
    what = node.sum
    if what is None or len(what.parts) > 1 or len(what.constants) > 1:
        return []
    part, constants = next(iter(what.parts)), what.constants
    made, table = products(part, node.shape, source), list[Row]()
    known = all(factor.known for factor in part.factors)
    if not known or np.any(np.diff(made.indptr) > 1):
        return []
    nothing: Row = ((0, 0),) * BYTES
    for unit, (start, end) in enumerate(itertools.pairwise(made.indptr.tolist())):
        channel = unit // math.prod(node.shape[1:])
        row = x[int(made.indices[start])] if start < end else nothing
        w = _weight(part, channel, part.weight.item(made.data[start]) if start < end else 0.0)
        b = _constant(constants[0], unit, channel) if constants else None
        grows = math.ceil(growth((*part.factors, *part.moved)))
        grows *= math.ceil(growth(constants[0].factors)) if constants else 1
        table.append(_scaled(row, w, b, grows, not node.trailing))
    return table


Weight = tuple[Fraction, int]  # a number, and how often what is made with it may round


def _weight(part: Part, channel: int, weight: float) -> Weight:
    w = Fraction(weight)
    rounds = int(w != 0 and not power_of_two(w))
    rounds += sum(int(np.max(factor.roundings)) for factor in part.moved)
    for factor in part.factors:
        w, rounds = w * factor.value[channel], rounds + int(factor.roundings[channel])
    return w, rounds


def _constant(constant: Constant, unit: int, channel: int) -> Weight:
    b = Fraction(constant.value.item(unit if constant.value.ndim == 3 else channel))
    rounds = 0
    for factor in constant.factors:
        b, rounds = b * factor.value[channel], rounds + int(factor.roundings[channel])
    return b, rounds


@cache
def _scaled(row: Row, w: Weight, b: Weight | None, grows: int, last: bool) -> Row:
    """w x + b, in any order, fused or not.

    ``last``: what is returned is stored; else factors of it may be applied elsewhere.
    """
    around = _number(w[0])

    def value(x: Interval) -> Interval:
        ends = [p * q for p in around for q in x]
        sizes = map(abs, (*around, *x, *(_number(b[0]) if b else ())))
        tiny = SLACK * grows * (2 + (max(sizes) >> GRID))
        t = _often(w[1], (min(ends) >> GRID, -(-max(ends) >> GRID)), tiny)
        if b:
            shift = _often(b[1], _number(b[0]), tiny)
            t = _computed((t[0] + shift[0], t[1] + shift[1]), tiny)
        return stored(t) if last else t

    return tuple(map(value, row))


def _number(x: Fraction) -> Interval:
    n = x * 2**GRID  # a whole number for those of binary32: they are multiples of 2^-149
    return math.floor(n), math.ceil(n)


def _often(count: int, t: Interval, tiny: int) -> Interval:
    """Rounded so often, or less."""
    low, high = t[0] - tiny, t[1] + tiny
    for _ in range(count):
        low, high = _rounded((low, high), UNIT_BITS, tiny)
    return low, high


def _computed(t: Interval, tiny: int) -> Interval:
    """What an operation returns: binary32 numbers within u|t|, or any within 2^-50 |t|."""
    a, b = stored(_rounded(t, UNIT_BITS, tiny)), _rounded(t, WIDE_BITS, tiny)
    return min(a[0], b[0]), max(a[1], b[1])


def _rounded(t: Interval, bits: int, tiny: int) -> Interval:
    """All r with |r - t| <= 2^-bits |t| + tiny for some t: both ends increase with t."""
    low, high = ((abs(v) >> bits) + 1 + tiny for v in t)
    return t[0] - low, t[1] + high


def stored(t: Interval) -> Interval:
    """From the first to the last binary32 number in the interval, which holds one."""
    units = [1 << max(abs(v).bit_length() - 24, GRID - 149) for v in t]
    low, high = -(-t[0] // units[0]) * units[0], t[1] // units[1] * units[1]
    require(low <= high, "absorb.table", "no binary32 number where one is computed")
    return low, high


RULES: dict[str, Rule] = {"sum": _one_tap}


def tables(network: Network, rules: Mapping[str, Rule] = RULES) -> Iterator[tuple[Node, list[Row]]]:
    """Every node whose units depend on a place each, with its table by unit, in file order."""
    byte: Row = tuple((v << GRID, v << GRID) for v in range(BYTES))
    found, shapes = dict[str, list[Row]](), {node.name: node.shape for node in network.nodes}
    for node in network.nodes:
        table = [byte] * math.prod(node.shape) if node.op == "input" else []
        if node.op in rules and {*node.inputs} <= found.keys():
            table = rules[node.op](node, found[node.inputs[0]], shapes[node.inputs[0]])
        if table:
            found[node.name] = table
            yield node, table


def absorbs(network: Network, question: Question, name: str) -> None:
    """Rules absorb.*: the node tells no move, and no path from the input goes around it."""
    found = ((node, table) for node, table in tables(network) if node.name == name)
    node, table = next(found, (network.input, list[Row]()))
    if not table:
        raise Rejected("absorb.table", "its units depend on more than one place", name)
    require(not question.box, "absorb.bytes", "the inputs are no bytes", name)
    require(not node.trailing, "absorb.factor", "its last factor may be applied elsewhere", name)
    for row in {*table}:
        told = [k for k, j in question.pairs if row[k] != row[j] or row[k][0] != row[k][1]]
        require(not told, "absorb.bytes", f"a unit tells a move of {told}", name)
    reached = {network.input.name}
    for node in network.nodes[1:]:
        if node.name != name and reached.intersection(node.inputs):
            reached.add(node.name)
    around = network.nodes[-1].name in reached
    require(not around, "absorb.around", "a path leads around the node", name)
