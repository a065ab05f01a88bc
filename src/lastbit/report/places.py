"""The bound of every place of the input by itself: what the checker's rules say of each."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit.progress import Progress, silent
from lastbit_check.arithmetic.enclosure import tanh_upper
from lastbit_check.check import Derived, exact_form
from lastbit_check.derive.conclude import Balance, softmax_error
from lastbit_check.question import SAME_PROGRAM
from lastbit_check.refine.first_layers import first_layers

MOST_SUMS = 400_000
"""Pairs of classes times places: of more, no map is made."""


def bounds_by_place(
    derived: Derived, executions: str, *, progress: Progress = silent
) -> list[Fraction] | None:
    """Upper bounds of the change of any probability, place by place: the largest of them is U.

    As `Balance.claim`, which ends once the worst place is known: for each place the pairs of
    classes are taken from the largest sum of separate units down, until none that is left can be
    larger. None where there are too many sums.
    """
    derivation = derived.derivation
    balance = Balance(derivation, executions)
    sums = balance.everything
    places = sums.n.shape[1]
    if derivation.frame.hints.absorbed and executions == SAME_PROGRAM:
        return [Fraction(0)] * places
    if sums.n.size > MOST_SUMS:
        return None
    exactly = exact_form(derivation, first_layers(derivation.frame), derived.leaves)
    softmax = 2 * softmax_error(derivation.frame.network.classes)
    found = list[Fraction]()
    for place in range(places):
        largest = Fraction(-1)
        for row in np.argsort(-sums.n[:, place], kind="stable").tolist():
            if sums[row, place].largest() <= largest:
                break
            largest = max(largest, balance.bound(row, place, exactly(row, place)))
        if derivation.frame.norms:
            largest = min(largest, derivation.frame.norms.worst[executions][0])
        found.append(min(Fraction(1), tanh_upper(largest / 4) + softmax))
        progress(f"the bound of every place, {executions}", place + 1, places)
    return found
