"""A network and its hints as Coq literals, for the checker in proofs/checker.

Numbers are integers over 2^100; one that is not on that grid is refused. Units are numbered as
`Expansion.expand` numbers them: tensor after tensor, row by row. The proofs do not trust this file
more than any other: what it writes *is* the network that the theorem speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import ModelError
from lastbit.graph.network import (
    Add,
    Affine,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Node,
    Sigmoid,
    Silu,
    Softmax,
)
from lastbit_check.hints import SLOPE_BITS, Hints

GRID = 100
"""Numbers in Coq are integers over 2^GRID."""


def on_grid(value: float) -> int:
    """The float as an integer over 2^GRID, exactly."""
    n = Fraction(value) * 2**GRID
    if n.denominator != 1:
        raise ModelError(f"{value!r} is not a multiple of 2^-{GRID}: the Coq checker cannot hold it")
    return n.numerator


def literals(network: Network, hints: Hints, bases: Iterable[str] | None = None) -> str:
    """Definitions `layers` and `hints`.

    `bases` names the nodes whose errors are carried on as columns: the input and every curved
    node if it is not given. More of them give smaller bounds, and take longer.
    """
    nodes = network.nodes[:-1]
    curved = (Silu, Sigmoid, Gate)
    chosen = {n.name for n in nodes if isinstance(n, Input | Silu | Sigmoid | Gate)}
    chosen = chosen if bases is None else {*bases}
    number = {node.name: k for k, node in enumerate(nodes)}
    layers = [_layer(node, number) for node in nodes]
    rows: list[str] = []
    for node in nodes:
        slopes = hints.slopes.get(node.name) if isinstance(node, curved) else None
        rows += _rows(node, slopes, _duals(node, network, hints), node.name in chosen)
    return (
        "Definition layers : list layer := [\n  "
        + ";\n  ".join(layers)
        + "].\n\nDefinition hints : list hint := [\n  "
        + ";\n  ".join(rows)
        + "].\n"
    )


def _layer(node: Node, number: dict[str, int]) -> str:
    match node:
        case Input():
            return "LBytes {} {} {}".format(*node.shape)
        case Affine():
            kind = {"div": "LQuotient", "mul": "LTimes"}.get(node.kind, "LPlus")
            sign = -1.0 if node.kind == "sub" else 1.0
            return f"{kind} {number[node.x]} {_list(sign * node.constant.astype(np.float64))}"
        case Linear():
            if node.bn is not None:
                raise ModelError(f"{node.name}: the Coq checker has no batch norm; fold it")
            return _convolution(node, number[node.x])
        case Mean():
            return f"LMean {number[node.x]}"
        case Silu():
            return f"LSilu {number[node.x]}"
        case Sigmoid():
            return f"LSigmoid {number[node.x]}"
        case Gate():
            return f"LGate {number[node.x]} {number[node.s]}"
        case Add():
            return f"LAdd {number[node.x]} {number[node.y]}"
        case Softmax():
            raise AssertionError


def _convolution(node: Linear, x: int) -> str:
    outputs, _, rows, cols = node.weight.shape
    top, left, _, _ = node.pads
    sizes = f"{outputs} {node.group} {rows} {cols} {node.strides[0]} {node.strides[1]} {top} {left}"
    kernel = f"Build_zkernel {_list(node.weight)} {_list(node.bias)} {sizes}"
    return f"LConvolution {x} ({kernel}) {node.shape[1]} {node.shape[2]}"


def _duals(node: Node, network: Network, hints: Hints) -> NDArray[np.object_]:
    """Integers over 2^GRID (units, classes)."""
    units = int(np.prod(node.shape))
    classes = network.classes
    if node.name == network.logits:
        return np.diag(np.full(classes, 2**GRID, dtype=object))
    if node.name not in hints.duals:
        return np.zeros((units, classes), dtype=object)
    factor = Fraction(2) ** (GRID - hints.exponents[node.name])
    n = hints.duals[node.name].reshape(classes, units).T.astype(object)
    return np.array([[int(v * factor) for v in row] for row in n], dtype=object)


def _rows(
    node: Node, slopes: NDArray[np.int32] | None, duals: NDArray[np.object_], base: bool
) -> list[str]:
    area = node.shape[1] * node.shape[2]
    return [
        f"Build_hint {_z(0 if slopes is None else int(slopes[k // area]) << (GRID - SLOPE_BITS))} "
        f"[{'; '.join(map(_z, row))}] {str(base).lower()}"
        for k, row in enumerate(duals.tolist())
    ]


def _list(values: NDArray[np.float32] | NDArray[np.float64]) -> str:
    return "[" + "; ".join(_z(on_grid(v)) for v in values.reshape(-1).tolist()) + "]"


def _z(n: int) -> str:
    """A literal of Z: hexadecimal, because it is short and exact to read."""
    return f"(-{-n:#x})" if n < 0 else f"{n:#x}" if n > 9 else str(n)
