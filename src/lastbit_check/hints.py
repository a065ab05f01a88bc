"""The certificate's hints: whatever they are, the bound that follows from them holds.

A certificate is a JSON manifest and, beside it, a safetensors blob. From the blob:

    slope/NODE  int32 (C,)            slope of the linear core of a silu or sigmoid node, or the
                                      constant factor of a gate, in units of 2^-20
    dual/NODE   int32 (classes, C, H, W)   dual vectors, in units of 2^-(manifest duals[NODE])

A node without duals has the dual vector 0; a node without slopes has the core 0.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lastbit_check.exact import ZERO_GRID, Fix
from lastbit_check.network import Node
from lastbit_check.verdict import Unreadable, require

SLOPE_BITS = 20
DUAL_LIMIT = 2**26


@dataclass(frozen=True)
class Hints:
    """Hints as read; ``bases`` and ``coarsen`` name nodes (coarsen may be "")."""

    slopes: dict[str, NDArray[np.int32]]
    duals: dict[str, NDArray[np.int32]]
    exponents: dict[str, int]
    norms: dict[str, float] = field(default_factory=dict[str, float])
    boxes: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()
    coarsen: str = ""
    block: int = 1

    def slope(self, node: Node) -> Fix:
        """The node's core slopes (C, 1, 1, 1)."""
        channels = node.shape[0]
        n = self.slopes.get(node.name, np.zeros(channels, np.int32))
        require(n.shape == (channels,), "hint.slope", f"shape {n.shape}", node.name)
        require(np.all(np.abs(n.astype(np.int64)) <= 2**21), "hint.slope", "too steep", node.name)
        return Fix(n.astype(np.float64).reshape(-1, 1, 1, 1), SLOPE_BITS)

    def boxed(self, node: Node) -> bool:
        """Whether the node's dependence on the bases is forgotten."""
        return node.name in self.boxes

    def dual(self, node: Node, classes: int) -> Fix:
        """The node's dual vectors (C, H, W, classes); the unit vectors at the logits' node."""
        shape = (classes, *node.shape)
        n = self.duals.get(node.name)
        if n is None:
            return Fix(np.zeros((*node.shape, classes)), ZERO_GRID)
        require(n.shape == shape, "hint.dual", f"shape {n.shape}, not {shape}", node.name)
        short = np.all(np.abs(n.astype(np.int64)) <= DUAL_LIMIT)
        require(short, "hint.dual", "too long", node.name)
        e = self.exponents.get(node.name)
        require(e is not None and abs(e) <= 200, "hint.dual", "no exponent", node.name)
        assert e is not None
        return Fix(np.ascontiguousarray(n.astype(np.float64).transpose(1, 2, 3, 0)), e)


def read_safetensors(data: bytes) -> dict[str, NDArray[np.int32]]:
    """The tensors of a safetensors file, all of type I32, without gaps or overlaps."""
    if len(data) < 8:
        raise Unreadable("truncated safetensors file: no header")
    size = int.from_bytes(data[:8], "little")
    if size > len(data) - 8 or size > 2**24:
        raise Unreadable("truncated safetensors file: the header does not fit")
    try:
        header: Any = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not a safetensors file: {error}") from error
    if not isinstance(header, dict):
        raise Unreadable("not a safetensors file: its header is no object")
    body, entries = data[8 + size :], cast("dict[str, Any]", header)
    found: dict[str, NDArray[np.int32]] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        try:
            kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            whole = all(type(d) is int for d in (*shape, start, stop))
            wanted = math.prod(shape) * 4
            inside = 0 <= start <= stop <= len(body)
            right = whole and kind == "I32" and min([0, *shape]) >= 0 and inside
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"not a safetensors file: entry {name!r}: {error!r}") from error
        if not right or stop - start != wanted:
            raise Unreadable(f"not a safetensors file: entry {name!r} does not fit")
        spans.append((start, stop))
        found[name] = np.frombuffer(body[start:stop], "<i4").reshape(shape)
    spans.sort()
    edges = [0, *(stop for _, stop in spans)]
    if [start for start, _ in spans] != edges[:-1] or edges[-1] != len(body):
        raise Unreadable("not a safetensors file: its tensors leave gaps or overlap")
    return found


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose names are distinct."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
