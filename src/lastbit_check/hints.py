"""The certificate's hints: whatever they are, the bound that follows from them holds."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.exact import ZERO_GRID, Fix
from lastbit_check.network import Node
from lastbit_check.verdict import require

SLOPE_BITS = 20
DUAL_LIMIT = 2**26


class Together(NamedTuple):
    """Scales p = ``rows`` and q = ``columns`` 2^-exponent (together.py), for a pair of classes."""

    pair: tuple[int, int]
    nodes: tuple[str, ...]
    exponent: int
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]


@dataclass(frozen=True)
class Hints:
    """Hints as read, by the names of nodes.

    Attributes:
        slopes: int32 (C,), slope of the linear core of a silu or sigmoid node, or the constant
            factor of a gate, in units of 2^-20; 0 if not given.
        duals: int32 (classes, C, H, W), dual vectors, in units of 2^-exponents[node]; 0 if not
            given.
        exponents: of ``duals``.
        norms: claimed operator norms of linear nodes.
        boxes: nodes whose dependence on the bases is forgotten.
        bases: nodes whose error is carried on as columns of its own.
        coarsen: from which node on pixels are taken in blocks; "" for none.
        block: side of such a block.
        together: layers whose roundings are taken together (together.py), by any name.
        absorbed: a node that tells no last bit of any pixel (bytes.py); "" for none.
    """

    slopes: dict[str, NDArray[np.int32]]
    duals: dict[str, NDArray[np.int32]]
    exponents: dict[str, int]
    norms: dict[str, float] = field(default_factory=dict[str, float])
    boxes: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()
    coarsen: str = ""
    block: int = 1
    absorbed: str = ""
    together: dict[str, Together] = field(default_factory=dict[str, Together])

    def slope(self, node: Node) -> Fix:
        """The node's core slopes (C, 1, 1, 1)."""
        n = self.slopes.get(node.name, np.zeros(node.shape[0], np.int32))
        require(n.shape == node.shape[:1], "hint.slope", f"shape {n.shape}", node.name)
        require(np.all(np.abs(n.astype(np.int64)) <= 2**21), "hint.slope", "too steep", node.name)
        return Fix(n.astype(np.float64).reshape(-1, 1, 1, 1), SLOPE_BITS)

    def dual(self, node: Node, classes: int) -> Fix:
        """The node's dual vectors (C, H, W, classes)."""
        if node.name not in self.duals:
            return Fix(np.zeros((*node.shape, classes)), ZERO_GRID)
        n, e = self.duals[node.name], self.exponents[node.name]
        require(n.shape == (classes, *node.shape), "hint.dual", f"shape {n.shape}", node.name)
        short = np.all(np.abs(n.astype(np.int64)) <= DUAL_LIMIT)
        require(short and abs(e) <= 200, "hint.dual", "too long, or its exponent", node.name)
        return Fix(np.ascontiguousarray(n.astype(np.float64).transpose(1, 2, 3, 0)), e)
