"""Nodes whose every unit depends on one pixel: what an execution computes, for each of its bytes.

A table holds, for every channel, an interval for each byte, and one (column 256) for units that
read padding only; None where nothing is. An interval holds whatever an allowed execution returns.
Each operation returns a binary32 number, or one of a wider format within 2^-50 |t|, and tensors are
stored in binary32 (the assumption ``binary32-values``); so an interval shrinks to the first and the
last binary32 number in it. If at a node through which every path from the image leads
the intervals of the bytes 2k and 2k + 1 are one and the same number, then two images that differ in
a last bit have bit-identical tensors there, and the same program returns the same probabilities
(the assumption ``deterministic``).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from lastbit_check.network import Node, Shape
from lastbit_check.verdict import Rejected, require

GRID = 320  # numbers here are integers in units of 2^-320, and what is not is rounded outwards
SLACK = 64 << GRID - 126  # as in layer_underflow: a rounding, and what was flushed before it
ROUNDOFF, WIDE, STRAIGHT_ERROR = 24, 50, 28  # u, a wider format's, forward.ERROR_AT_ZERO: 2^-n
STRAIGHT = 1 << GRID - 27  # forward.AT_ZERO
BYTES, PADDING = 256, 256

Interval = tuple[int, int]
Row = list[Interval | None]


def tables(nodes: list[Node]) -> Iterator[tuple[Node, list[Row]]]:
    """Every node whose units depend on a pixel each, with its table by channel, in file order."""
    found: dict[str, list[Row]] = {}
    for node in nodes:
        table = None
        if node.op == "input":
            values = [(v << GRID, v << GRID) for v in range(BYTES)]
            table = [[*values, None] for _ in range(node.shape[0])]
        elif node.inputs[0] in found:
            x, shape = found[node.inputs[0]], _shape(nodes, node.inputs[0])
            table = {"affine": _affine, "silu": _silu}.get(node.op, _one_tap)(node, x, shape)
        if table:
            found[node.name] = table
            yield node, table


def _shape(nodes: list[Node], name: str) -> Shape:
    return next(node.shape for node in nodes if node.name == name)


def _affine(node: Node, x: list[Row], _: object) -> list[Row]:
    assert node.constant is not None
    one, none, table = _number(1.0), _number(0.0), list[Row]()
    for row, c in zip(x, node.constant.tolist(), strict=True):
        if node.kind in ("add", "sub"):
            table.append(_row(row, one, _number(c if node.kind == "add" else -c)))
            continue
        inverse = Fraction(2) ** GRID / Fraction(c)
        w = (inverse.__floor__(), inverse.__ceil__()) if node.kind == "div" else _number(c)
        table.append(_row(row, w, none))
    return table


def _one_tap(node: Node, x: list[Row], source: Shape) -> list[Row] | None:
    """A convolution without batch norm whose every channel has one weight that is not 0."""
    w = node.weights
    if node.op != "linear" or w is None or w.bn is not None:
        return None
    if np.any(np.count_nonzero(w.weight, axis=(1, 2, 3)) != 1):
        return None
    known: dict[tuple[int, float, float, bool], Row] = {}
    table: list[Row] = []
    for out, (kernel, b) in enumerate(zip(w.weight, w.bias.tolist(), strict=True)):
        i, down, across = (int(v) for v in np.argwhere(kernel)[0])
        i, padded = (
            i + out * w.groups // len(w.weight) * len(kernel),
            _padded(node, source, down, 1),
        )
        padded = padded or _padded(node, source, across, 2)
        key = i, float(kernel[kernel != 0][0]), b, padded
        if key not in known:
            row = list(x[i])
            row[PADDING] = _hull(row[PADDING], _number(0.0)) if padded else row[PADDING]
            known[key] = _row(row, _number(key[1]), _number(b))
        table.append(known[key])
    return table


def _padded(node: Node, source: Shape, at: int, axis: int) -> bool:
    """Whether a tap ever lies beside the image along the axis (1 down, 2 across)."""
    assert node.weights is not None
    stride, before = node.weights.strides[axis - 1], node.weights.pads[axis - 1]
    return at < before or at - before + stride * (node.shape[axis] - 1) >= source[axis]


def _number(x: float) -> Interval:
    n = int(Fraction(x) * 2**GRID)  # exact: binary32 numbers are multiples of 2^-149
    return n, n


def _hull(a: Interval | None, b: Interval) -> Interval:
    return b if a is None else (min(a[0], b[0]), max(a[1], b[1]))


def _row(row: Row, w: Interval, b: Interval) -> Row:
    """w x + b, in any order, fused or not; a quotient may be a product with a rounded inverse."""
    return [x and _scaled(w, b, x) for x in row]


def _scaled(w: Interval, b: Interval, x: Interval) -> Interval:
    products = [p * q for p in w for q in x]
    tiny = SLACK * (1 + (max(map(abs, (*w, *x))) >> GRID) + 1)
    t = _computed((min(products) >> GRID, -(-max(products) >> GRID)), tiny)
    t = _computed(t, tiny)
    return _stored(_computed((t[0] + b[0], t[1] + b[1]), tiny))


def _silu(_: Node, x: list[Row], __: object) -> list[Row] | None:
    """0 <= silu(z) - z/2 <= z^2/4, computed within u|z|/16 where |z| <= 2^-27; else no table."""
    reach = max(abs(v) for row in x for z in row if z for v in z)
    bend = -(-reach * reach >> GRID + 2)
    if reach > STRAIGHT:
        return None
    distinct = {id(row): row for row in x}
    known = {name: [z and _halved(z, bend) for z in row] for name, row in distinct.items()}
    return [known[id(row)] for row in x]


def _halved(z: Interval, bend: int) -> Interval:
    error = (max(map(abs, z)) >> STRAIGHT_ERROR) + 1 + SLACK
    return _stored(((z[0] >> 1) - error, -(-z[1] >> 1) + bend + error))


def _computed(t: Interval, tiny: int) -> Interval:
    """What an operation returns: binary32 numbers within u|t|, or any within 2^-50 |t|."""
    return _hull(_stored(_rounded(t, ROUNDOFF, tiny)), _rounded(t, WIDE, tiny))


def _rounded(t: Interval, bits: int, tiny: int) -> Interval:
    """All r with |r - t| <= 2^-bits |t| + tiny for some t: both ends increase with t."""
    low, high = ((abs(v) >> bits) + 1 + tiny for v in t)
    return t[0] - low, t[1] + high


def _stored(t: Interval) -> Interval:
    """From the first to the last binary32 number in the interval, which holds one."""
    units = [1 << max(abs(v).bit_length() - 24, GRID - 149) for v in t]
    low, high = -(-t[0] // units[0]) * units[0], t[1] // units[1] * units[1]
    require(low <= high, "absorb.table", "no binary32 number where one is computed")
    return low, high


def _single(values: Interval | None) -> bool:
    return values is not None and values[0] == values[1]


def absorbs(nodes: list[Node], name: str) -> None:
    """Rules absorb.*: the node tells no last bit, and no path from the image goes around it."""
    table = next((table for node, table in tables(nodes) if node.name == name), None)
    if table is None:
        raise Rejected("absorb.table", "its units depend on more than one pixel", name)
    for channel, row in enumerate(table):
        told = [k for k in range(0, BYTES, 2) if not _single(row[k]) or row[k] != row[k + 1]]
        require(not told, "absorb.bytes", f"channel {channel} tells the last bit of {told}", name)
        right = row[PADDING] is None or _single(row[PADDING])
        require(right, "absorb.bytes", "beside the image it is not one number", name)
    reached = {nodes[0].name}
    for node in nodes[1:]:
        if node.name != name and reached.intersection(node.inputs):
            reached.add(node.name)
    require(nodes[-1].name not in reached, "absorb.around", "a path leads around the node", name)
