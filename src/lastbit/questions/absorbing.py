"""Is there a layer that no last bit gets through? Then the answer is exactly 0.

The checker's byte tables end where something else than a sum of one term is read; here they go on
through a SiLU near 0. That sharpens the drift bound, and no certificate rests on it.
"""

from collections.abc import Iterator
from functools import cache

from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.check import network_in
from lastbit_check.network import Network, Node, Shape
from lastbit_check.operators.curves import AT_ZERO, ERROR_AT_ZERO
from lastbit_check.question import LAST_BIT, Question
from lastbit_check.refine.byte_tables import (
    GRID,
    RULES,
    SLACK,
    Row,
    absorbs,
    stored,
    tables as shortest,
)
from lastbit_check.verdict import Rejected

STRAIGHT_ERROR = UNIT * ERROR_AT_ZERO
STRAIGHT = int(AT_ZERO * 2**GRID)


def tables(network: Network) -> Iterator[tuple[Node, list[Row]]]:
    """Every node whose units depend on a pixel each, with its table by unit, in file order."""
    return shortest(network, {**RULES, "silu": _silu})


def _silu(_: Node, x: list[Row], __: Shape) -> list[Row]:
    """0 <= silu(z) - z/2 <= z^2/4, computed within u|z|/16 where |z| <= 2^-27; else no table."""
    reach = max(abs(v) for row in {*x} for z in row for v in z)
    return [_halved(row, reach) for row in x] if reach <= STRAIGHT else []


@cache
def _halved(row: Row, reach: int) -> Row:
    error, bend = int(reach * STRAIGHT_ERROR) + 1 + SLACK, -(-reach * reach >> GRID + 2)
    return tuple(stored(((a >> 1) - error, -(-b >> 1) + bend + error)) for a, b in row)


def absorbed_node(model: bytes, question: Question = LAST_BIT) -> str:
    """The first node of an ONNX file at which the checker finds all last bits gone; "" if none.

    Args:
        model: the bytes of the file.
        question: what its inputs are.

    Raises:
        lastbit_check.verdict.Rejected, lastbit_check.verdict.Unreadable: the file is not covered.
    """
    network = network_in(model, question)
    for node, _ in shortest(network):
        try:
            absorbs(network, question, node.name)
        except Rejected:
            continue
        return node.name
    return ""
