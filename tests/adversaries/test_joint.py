"""Roundings taken together: no image and trees exceed the bound, and each part of it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from adversaries import joint
from adversaries.shown import Show
from adversaries.weakened import weakened
from lastbit_check import together
from lastbit_check.verdict import Rejected


@pytest.mark.parametrize("centred", [True, False])
def test_layers_made_for_it_nearly_use_the_bound_up(centred: bool, show: Show) -> None:
    share = joint.share_of_made(centred=centred)
    assert 0.97 < share <= 1
    show("roundings together", share, "4 orthogonal forms" if centred else "one form, c and A")


def test_no_image_of_made_layers_exceeds_it() -> None:
    assert joint.searched(joint.made(), 0, 150) <= 1


@pytest.mark.parametrize("terms", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_no_image_and_trees_exceed_it(seed: int, terms: int, show: Show) -> None:
    share = joint.searched(joint.random_joint(seed, terms), seed, 150)
    assert 0.1 < share <= 1
    show("roundings together, any weights", share, f"{terms} terms, a search over images and trees")


FORMS = "form in weighed:"
WEAKER: list[tuple[str, str, str, str, bool]] = [
    ("one sum less", "_gains", "count - 2, 0", "count - 3, 0", True),
    ("nothing of the whole", "gathered", FORMS, "form in weighed[:1]:", True),
    ("nothing of the terms", "gathered", FORMS, "form in weighed[1:]:", True),
    ("the whole counts once", "_gains", "2.0 * (count > 1)", "1.0 * (count > 1)", True),
    ("no constants", "gathered", "form.c[used, None]", "0 * form.c[used, None]", False),
    ("one layer of two", "gathered", "alone in terms:", "alone in terms[:1]:", True),
    ("a unit less", "gathered", "toarray() * radius", "toarray() * (radius > radius[0])", True),
    ("forms that are alike count once", "gathered", "gains.get(row.tobytes(), 0.0) +", "", True),
]


@pytest.mark.parametrize(
    ("rule", "right", "wrong", "centred"), [w[1:] for w in WEAKER], ids=[w[0] for w in WEAKER]
)
def test_a_weaker_rule_is_exceeded(
    monkeypatch: pytest.MonkeyPatch, rule: str, right: str, wrong: str, centred: bool
) -> None:
    function: Any = getattr(together, rule)
    monkeypatch.setattr(together, rule, weakened(function, right, wrong))
    joint.made.cache_clear()
    assert joint.share_of_made(centred=centred) > 1
    joint.made.cache_clear()


def test_a_norm_of_1_05_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Rejected, match=r"norm\.spectral"):
        joint.share_of_made(margin=-0.048)
    right, wrong = "unit = 2**BITS", "unit = int(1.05 * 2**BITS)"
    monkeypatch.setattr(together, "contracts", weakened(together.contracts, right, wrong))
    assert joint.share_of_made(margin=-0.048) > 1
