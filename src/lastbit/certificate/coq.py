"""A network and its hints as Coq literals, for the checker in proofs/checker.

Numbers are integers over 2^100; one that is not on that grid is refused. Units are numbered as
`Expansion.expand` numbers them: tensor after tensor, row by row. The proofs do not trust this file
more than any other: what it writes *is* the network that the theorem speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import ModelError
from lastbit.graph import (
    Affine,
    BatchNorm,
    Gate,
    Input,
    Linear,
    Network,
    Node,
    Sigmoid,
    Silu,
)
from lastbit.hints.adjoint import adjoints, on_grid as rounded
from lastbit_check.certificate import SLOPE_BITS, Hints

GRID = 100
"""Numbers in Coq are integers over 2^GRID."""


def on_grid(value: float) -> int:
    """The float as an integer over 2^GRID, exactly."""
    n = Fraction(value) * 2**GRID
    if n.denominator != 1:
        raise ModelError(
            f"the Coq checker cannot hold {value!r}: it is not a multiple of 2^-{GRID}"
        )
    return n.numerator


def literals(network: Network, hints: Hints, bases: Iterable[str] | None = None) -> str:
    """Definitions `layers` and `hints` for Coq.

    `bases` names the nodes whose errors are carried on as columns: the input and every curved
    node if it is not given. More of them give smaller bounds, and take longer.
    """
    layers = [" ".join([f"L{kind}", *map(_coq, words)]) for kind, words in _layers(network)]
    rows = [
        f"Build_hint {_z(slope)} {_coq(duals)} {str(base).lower()} {str(box).lower()}"
        for slope, duals, base, box in _hints(network, hints, bases)
    ]
    return (
        "Definition layers : list layer := [\n  "
        + ";\n  ".join(layers)
        + "].\n\nDefinition hints : list hint := [\n  "
        + ";\n  ".join(rows)
        + "].\n"
    )


def plain(network: Network, hints: Hints, bases: Iterable[str] | None = None) -> str:
    """The same as `literals`, one layer or hint a line, for the extracted checker."""
    lines = [" ".join([kind.lower(), *map(_word, words)]) for kind, words in _layers(network)]
    for slope, duals, base, box in _hints(network, hints, bases):
        lines.append(f"hint {slope:x} {_word(duals)} {str(base).lower()} {str(box).lower()}")
    return "\n".join(lines) + "\n"


Word = int | list[int] | tuple["Word", ...]


def _coq(word: Word) -> str:
    match word:
        case int():
            return str(word)
        case list():
            return "[" + "; ".join(map(_z, word)) + "]"
        case tuple():
            return f"(Build_zkernel {' '.join(map(_coq, word))})"


def _word(word: Word) -> str:
    match word:
        case int():
            return str(word)
        case list():
            return " ".join([str(len(word)), *(f"{n:x}" for n in word)])
        case tuple():
            return " ".join(map(_word, word))


def _layers(network: Network) -> Iterator[tuple[str, list[Word]]]:
    """Each node but softmax: its kind and its fields, earlier nodes by their numbers."""
    number = {node.name: k for k, node in enumerate(network)}
    for node in network.nodes[:-1]:
        read: list[Word] = [number[name] for name in node.inputs]
        match node:
            case Input():
                yield "Bytes", [*node.shape]
            case Affine():
                kind = {"div": "Quotient", "mul": "Times"}.get(node.kind, "Plus")
                sign = -1.0 if node.kind == "sub" else 1.0
                yield kind, [*read, _numbers(sign * node.constant.astype(np.float64))]
            case BatchNorm():
                raise ModelError(
                    "the Coq checker has no batch norm", where=node.name, fix="fold it"
                )
            case Linear():
                outputs, _, rows, cols = node.weight.shape
                kernel = (_numbers(node.weight), _numbers(node.bias), outputs, node.group, rows,
                          cols, *node.strides, *node.pads[:2])  # fmt: skip
                yield "Convolution", [*read, kernel, *node.shape[1:]]
            case _:
                yield type(node).__name__, read


def _hints(
    network: Network, hints: Hints, bases: Iterable[str] | None
) -> Iterator[tuple[int, list[int], bool, bool]]:
    """Each unit's slope and dual vectors over 2^GRID, whether it is a base, whether it is boxed."""
    nodes = network.nodes[:-1]
    chosen = {n.name for n in nodes if isinstance(n, Input | Silu | Sigmoid | Gate)}
    chosen = chosen if bases is None else {*bases}
    none = {n.name: np.zeros(n.shape[0]) for n in nodes if isinstance(n, Silu | Sigmoid | Gate)}
    given = {name: np.ldexp(np.array(n, float), -SLOPE_BITS) for name, n in hints.slopes.items()}
    duals = {name: rounded(a) for name, a in adjoints(network, none | given).items()}
    for node in nodes:
        slopes = hints.slopes.get(node.name) if isinstance(node, Silu | Sigmoid | Gate) else None
        area = node.shape[1] * node.shape[2]
        for k, row in enumerate(_duals(node, network, duals).tolist()):
            slope = 0 if slopes is None else int(slopes[k // area]) << (GRID - SLOPE_BITS)
            yield slope, row, node.name in chosen, node.name in hints.boxes


def _duals(
    node: Node, network: Network, duals: dict[str, tuple[NDArray[np.int32], int]]
) -> NDArray[np.object_]:
    """Integers over 2^GRID (units, classes)."""
    units = int(np.prod(node.shape))
    classes = network.classes
    if node.name == network.logits:
        return np.diag(np.full(classes, 2**GRID, dtype=object))
    if node.name not in duals:
        return np.zeros((units, classes), dtype=object)
    n, e = duals[node.name]
    factor = Fraction(2) ** (GRID - e)
    rows = n.reshape(classes, units).T.astype(object)
    return np.array([[int(v * factor) for v in row] for row in rows], dtype=object)


def _numbers(values: NDArray[np.float32] | NDArray[np.float64]) -> list[int]:
    return [on_grid(v) for v in values.reshape(-1).tolist()]


def _z(n: int) -> str:
    """A literal of Z: hexadecimal, because it is short and exact to read."""
    return f"(-{-n:#x})" if n < 0 else f"{n:#x}" if n > 9 else str(n)
