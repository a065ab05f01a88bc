"""Whether numbers satisfy a query, literally: every assertion, as it is written.

The standard leaves open whether arithmetic is that of the reals or of the tensors' element type. So
an assertion has to hold in both: exactly, and with each operation rounded to binary32, or taken
modulo 256 of bytes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.queries.syntax import (
    Arithmetic,
    Comparison,
    Constant,
    Entry,
    Formula,
    Query,
    entries,
)

Assignment = Mapping[str, NDArray[Any]]
"""By the name of a tensor: its numbers, in row-major order."""
Rounding = Callable[[Fraction], Fraction]
COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne}  # fmt: skip


def holds(query: Query, values: Assignment, *, exactly: bool = False) -> bool:
    """Whether all assertions hold of these numbers, which are finite; or exactly, at least."""
    exact = {
        name: [Fraction(number) for number in numbers.reshape(-1).tolist()]
        for name, numbers in values.items()
    }
    return all(
        _formula(each.formula, exact, rounded)
        for each in query.assertions
        for rounded in ((_exactly,) if exactly else (_exactly, _rounding(each.formula)))
    )


def _rounding(formula: Formula) -> Rounding:
    """Of the arithmetic of an assertion's element type."""
    element = next(iter(entries(formula))).tensor.element
    return {"uint8": _modulo, "float32": _to_binary32, "real": _exactly}[element]


def _exactly(x: Fraction) -> Fraction:
    return x


def _modulo(x: Fraction) -> Fraction:
    return x % 256


def _to_binary32(x: Fraction) -> Fraction:
    """To nearest: twice, by way of binary64, which does no harm to sums of two such numbers."""
    near = float(np.float32(float(x)))
    return Fraction(near) if np.isfinite(near) else Fraction(10) ** 39 * (1 if x > 0 else -1)


def _formula(formula: Formula, values: Mapping[str, list[Fraction]], rounded: Rounding) -> bool:
    if isinstance(formula, Comparison):
        left, right = (_number(side, values, rounded) for side in (formula.left, formula.right))
        return COMPARE[formula.op](left, right)
    found = (_formula(part, values, rounded) for part in formula.parts)
    return all(found) if formula.op == "and" else any(found)


def _number(x: Arithmetic, values: Mapping[str, list[Fraction]], rounded: Rounding) -> Fraction:
    match x:
        case Entry(tensor, index):
            return values[tensor.name][index]
        case Constant(value):
            return rounded(Fraction(value))
    parts = [_number(part, values, rounded) for part in x.operands]
    if x.op == "-" and len(parts) == 1:
        return rounded(-parts[0])
    step = {"+": operator.add, "-": operator.sub, "*": operator.mul}[x.op]
    return reduce(lambda one, other: rounded(step(one, other)), parts)
