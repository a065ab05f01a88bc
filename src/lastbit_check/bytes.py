"""Nodes whose every unit depends on one pixel: what an execution computes, for each of its bytes.

A table holds, for every unit, an interval for each byte of the pixel that it depends on; a unit
that reads padding only has the same one for all. An interval holds whatever an allowed execution
returns. Each operation returns a binary32 number, or one of a wider format within 2^-50 |t|, and
tensors are stored in binary32 (the assumption ``binary32-values``); so an interval shrinks to the
first and the last binary32 number in it. If at a node through which every path from the image leads
the intervals of the bytes 2k and 2k + 1 are one and the same number, then two images that differ in
a last bit have bit-identical tensors there, and the same program returns the same probabilities
(the assumption ``deterministic``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache

import numpy as np

from lastbit_check.layers import products
from lastbit_check.network import Node, Shape
from lastbit_check.verdict import Rejected, require

GRID = 320  # numbers here are integers in units of 2^-320, and what is not is rounded outwards
SLACK = 64 << GRID - 126  # as in layer_underflow: a rounding, and what was flushed before it
ROUNDOFF, WIDE = 24, 50  # u, and that of a wider format: 2^-n
BYTES = 256

Interval = tuple[int, int]
Row = tuple[Interval, ...]


def _one_tap(node: Node, x: list[Row], source: Shape) -> list[Row]:
    """A node without batch norm whose every unit has one product, or none."""
    w = node.weights
    assert w is not None
    made, table = products(w, node.shape, source), list[Row]()
    if w.norm.extra > 2 or np.any(np.diff(made.indptr) > 1):
        return []
    nothing: Row = ((0, 0),) * BYTES
    for unit, (start, end) in enumerate(itertools.pairwise(made.indptr.tolist())):
        row = x[int(made.indices[start])] if start < end else nothing
        weight = _number(w.weight.item(made.data[start]) if start < end else 0.0)
        channel = unit // math.prod(node.shape[1:])
        if w.norm.root[channel] != 1:  # the weight is 1; its reciprocal is exact, or rounded first
            inverse = Fraction(2) ** GRID / w.norm.root[channel]
            weight = _rounded((inverse.__floor__(), inverse.__ceil__()), ROUNDOFF, SLACK)
        table.append(_scaled(row, weight, _number(w.bias.item(channel))))
    return table


def _number(x: float) -> Interval:
    n = int(Fraction(x) * 2**GRID)  # exact: binary32 numbers are multiples of 2^-149
    return n, n


@cache
def _scaled(row: Row, w: Interval, b: Interval) -> Row:
    """w x + b, in any order, fused or not."""

    def value(x: Interval) -> Interval:
        ends = [p * q for p in w for q in x]
        tiny = SLACK * (2 + (max(map(abs, (*w, *x))) >> GRID))
        t = _computed((min(ends) >> GRID, -(-max(ends) >> GRID)), tiny)
        return stored(_computed((t[0] + b[0], t[1] + b[1]), tiny))

    return tuple(map(value, row))


def _computed(t: Interval, tiny: int) -> Interval:
    """What an operation returns: binary32 numbers within u|t|, or any within 2^-50 |t|."""
    a, b = stored(_rounded(t, ROUNDOFF, tiny)), _rounded(t, WIDE, tiny)
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


RULES = {"affine": _one_tap, "linear": _one_tap}


def tables(
    nodes: list[Node], rules: Mapping[str, Callable[[Node, list[Row], Shape], list[Row]]] = RULES
) -> Iterator[tuple[Node, list[Row]]]:
    """Every node whose units depend on a pixel each, with its table by unit, in file order."""
    pixel: Row = tuple((v << GRID, v << GRID) for v in range(BYTES))
    found, shapes = dict[str, list[Row]](), {node.name: node.shape for node in nodes}
    for node in nodes:
        table = [pixel] * math.prod(node.shape) if node.op == "input" else []
        if node.op in rules and node.inputs[0] in found:
            table = rules[node.op](node, found[node.inputs[0]], shapes[node.inputs[0]])
        if table:
            found[node.name] = table
            yield node, table


def absorbs(nodes: list[Node], name: str) -> None:
    """Rules absorb.*: the node tells no last bit, and no path from the image goes around it."""
    table = next((table for node, table in tables(nodes) if node.name == name), None)
    if table is None:
        raise Rejected("absorb.table", "its units depend on more than one pixel", name)
    for row in {*table}:
        told = [k for k in range(0, BYTES, 2) if row[k] != row[k + 1] or row[k][0] != row[k][1]]
        require(not told, "absorb.bytes", f"a unit tells the last bit of {told}", name)
    reached = {nodes[0].name}
    for node in nodes[1:]:
        if node.name != name and reached.intersection(node.inputs):
            reached.add(node.name)
    require(nodes[-1].name not in reached, "absorb.around", "a path leads around the node", name)
