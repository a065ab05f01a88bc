"""The first layers' exact form and its exact group against all images of a few levels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    made_for_error,
    of_change,
    of_error,
    random_small,
    share_of_change,
)
from adversaries.shown import Show
from adversaries.weakened import weakened
from lastbit.float32 import execute
from lastbit.graph import read_onnx
from lastbit_check import forward, patches
from soundness.harness import ways


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


WEAKER = [
    ("one end of the first slopes", "itertools.product((0, 1),", "itertools.product((0,),"),
    ("one end of the second", "np.maximum(inner * ends2[0], inner * ends2[1])", "inner * ends2[0]"),
]


@pytest.mark.parametrize(("right", "wrong"), [w[1:] for w in WEAKER], ids=[w[0] for w in WEAKER])
def test_the_exact_form_needs_both_ends_of_every_slope(
    monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    _, small = made_for_change(2)
    monkeypatch.setattr(patches, "_largest", weakened(patches._largest, right, wrong))
    assert of_change(small) > 1


def test_the_exact_form_needs_both_senses_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    change = weakened(patches.FirstLayers.change, "(1, -1)", "(1,)")
    monkeypatch.setattr(patches.FirstLayers, "change", change)
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
    form = weakened(forward.Outcome.form, "runs[[0, -1]] = 1.0", "runs[0], runs[-1] = 1.0, 0.5")
    monkeypatch.setattr(forward.Outcome, "form", form)
    assert of_error(replace(small)) > 1


def test_binary32_stays_within_the_exact_group(tmp_path: Path, show: Show) -> None:
    """Executions in binary32, with sigmoids at the edge of what is assumed, against float64."""
    _, small = made_for_error()
    path = tmp_path / "small.onnx"
    path.write_bytes(small.model)
    network, some = read_onnx(path), ways(0)
    allowed = np.ldexp(small.form.moves.n[..., -1], -small.form.moves.e)
    best, images = 0.0, grids(small.shape, CENTRE, LEVELS, OWN)
    exact = small.values(images)
    for k in np.random.default_rng(0).permutation(len(images))[:150]:
        values = execute(network, images[k].astype(np.uint8), keep=True, **next(some))[1]
        off: Array = np.abs(values["filtered"].astype(np.float64) - exact[k])
        best = max(best, float(np.max(off / allowed)))
    assert 0.05 < best <= 1
    show("exact group, binary32", best, "every order, sigmoids 2.9 u off")
