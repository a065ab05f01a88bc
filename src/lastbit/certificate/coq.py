"""A network and its hints as Coq literals, for the checker in proofs/checker.

Numbers are integers over 2^100; one that is not on that grid is refused. Units are numbered as
`Expansion.expand` numbers them: tensor after tensor, row by row. A node becomes one layer, in the
normal form of proofs/Statement.v: what a runtime may evaluate as one sum is one, so an addition
takes in the sums that nothing else reads, and a convolution the division before it. The proofs do
not trust this file more than any other: what it writes *is* the network that the theorem speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import ModelError
from lastbit.graph import (
    Add,
    Affine,
    BatchNorm,
    Gate,
    Input,
    Linear,
    Mean,
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


@dataclass(frozen=True)
class Over:
    """The divisor of all terms of a sum, if there is one."""

    number: int | None


@dataclass(frozen=True)
class Part:
    """What is added up: a tensor, a convolution, or the planes of a tensor."""

    kind: str
    words: list[Word]


@dataclass(frozen=True)
class Sum:
    """A layer in normal form. `constants` has a number for each channel, or none at all."""

    over: int | None
    parts: list[Part]
    constants: list[int]


@dataclass(frozen=True)
class Parts:
    """All that is added up."""

    parts: list[Part]


Word = int | list[int] | tuple["Word", ...] | Over | Parts


def _coq(word: Word) -> str:
    match word:
        case int():
            return str(word)
        case Over(number):
            return "None" if number is None else f"(Some {_z(number)})"
        case Parts():
            parts = [" ".join([f"P{part.kind}", *map(_coq, part.words)]) for part in word.parts]
            return "[" + "; ".join(parts) + "]"
        case list():
            return "[" + "; ".join(map(_z, word)) + "]"
        case tuple():
            return f"(Build_zkernel {' '.join(map(_coq, word))})"


def _word(word: Word) -> str:
    match word:
        case int():
            return str(word)
        case Over(number):
            return "whole" if number is None else f"over {number:x}"
        case Parts():
            parts = [" ".join([part.kind.lower(), *map(_word, part.words)]) for part in word.parts]
            return " ".join([str(len(parts)), *parts])
        case list():
            return " ".join([str(len(word)), *(f"{n:x}" for n in word)])
        case tuple():
            return " ".join(map(_word, word))


def _layers(network: Network) -> Iterator[tuple[str, list[Word]]]:
    """Each node but softmax: its kind and its fields, earlier nodes by their numbers."""
    number = {node.name: k for k, node in enumerate(network)}
    sums = _sums(network)
    for node in network.nodes[:-1]:
        if isinstance(node, Input):
            yield "Bytes", [*node.shape]
        elif node.name in sums:
            total = sums[node.name]
            yield "Sum", [Over(total.over), Parts(total.parts), total.constants]
        else:
            yield type(node).__name__, [number[name] for name in node.inputs]


def _sums(network: Network) -> dict[str, Sum]:
    """Each linear node as one sum."""
    number = {node.name: k for k, node in enumerate(network)}
    areas = {node.name: node.shape[1] * node.shape[2] for node in network}
    readers = [name for node in network for name in node.inputs]
    made: dict[str, Sum] = {}
    for node in network:
        if isinstance(node, BatchNorm):
            raise ModelError("the Coq checker has no batch norm", where=node.name, fix="fold it")
        turned = isinstance(node, Affine) and (node.kind == "from" or node.constant.ndim > 1)
        if turned or node.arranges:
            raise ModelError("the Coq checker reads no tensor otherwise", where=node.name)
        for x in node.inputs:
            _moved(node, network[x], shared=readers.count(x) > 1)
        if isinstance(node, Affine | Linear | Mean | Add):
            taken = {x: made[x] for x in node.inputs if x in made and readers.count(x) == 1}
            made[node.name] = _total(node, number, taken, area=areas[node.inputs[0]])
    return made


def _moved(node: Node, x: Node, *, shared: bool) -> None:
    """Refuse what a runtime may rewrite, though the sum of ``x`` is not taken in by ``node``."""
    divided = isinstance(x, Affine) and x.kind == "div" and not isinstance(node, Silu | Sigmoid)
    if divided and (shared or isinstance(node, Gate)):
        raise ModelError("the Coq checker has no quotient that is not taken in", where=x.name)
    if shared and isinstance(node, Affine) and isinstance(x, Linear | Mean | Add | Affine):
        raise ModelError("the Coq checker has no constant added to a shared sum", where=node.name)


def _read(network: Network) -> set[str]:
    """The nodes that some layer reads, and the logits."""
    sums, names = _sums(network), [node.name for node in network]
    found = {network.logits}
    for node in network:
        if node.name in sums:
            found |= {names[int(part.words[0])] for part in sums[node.name].parts}  # type: ignore[arg-type]
        else:
            found |= {*node.inputs}
    return found


def _total(
    node: Affine | Linear | Mean | Add, number: dict[str, int], taken: dict[str, Sum], area: int
) -> Sum:
    """The node as one sum, with those of its operands that it takes in; `area` of the first."""

    def refuse(what: str) -> ModelError:
        return ModelError(f"the Coq checker has no {what}", where=node.name)

    def operand(name: str) -> Sum:
        return taken.get(name, Sum(None, [Part("Tensor", [number[name]])], []))

    match node:
        case Affine(kind="mul"):
            raise refuse("multiplication by constants")
        case Affine(kind="div"):
            if node.x in taken or len({*node.constant.tolist()}) > 1:
                raise refuse("division of a sum, or by several numbers")
            return replace(operand(node.x), over=on_grid(float(node.constant[0])))
        case Affine():
            before = operand(node.x)
            if before.constants:
                raise refuse("two additions of constants in a row")
            sign = -1.0 if node.kind == "sub" else 1.0
            return replace(before, constants=_numbers(sign * node.constant.astype(np.float64)))
        case Linear():
            over, x = _divided(taken.get(node.x), number[node.x])
            outputs, _, rows, cols = node.weight.shape
            kernel = (_numbers(node.weight), _numbers(node.bias), outputs, node.group, rows,
                      cols, *node.strides, *node.pads[:2])  # fmt: skip
            return Sum(over, [Part("Convolution", [x, kernel, *node.shape[1:]])], [])
        case Mean():
            if _divided(taken.get(node.x), 0)[0] is not None:
                raise refuse("mean of a quotient")
            return Sum(area << GRID, [Part("Planes", [number[node.x]])], [])
        case Add():
            a, b = operand(node.x), operand(node.y)
            if a.over is not None or b.over is not None or (a.constants and b.constants):
                raise refuse("addition that takes in a quotient, or constants twice")
            return Sum(None, a.parts + b.parts, a.constants or b.constants)


def _divided(before: Sum | None, x: int) -> tuple[int | None, int]:
    """The divisor and the number of what is divided, if `before` is a division of one tensor."""
    match before:
        case Sum(int(over), [Part("Tensor", [int(y)])], []):
            return over, y
        case _:
            return None, x


def _hints(
    network: Network, hints: Hints, bases: Iterable[str] | None
) -> Iterator[tuple[int, list[int], bool, bool]]:
    """Each unit's slope and dual vectors over 2^GRID, whether it is a base, whether it is boxed."""
    nodes = network.nodes[:-1]
    chosen = {n.name for n in nodes if isinstance(n, Input | Silu | Sigmoid | Gate)}
    chosen = chosen if bases is None else {*bases}
    none = {n.name: np.zeros(n.shape[0]) for n in nodes if isinstance(n, Silu | Sigmoid | Gate)}
    given = {name: np.ldexp(np.array(n, float), -SLOPE_BITS) for name, n in hints.slopes.items()}
    read = _read(network)  # what has been taken in is read by nothing, and has no dual vectors
    found = adjoints(network, none | given).items()
    duals = {name: rounded(a) for name, a in found if name in read}
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
