"""A VNN-LIB query as data: tensors of two copies of a network, and what is asserted of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

FIRST, SECOND = 0, 1
"""The two copies: the network that is declared first, and the one that is equal to it."""


Number = Fraction | int
"""Exact; whole numbers are integers, of which queries are full."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A declared input or output of one of the copies; ``element`` as the standard names it.

    A query has one object for each.
    """

    name: str
    copy: int
    is_input: bool
    element: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a tensor; ``index`` counts in row-major order."""

    tensor: Tensor
    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number as it is written, exactly."""

    value: Number


@dataclass(frozen=True, slots=True)
class Operation:
    """``op`` is +, - (of one operand the negation) or *."""

    op: str
    operands: tuple[Arithmetic, ...]


Arithmetic = Entry | Constant | Operation


@dataclass(frozen=True, slots=True)
class Comparison:
    """``op`` is <, <=, >, >=, == or !=."""

    op: str
    left: Arithmetic
    right: Arithmetic


@dataclass(frozen=True, slots=True)
class Junction:
    """``op`` is "and" or "or"."""

    op: str
    parts: tuple[Formula, ...]


Formula = Comparison | Junction


@dataclass(frozen=True, slots=True)
class Assertion:
    """A formula that has to hold; ``where`` says for people which it is."""

    formula: Formula
    where: str


@dataclass(frozen=True, slots=True)
class Query:
    """Two copies of a network, and assertions that all have to hold.

    ``network`` is the name of the declared one; ``tensors`` are in the order of their declaration:
    input and output of the one, input and output of the other.
    """

    path: str
    network: str
    copy: str
    tensors: tuple[Tensor, Tensor, Tensor, Tensor]
    assertions: tuple[Assertion, ...]

    def tensor(self, copy: int, *, is_input: bool) -> Tensor:
        """The input or output of a copy."""
        return next(t for t in self.tensors if (t.copy, t.is_input) == (copy, is_input))


def entries(formula: Formula | Arithmetic) -> set[Entry]:
    """All numbers that it reads."""
    found, waiting = set[Entry](), [formula]
    while waiting:
        match waiting.pop():
            case Entry() as entry:
                found.add(entry)
            case Comparison(_, left, right):
                waiting += (left, right)
            case Operation(_, parts) | Junction(_, parts):
                waiting += parts
            case Constant():
                pass
    return found


class NotLinearError(ValueError):
    """A product of two numbers of tensors."""


@dataclass(frozen=True, slots=True)
class Linear:
    """The sum of each number times its coefficient, and a constant."""

    terms: dict[Entry, Number]
    constant: Number


def linear(x: Arithmetic) -> Linear:
    """An expression as a linear form, exactly. Raises NotLinearError."""
    match x:
        case Entry():
            return Linear({x: 1}, 0)
        case Constant(value):
            return Linear({}, value)
    parts = [linear(part) for part in x.operands]
    if x.op == "*":
        return _product(parts)
    signs = [1] * len(parts) if x.op == "+" else [1, *[-1] * (len(parts) - 1)]
    if x.op == "-" and len(parts) == 1:
        signs = [-1]
    return _sum(parts, signs)


def difference(comparison: Comparison) -> Linear:
    """Left less right. Raises NotLinearError."""
    match comparison.left, comparison.right:  # as most are
        case Entry() as x, Constant(value):
            return Linear({x: 1}, -value)
        case Entry() as x, Entry() as y if x != y:
            return Linear({x: 1, y: -1}, 0)
    return _sum([linear(comparison.left), linear(comparison.right)], [1, -1])


def _sum(parts: list[Linear], signs: list[int]) -> Linear:
    terms, constant = dict[Entry, Number](), 0
    for part, sign in zip(parts, signs, strict=True):
        constant += sign * part.constant
        for entry, factor in part.terms.items():
            terms[entry] = terms.get(entry, 0) + sign * factor
    return Linear({entry: factor for entry, factor in terms.items() if factor}, constant)


def _product(parts: list[Linear]) -> Linear:
    made = Linear({}, 1)
    for part in parts:
        if made.terms and part.terms:
            raise NotLinearError
        by, of = (made, part) if part.terms else (part, made)
        terms = {entry: by.constant * factor for entry, factor in of.terms.items()}
        made = Linear(terms, by.constant * of.constant)
    return made
