"""The first layers' exact form and its exact group against all images of a few levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adversaries.first_layers import (
    CENTRE,
    CORNER,
    LEVELS,
    OWN,
    Array,
    grids,
    local_search,
    made_for_change,
    made_for_difference,
    made_for_error,
    of_change,
    of_difference,
    of_error,
    random_small,
    share_of_change,
)
from adversaries.shown import Show
from lastbit.graph import read_onnx
from lastbit_check.derive import changes
from lastbit_check.derive.changes import APART, EXACT
from lastbit_check.refine import first_layers as rules
from soundness.programs import Both, ways

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("shape", "levels", "pixel"),
    [
        ((3, 3), (0, 255), CENTRE),
        ((3, 3), (0, 128, 255), CORNER),
        ((2, 3), (0, 85, 170, 255), (1, 1)),
    ],
)
def test_no_image_of_a_few_levels_exceeds_the_exact_form(
    seed: int, shape: tuple[int, int], levels: tuple[int, ...], pixel: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    small = random_small(seed, shape, stride=1 + seed % 2, channels=1 + seed % 2)
    if small.bound(pixel, np.ones(small.units)) is None:
        small = random_small(seed, shape, channels=2)
    a = random.integers(-9, 10, small.units).astype(np.float64)
    assert share_of_change(small, pixel, a, grids(shape, pixel, levels, OWN)) <= 1


@pytest.mark.parametrize("stride", [2, 1])
def test_a_network_made_for_it_nearly_uses_the_exact_form_up(stride: int, show: Show) -> None:
    share, small = made_for_change(stride)
    assert share > 0.9
    show("exact form of the first layers", share, f"all images of {small.shape} pixels, 2 levels")


Ends = list[Any]
WEAKER: dict[str, Callable[[Any, Ends, Ends, int], tuple[Any, Ends, Ends, int]]] = {
    "one end of the first slopes": lambda w, one, two, sign: (w, [one[0]] * 2, two, sign),
    "one end of the second": lambda w, one, two, sign: (w, one, [two[0]] * 2, sign),
}


@pytest.mark.parametrize("change", WEAKER.values(), ids=WEAKER)
def test_the_exact_form_needs_both_ends_of_every_slope(
    monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]
) -> None:
    _, small = made_for_change(2)
    largest = rules._largest
    monkeypatch.setattr(rules, "_largest", lambda *given: largest(*change(*given)))
    assert of_change(replace(small)) > 1


def test_the_exact_form_needs_both_senses_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = rules._largest
    monkeypatch.setattr(rules, "_largest", lambda w, one, two, _: largest(w, one, two, 1))
    assert max(of_change(random_small(seed, (2, 2))) for seed in range(8)) > 1


@pytest.mark.parametrize("seed", range(3))
def test_a_local_search_with_restarts_never_exceeds_the_exact_form(seed: int, show: Show) -> None:
    share = local_search(seed)
    assert 0.3 < share <= 1
    show("exact form, local search", share, f"8 x 8 pixels, all bytes, {1 + seed} channels")


# ---- the exact group -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_no_allowed_execution_leaves_the_exact_group(seed: int) -> None:
    assert of_error(random_small(seed, channels=1 + seed % 3)) <= 1


def test_a_network_made_for_it_nearly_uses_the_exact_group_up(show: Show) -> None:
    share, _ = made_for_error()
    assert share > 0.95
    show(
        "exact group", share, "every operation errs by all that is allowed, all images of 2 levels"
    )


def test_half_of_the_rounding_in_the_exact_group_is_exceeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, small = made_for_error()
    monkeypatch.setitem(changes.ASPECTS, EXACT, (0.5, False))
    assert of_error(replace(small)) > 1


def test_binary32_stays_within_the_exact_group(tmp_path: Path, show: Show) -> None:
    """Executions in binary32, with sigmoids at the edge of what is assumed, against float64."""
    _, small = made_for_error()
    path = tmp_path / "small.onnx"
    path.write_bytes(small.model)
    both, some = Both(read_onnx(path), small.checked.frame.network), ways(0)
    allowed = small.off(EXACT)[..., 0]
    best, images = 0.0, grids(small.shape, CENTRE, LEVELS, OWN)
    exact = small.values(images)
    for k in np.random.default_rng(0).permutation(len(images))[:150]:
        values = both.run(images[k].astype(np.uint8), next(some))
        off: Array = np.abs(values["filtered"] - exact[k])
        best = max(best, float(np.max(off / allowed)))
    assert 0.05 < best <= 1
    show("exact group, binary32", best, "every order, rewritten, sigmoids 2.9 u off")


# ---- how errors differ between two runs of one program ----------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("white", [255.0, 8.0])
def test_no_two_runs_of_one_program_are_off_more_differently(seed: int, white: float) -> None:
    shape = (3, 3) if seed % 2 else (2, 3)
    small = random_small(seed, shape, channels=1 + seed % 3, stride=1 + seed % 2, white=white)
    assert of_difference(small) <= 1


@pytest.mark.parametrize("white", [255.0, 8.0])
def test_a_network_made_for_it_uses_much_of_that_up(white: float, show: Show) -> None:
    share, _ = made_for_difference(white)
    assert 0.7 < share <= 1
    show("errors of two runs", share, f"all images of 2 levels, a step of 1/{white:g}")


def test_the_rounding_of_one_of_two_runs_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    _, small = made_for_difference(255.0)
    monkeypatch.setitem(changes.ASPECTS, APART, (1.0, True))
    assert of_difference(replace(small)) > 1
