"""Ranges through the linear core: no image leaves them, and in a linear network it fills them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from adversaries import ranges
from adversaries.shown import Show
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.derive import columns, derivation

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("curved", [False, True])
def test_the_images_reach_the_ends_of_every_range(seed: int, curved: bool, show: Show) -> None:
    """All 64 corners: the extremes of the linear network, and nearly so with a SiLU near 0."""
    chain = ranges.random_chain(seed, curved=curved)
    found = ranges.shares(chain, ranges.ranges(chain))
    assert {*found} == {"conv", "sum", "late", "logits"}
    assert all(share <= 1 for share in found.values()), found
    assert all(share > (0.3 if curved else 0.999) for share in found.values()), found
    for name, share in found.items():
        show(f"range of {name}, " + ("SiLU near 0" if curved else "linear"), share, "all corners")


@pytest.mark.parametrize("seed", SEEDS)
def test_without_columns_the_ends_are_out_of_reach(seed: int) -> None:
    """The columns are not needed for soundness; but these networks are a test of them."""
    chain = ranges.random_chain(seed)
    found = ranges.shares(chain, ranges.ranges(chain, columns=False))
    assert found["sum"] < 0.2 and found["logits"] < 0.02


def most(scale: float = 2.0**-8) -> float:
    """The largest share of six networks."""
    chains = [ranges.random_chain(seed, scale=scale) for seed in SEEDS]
    return max(max(ranges.shares(chain, ranges.ranges(chain)).values()) for chain in chains)


def with_radii(patch: pytest.MonkeyPatch, change: Any) -> None:
    """Columns of a base whose radii are others."""
    spreads = columns.spreads

    def weaker(after: Any, base: Any, cores: Any, radius: Sequence[Fix], *sums: Any) -> None:
        spreads(after, base, cores, [change(x) for x in radius], *sums)

    patch.setattr(derivation, "spreads", weaker)


def test_a_pixel_left_out_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(x: Fix) -> Fix:
        return Fix(x.n * (np.arange(len(x.n)) < len(x.n) - 1)[:, None], x.e)

    with_radii(monkeypatch, without)
    assert most() > 1


def test_a_radius_rounded_down_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """To nearest 10 bits, so that it shows; rounded up to as few, it is within."""
    monkeypatch.setattr(columns, "RADIUS_BITS", 10)
    scale = 2.0**-8 * (1 + 2.0**-12)  # to nearest, 255 times it goes down
    assert most(scale) <= 1
    with_radii(monkeypatch, lambda x: x.fit(10, up=False))
    assert most(scale) > 1


def test_a_core_of_few_bits_is_exceeded_without_its_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CORE_BITS", 10)
    assert most() <= 1
    step = columns._next
    monkeypatch.setattr(columns, "_next", lambda sources: step(sources)._replace(units=0.0))
    assert most() > 1
