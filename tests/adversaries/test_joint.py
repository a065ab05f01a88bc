"""Roundings taken together: no image and trees exceed the bound, and each part of it is needed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from adversaries import joint
from adversaries.shown import Show
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.refine import together
from lastbit_check.verdict import Rejected
from support.seeds import seeds


@pytest.mark.parametrize("centred", [True, False])
def test_layers_made_for_it_nearly_use_the_bound_up(centred: bool, show: Show) -> None:
    share = joint.share_of_made(centred=centred)
    assert 0.97 < share <= 1
    show("roundings together", share, "4 orthogonal forms" if centred else "one form, c and A")


def test_no_image_of_made_layers_exceeds_it() -> None:
    assert joint.searched(joint.made(), 0, 150) <= 1


@pytest.mark.parametrize("terms", [2, 3, 4])
@pytest.mark.parametrize("seed", seeds(2, 5))
def test_no_image_and_trees_exceed_it(seed: int, terms: int, show: Show) -> None:
    share = joint.searched(joint.random_joint(seed, terms), seed, 150)
    assert 0.1 < share <= 1
    show("roundings together, any weights", share, f"{terms} terms, a search over images and trees")


Patch = pytest.MonkeyPatch
Forms = list[together.Terms]


def of_gains(patch: Patch, change: Callable[[Any, list[Fix], Fix], tuple[list[Fix], Fix]]) -> None:
    """Other weights of what a sum reads, and of what it returns."""
    gains = together._gains

    def weaker(layer: Any, beta: Fix, values: Any) -> tuple[list[Fix], Fix, Fraction]:
        read, given, rest = gains(layer, beta, values)
        return *change(layer, read, given), rest

    patch.setattr(together, "_gains", weaker)


def of_forms(patch: Patch, change: Callable[[Forms, Any], tuple[Forms, Any]]) -> None:
    """Other forms, or other widths of the base."""
    gathered = together.gathered
    patch.setattr(together, "gathered", lambda *given: gathered(*change(*given)))


def less_of(x: Fix, share: float) -> Fix:
    return Fix(np.floor(x.n * share), x.e)


def one_sum_less(patch: Patch) -> None:
    """Of a row's n - 1 sums: one of the n - 2 that are not the whole."""

    def change(layer: Any, read: list[Fix], given: Fix) -> tuple[list[Fix], Fix]:
        inner = max(int(np.max(np.diff(layer.parts[0].w.indptr))) - 2, 1)
        fewer = (inner - 1) / inner
        return [less_of(x, fewer) for x in read], less_of(given, (inner + 1) / (inner + 2))

    of_gains(patch, change)


def nothing_of_the_whole(patch: Patch) -> None:
    of_gains(patch, lambda _, read, given: (read, less_of(given, 0)))


def nothing_of_the_terms(patch: Patch) -> None:
    of_gains(patch, lambda _, read, given: ([less_of(x, 0) for x in read], given))


def half_of_the_whole(patch: Patch) -> None:
    of_gains(patch, lambda _, read, given: (read, less_of(given, 0.5)))


def no_constants(patch: Patch) -> None:
    """Forms without the middle of their range."""

    def change(terms: Forms, widths: Any) -> tuple[Forms, Any]:
        found = [
            ([(g, f._replace(c=0 * f.c)) for g, f in weighed], rest) for weighed, rest in terms
        ]
        return found, widths

    of_forms(patch, change)


def one_layer_of_two(patch: Patch) -> None:
    of_forms(patch, lambda terms, widths: (terms[:1], widths))


def a_unit_less(patch: Patch) -> None:
    of_forms(patch, lambda terms, widths: (terms, widths * (np.arange(len(widths)) > 0)))


def forms_that_are_alike_count_once(patch: Patch) -> None:
    gathered = together.gathered

    def weaker(terms: Forms, widths: Any) -> tuple[Any, Any, Fraction]:
        forms, _, rest = gathered(terms, widths)
        each = [one for weighed, _ in terms for one in weighed if one[0].n.any()]
        alone = [gathered([([one], Fraction(0))], widths) for one in each]
        found = {row.tobytes(): gain for b, g, _ in alone for row, gain in zip(b, g, strict=True)}
        return forms, np.array([found[row.tobytes()] for row in forms]), rest

    patch.setattr(together, "gathered", weaker)


WEAKER: list[tuple[Callable[[Patch], None], bool]] = [
    (one_sum_less, True),
    (nothing_of_the_whole, True),
    (nothing_of_the_terms, True),
    (half_of_the_whole, True),
    (no_constants, False),
    (one_layer_of_two, True),
    (a_unit_less, True),
    (forms_that_are_alike_count_once, True),
]


@pytest.mark.parametrize(("weaken", "centred"), WEAKER, ids=[w[0].__name__ for w in WEAKER])
def test_a_weaker_rule_is_exceeded(
    monkeypatch: Patch, weaken: Callable[[Patch], None], centred: bool
) -> None:
    joint.made.cache_clear()
    assert joint.share_of_made(centred=centred) <= 1
    joint.made.cache_clear()
    weaken(monkeypatch)
    assert joint.share_of_made(centred=centred) > 1
    joint.made.cache_clear()


def test_a_norm_of_1_05_is_exceeded(monkeypatch: Patch) -> None:
    with pytest.raises(Rejected, match=r"norm\.spectral"):
        joint.share_of_made(margin=-0.048)
    contracts = together.contracts
    monkeypatch.setattr(together, "contracts", lambda x: contracts(np.rint(x / 1.05)))
    assert joint.share_of_made(margin=-0.048) > 1
