"""Is there a layer that no last bit gets through? Then the answer is exactly 0.

The checker's byte tables end where something else than a sum of one term is read; here they go on
through a SiLU near 0. That sharpens the drift bound, and no certificate rests on it.
"""

from collections.abc import Iterator
from functools import cache

from lastbit_check.bytes import GRID, RULES, SLACK, Row, absorbs, stored, tables as shortest
from lastbit_check.network import Node, Shape, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected

STRAIGHT_ERROR = 28  # forward.ERROR_AT_ZERO, 2^-28
STRAIGHT = 1 << GRID - 27  # forward.AT_ZERO


def tables(nodes: list[Node]) -> Iterator[tuple[Node, list[Row]]]:
    """Every node whose units depend on a pixel each, with its table by unit, in file order."""
    return shortest(nodes, {**RULES, "silu": _silu})


def _silu(_: Node, x: list[Row], __: Shape) -> list[Row]:
    """0 <= silu(z) - z/2 <= z^2/4, computed within u|z|/16 where |z| <= 2^-27; else no table."""
    reach = max(abs(v) for row in {*x} for z in row for v in z)
    return [_halved(row, reach) for row in x] if reach <= STRAIGHT else []


@cache
def _halved(row: Row, reach: int) -> Row:
    error, bend = (reach >> STRAIGHT_ERROR) + 1 + SLACK, -(-reach * reach >> GRID + 2)
    return tuple(stored(((a >> 1) - error, -(-b >> 1) + bend + error)) for a, b in row)


def absorbed_node(model: bytes) -> str:
    """The first node of an ONNX file at which the checker finds all last bits gone; "" if none.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered.
    """
    nodes = normal_form(read(model))
    for node, _ in shortest(nodes):
        try:
            absorbs(nodes, node.name)
        except Rejected:
            continue
        return node.name
    return ""
