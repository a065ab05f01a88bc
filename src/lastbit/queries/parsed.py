"""Reading a query file: by the package `vnnlib` of the standard's authors, into our own data."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.errors import MissingExtraError, QueryError
from lastbit.queries.syntax import (
    FIRST,
    SECOND,
    Arithmetic,
    Assertion,
    Comparison,
    Constant,
    Entry,
    Formula,
    Junction,
    Operation,
    Query,
    Tensor,
)

ELEMENTS = {"U8": "uint8", "F32": "float32", "Unknown": "real", "Real": "real"}
"""Element types by the package's names. `real` leaves it to the tool what computes."""
COMPARED = {"GreaterThan": ">", "LessThan": "<", "GreaterEqual": ">=", "LessEqual": "<=",
            "Equal": "==", "NotEqual": "!="}  # fmt: skip
MOST_SHOWN = 90
"""Characters of an assertion that an error shows."""


def read_query(path: Path) -> Query:
    """Read a query, a .vnnlib file or one that is compressed with gzip.

    Raises:
        MissingExtraError: the package `vnnlib` is not installed.
        QueryError: the file cannot be read, is no query in VNN-LIB 2.0, or is not about two copies
            of one network with one input and one output.
    """
    if importlib.util.find_spec("vnnlib") is None:
        raise MissingExtraError("reading VNN-LIB", "vnnlib")
    text = _text(path)
    package: Any = importlib.import_module("vnnlib")
    package = getattr(package, "query", package)  # where later versions keep the same names
    try:
        parsed = package.parse_query_string(text)
    except package.VNNLibException as error:
        raise QueryError(_reason(str(error)), where=str(path), fix=_advice(text)) from error
    tensors, names = _two_copies(parsed.networks, path)
    by_name = {tensor.name: tensor for tensor in tensors}
    lines = [*_lines(text)]
    assertions = []
    for number, each in enumerate(parsed.assertions):
        where = f"{path}, line {lines[number]}: {_short(str(each))}"
        assertions.append(Assertion(_formula(each.expr, by_name), where))
    first, second, third, fourth = tensors
    return Query(str(path), *names, (first, second, third, fourth), (*assertions,))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise QueryError(f"the query cannot be read: {reason}", where=str(path)) from error
    except (EOFError, ValueError) as error:
        raise QueryError(f"the query cannot be read: {error}", where=str(path)) from error


def _reason(said: str) -> str:
    """What the package says: a line, or JSON of its type errors, of which the first counts."""
    try:
        first = json.loads(said)["errors"][0]
    except (ValueError, LookupError, TypeError):
        return " ".join(said.split())
    return f"line {first['line']}: {first['message']} at {first['offendingSymbol']!r}. " + (
        first["hint"].rstrip(".")
    )


def _advice(text: str) -> str:
    if "vnnlib-version" not in text:
        return "queries of VNN-LIB 1.0 cannot name two copies of a network: (vnnlib-version <2.0>)"
    return "numbers are 0.25, not 2.5e-1, and of an integer type without a point"


def _two_copies(networks: Sequence[Any], path: Path) -> tuple[list[Tensor], tuple[str, str]]:
    where, fix = str(path), "docs/vnnlib.md says what is answered"
    if len(networks) != 2:
        raise QueryError(f"{len(networks)} networks are declared, not two", where=where, fix=fix)
    if networks[1].isometric_to or networks[1].equal_to != networks[0].name:
        raise QueryError(
            f"the network {networks[1].name!r} is not (equal-to {networks[0].name})",
            where=where,
            fix=fix,
        )
    tensors = list[Tensor]()
    for copy, network in zip((FIRST, SECOND), networks, strict=True):
        if network.hidden:
            named = network.hidden[0].name
            raise QueryError(f"hidden tensors are not covered: {named}", where=where, fix=fix)
        if len(network.inputs) != 1 or len(network.outputs) != 1:
            message = f"the network {network.name!r} has not one input and one output"
            raise QueryError(message, where=where, fix=fix)
        for kind, said in ((True, network.inputs[0]), (False, network.outputs[0])):
            tensors.append(_tensor(said, copy, is_input=kind, where=where))
    return tensors, (networks[0].name, networks[1].name)


def _tensor(said: Any, copy: int, *, is_input: bool, where: str) -> Tensor:
    element = ELEMENTS.get(said.dtype.name)
    if element is None:
        raise QueryError(
            f"{said.name} is of the type {said.dtype.name}",
            where=where,
            fix="uint8, float32 and real are read",
        )
    return Tensor(said.name, copy, is_input, element, (*said.shape,))


TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|;[^\n]*|\(assert(?![\w-])')
"""What may hold the word assert: a name in quotes, a comment, an assertion."""


def _lines(text: str) -> Iterator[int]:
    """The line in which each assertion begins."""
    line, at = 1, 0
    for token in TOKENS.finditer(text):
        line += text.count("\n", at, token.start())
        at = token.start()
        if token[0].startswith("("):
            yield line


def _short(text: str) -> str:
    text = re.sub(r" (?=\[)|(?<=\[) | (?=\])|(?<=\d,) (?=\d)", "", " ".join(text.split()))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _formula(node: Any, tensors: dict[str, Tensor]) -> Formula:
    kind = type(node).__name__
    if kind in COMPARED:
        left, right = _arithmetic(node.lhs, tensors), _arithmetic(node.rhs, tensors)
        return Comparison(COMPARED[kind], left, right)
    return Junction(kind.lower(), tuple(_formula(part, tensors) for part in node.args))


def _arithmetic(node: Any, tensors: dict[str, Tensor]) -> Arithmetic:
    kind = type(node).__name__
    match kind:
        case "Var":
            tensor = tensors[node.name]
            index = 0
            for size, at in zip(tensor.shape, node.indices, strict=True):
                index = index * size + at
            return Entry(tensor, index)
        case "Int":
            return Constant(int(node.lexeme))
        case "Float":
            return Constant(Fraction(node.lexeme))
        case "Negate":
            return Operation("-", (_arithmetic(node.expr, tensors),))
    operands = (node.head, *node.rest) if kind == "Minus" else node.args
    op = {"Minus": "-", "Plus": "+", "Multiply": "*"}[kind]
    return Operation(op, tuple(_arithmetic(part, tensors) for part in operands))


def place_of(tensor: Tensor, index: int) -> str:
    """A number of a tensor as a query writes it: X[0,0,3,4]."""
    where = np.unravel_index(index, tensor.shape) if tensor.shape else ()
    return f"{tensor.name}[{','.join(str(int(k)) for k in where)}]"


def size_of(tensor: Tensor) -> int:
    """How many numbers it has."""
    return math.prod(tensor.shape)
