"""What a query asks of the outputs: cases, each of which asks how far two answers are apart.

A case is a conjunction of linear comparisons. What is proved bounds sums of differences between the
two copies, sum_c a_c (Y_c - B_c). So a case cannot be if one of its comparisons, or a sum of some,
says that such a sum is larger than it can be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lastbit.errors import QueryError
from lastbit.queries.moves import COVERED, linear_of
from lastbit.queries.syntax import (
    FIRST,
    SECOND,
    Assertion,
    Comparison,
    Formula,
    Linear,
    Number,
)

MOST_CASES = 20_000
Weights = Mapping[int, Number]
"""By class: the weights of the difference of its two outputs."""


@dataclass(frozen=True)
class Bound:
    """What is proved of the outputs of any allowed pair of inputs.

    ``one`` bounds how far any output is from its own in the other copy, and ``two`` how far the
    difference of any two outputs is; None where nothing is known.
    """

    one: Fraction | None
    two: Fraction | None

    def of(self, weights: Weights) -> Fraction | None:
        """Upper bound of the sum of weights times differences; None if there is none."""
        found = list[Fraction]()
        if self.one is not None:
            found.append(self.one * sum(map(abs, weights.values())))
        if self.two is not None and not sum(weights.values()):
            found.append(self.two * sum(max(w, 0) for w in weights.values()))
        return min(found, default=None)


@dataclass(frozen=True)
class Atom:
    """``form`` > 0, or >= 0 if it is not ``strict``."""

    form: Linear
    strict: bool


@dataclass(frozen=True)
class Apart:
    """The sum of ``weights`` times differences exceeds ``least``, or is at least that."""

    weights: Weights
    least: Number
    strict: bool

    def refuted(self, bound: Bound) -> bool:
        """Whether it cannot be, by what is proved."""
        most = bound.of(self.weights)
        return most is not None and (most <= self.least if self.strict else most < self.least)


@dataclass(frozen=True)
class Case:
    """A conjunction; ``apart`` is what follows from it for the differences."""

    atoms: tuple[Atom, ...]
    apart: tuple[Apart, ...]

    def refuted(self, bound: Bound) -> bool:
        """Whether it cannot be, by what is proved."""
        return any(each.refuted(bound) for each in self.apart)


def cases_of(assertions: Sequence[Assertion]) -> tuple[Case, ...]:
    """The cases of which one has to hold.

    Raises:
        QueryError: a comparison is not linear, a case says nothing of differences between the two
            copies, or there are too many.
    """
    cases: list[tuple[Atom, ...]] = [()]
    for each in assertions:
        parts = [*_cases(each.formula, each.where)]
        cases = [(*case, *part) for case in cases for part in parts]
        if len(cases) > MOST_CASES:
            message = f"the outputs are asked about in more than {MOST_CASES:,} cases"
            raise QueryError(message, where=each.where, fix=COVERED)
    made = tuple(Case(case, (*_apart(case),)) for case in cases)
    if not all(case.apart for case in made):
        raise QueryError(
            "an assertion that does not compare the outputs of the two copies",
            where=assertions[-1].where,
            fix=COVERED,
        )
    return made


def _cases(formula: Formula, said: str) -> Iterator[tuple[Atom, ...]]:
    """Its disjunctive normal form."""
    if isinstance(formula, Comparison):
        yield from _atoms(formula, said)
    elif formula.op == "or":
        for part in formula.parts:
            yield from _cases(part, said)
    else:
        each = [[*_cases(part, said)] for part in formula.parts]
        for chosen in itertools.islice(itertools.product(*each), MOST_CASES + 1):
            yield tuple(itertools.chain(*chosen))


def _atoms(comparison: Comparison, said: str) -> Iterator[tuple[Atom, ...]]:
    form, op = linear_of(comparison, said), comparison.op
    minus = Linear({k: -v for k, v in form.terms.items()}, -form.constant)
    if not form.terms:
        raise QueryError("an assertion that says nothing of a tensor", where=said, fix=COVERED)
    match op:
        case "==":
            yield Atom(form, strict=False), Atom(minus, strict=False)
        case "!=":
            yield (Atom(form, strict=True),)
            yield (Atom(minus, strict=True),)
        case _:
            yield (Atom(form if op in (">", ">=") else minus, strict=op in ("<", ">")),)


def _apart(atoms: Sequence[Atom]) -> Iterator[Apart]:
    """What one of the atoms, two of them or all together say of differences."""
    halves = {_half(atom, FIRST): atom for atom in atoms}
    sums = [(atom,) for atom in atoms]
    sums += [(atom, halves[other]) for atom in atoms if (other := _answering(atom)) in halves]
    sums += [(*atoms,)] * (len(atoms) > 2)
    for chosen in sums:
        made = _as_apart(chosen)
        if made is not None:
            yield made


Half = frozenset[tuple[int, Number]]


def _half(atom: Atom, copy: int) -> tuple[Half, Half]:
    """The terms of one copy by class, and those of the other."""
    terms = atom.form.terms.items()
    own = frozenset((e.index, v) for e, v in terms if e.tensor.copy == copy)
    return own, frozenset((e.index, v) for e, v in terms if e.tensor.copy != copy)


def _answering(atom: Atom) -> tuple[Half, Half] | None:
    """Of an atom about the second copy alone: the one about the first that makes differences."""
    first, second = _half(atom, FIRST)
    return None if first else (frozenset((k, -v) for k, v in second), frozenset())


def _as_apart(atoms: Sequence[Atom]) -> Apart | None:
    """The sum of the atoms, if it is about differences."""
    terms, constant = dict[tuple[int, int], Number](), 0
    for atom in atoms:
        constant += atom.form.constant
        for entry, factor in atom.form.terms.items():
            key = entry.tensor.copy, entry.index
            terms[key] = terms.get(key, 0) + factor
    classes = {index for _, index in terms}
    weights = {k: terms.get((FIRST, k), 0) for k in classes}
    if any(weights[k] + terms.get((SECOND, k), 0) for k in classes):
        return None
    weights = {k: w for k, w in weights.items() if w}
    return Apart(weights, -constant, any(atom.strict for atom in atoms)) if weights else None
