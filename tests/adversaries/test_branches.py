"""Branch and bound over bytes: no image of a leaf exceeds its bound, and every pair is in one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from adversaries.first_layers import (
    CENTRE,
    LEVELS,
    OWN,
    SLACK,
    Array,
    Small,
    grids,
    random_small,
    share_of_change,
)
from adversaries.shown import Show
from lastbit.hints.branches import Branches, Branching, Problem, branched
from lastbit.progress import Progress, silent
from lastbit_check.arithmetic.exact import Fix, Ints
from lastbit_check.certificate import Hints, Tree
from lastbit_check.check import Derived, proved
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, Question
from lastbit_check.refine.first_layers import LEAF
from soundness.curved import based, two_curved_layers
from soundness.harness import built

pytestmark = pytest.mark.slow

PLACES = [(0, 0), (1, 2)]


def problem_of(small: Small, pixel: tuple[int, int], a: Array) -> Problem:
    return Problem(small.layers, Fix(a.reshape(-1, 1), 0), pixel)


def grown(problem: Problem, leaves: int) -> Branches:
    with Branches(problem) as branches:
        while len(branches.open) < leaves and branches.split():
            pass
    return branches


def weights_for(small: Small, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-9, 10, small.units).astype(np.float64)


def share_of_leaves(small: Small, branches: Branches, images: Array) -> float:
    """Of the bound of its leaf, what the worst image attains; every image has one leaf."""
    pixel, a = branches.problem.pixel, branches.problem.a.n.reshape(small.units)
    moved, found = small.moved(images, pixel, a) * (1 - SLACK), np.zeros(len(images), int)
    best = 0.0
    for part in branches.root.preorder():
        if part.halves:
            continue
        others = images.copy()
        others[:, *pixel] = np.where(images[:, *pixel] % 2, -1, 1) + images[:, *pixel]
        within = [np.all((part.low[0] <= v) & (v <= part.high[0]), axis=(1, 2))
                  for v in (images, others)]  # fmt: skip
        assert np.array_equal(*within)
        found += within[0]
        if within[0].any() and part.bound:
            best = max(best, float(moved[within[0]].max()) / float(part.bound))
    assert np.all(found == 1)
    return best


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
@pytest.mark.parametrize("pixel", PLACES)
def test_no_image_exceeds_the_bound_of_its_leaf(seed: int, pixel: tuple[int, int]) -> None:
    small = random_small(seed, stride=1 + seed % 2, channels=1 + seed % 2)
    a = weights_for(small, seed)
    assert small.bound(pixel, a)
    branches = grown(problem_of(small, pixel, a), 12)
    levels = (0, 127, 255) if pixel == PLACES[0] else (0, 255)
    assert share_of_leaves(small, branches, grids(small.shape, pixel, levels, OWN)) <= 1


def test_leaves_of_any_random_tree_hold(show: Show) -> None:
    """Splits that no search would choose, among them the pixel's own byte."""
    random, best = np.random.default_rng(0), 0.0
    for seed in range(6):
        small = random_small(seed, (2, 3), channels=2)
        a, pixel = weights_for(small, seed), (1, 1)
        splits, widths = list[tuple[int, int]](), [(np.zeros(6, int), np.full(6, 255))]
        while widths:
            low, high = widths.pop()
            place = int(random.integers(6))
            threshold = int(random.integers(low[place], high[place] + 1))
            threshold |= place == 4  # the pixel's own byte
            if len(splits) > 20 or not low[place] <= threshold < high[place]:
                splits.append((LEAF, 0))
                continue
            splits.append((place, threshold))
            less, more = high.copy(), low.copy()
            less[place], more[place] = threshold, threshold + 1
            widths += [(more, high), (low, less)]
        branches = Branches(problem_of(small, pixel, a), splits)
        tree, bounds = branches.tree((0, 1))
        listed = [place for place, _ in tree.splits]
        assert listed == [place for place, _ in splits]
        assert bounds == small.layers.leaves(branches.problem.a, pixel, tree.splits)
        images = grids(small.shape, pixel, (0, 85, 170, 255), OWN)
        best = max(best, share_of_leaves(small, branches, images))
    assert 0.5 < best <= 1
    show("leaf of a random tree", best, "all images of 2 x 3 pixels, 4 levels")


def test_a_tree_comes_nearer_to_the_truth_than_the_ends_of_the_slopes(show: Show) -> None:
    small = random_small(1, (2, 3), channels=2)
    a, pixel = weights_for(small, 1), (1, 1)
    everywhere, bound = small.bound(pixel, a), grown(problem_of(small, pixel, a), 120).bound
    assert everywhere is not None
    images = grids(small.shape, pixel, (0, 32, 64, 128, 192, 255), OWN)
    before = share_of_change(small, pixel, a, images)
    after = before * float(everywhere) / float(bound)
    assert before < after <= 1 and bound < everywhere * Fraction(97, 100)
    show("branch and bound, 120 leaves", after, f"all images of 6 levels; {before:.3f} before")


@pytest.mark.parametrize("seed", range(3))
def test_a_local_search_never_exceeds_a_tree(seed: int) -> None:
    random, pixel = np.random.default_rng(seed), (3, 4)
    small = random_small(seed, (8, 8), channels=1 + seed)
    branches = grown(problem_of(small, pixel, weights_for(small, seed)), 10)
    for _ in range(4):
        image, a = random.choice([0.0, 255.0, 100.0], (8, 8)), weights_for(small, seed)
        for k in random.permutation(64):
            tried = np.repeat(image[None], 16, axis=0)
            tried.reshape(16, 64)[:, k] = [0, 255, *random.integers(0, 256, 13), image.flat[k]]
            assert share_of_leaves(small, branches, tried) <= 1
            image = tried[int(small.moved(tried, pixel, a).argmax())]


@dataclass(frozen=True)
class NoWidth(Question):
    """Whose parts are their middle."""

    def between(self, low: Ints, high: Ints) -> Value:
        value = super().between(low, high)
        none = Fix(0 * value.c.n, 0)
        return replace(value, bound=Bound(none, none))


@dataclass(frozen=True)
class LowerEnd(Question):
    """Whose parts are around their least bytes."""

    def between(self, low: Ints, high: Ints) -> Value:
        return replace(super().between(low, high), c=Fix(2 * low[..., None], 1))


@pytest.mark.parametrize("narrow", [NoWidth, LowerEnd])
def test_leaves_need_the_whole_of_their_part(narrow: type[Question]) -> None:
    shares = list[float]()
    for seed in range(6):
        small = random_small(seed, (2, 3), channels=2)
        problem = problem_of(small, CENTRE, weights_for(small, seed))
        question = narrow(problem.first.question.name, problem.first.question.move)
        weaker = replace(problem, first=replace(problem.first, question=question))
        images = grids((2, 3), CENTRE, LEVELS, OWN)
        shares.append(share_of_leaves(small, grown(weaker, 4), images))
    assert max(shares) > 1


def test_several_processes_find_the_same_tree() -> None:
    small = random_small(1, (2, 3), channels=2)
    problem = problem_of(small, (1, 1), weights_for(small, 1))
    alone = grown(problem, 6)
    with Branches(problem, workers=2) as several:
        while len(several.open) < 6:
            several.split()
    for one, other in zip(alone.tree((0, 1)), several.tree((0, 1)), strict=True):
        assert str(one) == str(other)


# ---- as part of a certificate ----------------------------------------------------------------


Setting = tuple[bytes, Hints]


@pytest.fixture(name="setting", scope="module")
def _setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    model, network = built(two_curved_layers(0, channels=2), tmp_path_factory.mktemp("branches"))
    return model, based(network)


def derived(setting: Setting, trees: dict[str, Tree] | None = None) -> Derived:
    model, hints = setting
    return proved(model, LAST_BIT, replace(hints, trees=trees or {}))


def trees_of(found: Derived, branching: Branching, progress: Progress = silent) -> dict[str, Tree]:
    return branched(found.derivation, found.claims, branching, progress=progress)


def test_it_goes_on_from_a_tree(setting: Setting) -> None:
    """Both claims are sharper for it; whoever checks the trees derives the same."""
    before = derived(setting)
    few = trees_of(before, Branching(4))
    more = trees_of(before, Branching(9, tuple(few.values())))
    found = [derived(setting, trees) for trees in (few, more)]
    for executions in EXECUTIONS:
        upper = [one.claims[executions].upper for one in (before, *found)]
        assert upper[0] > upper[1] >= upper[2] > 0
    (known,), (later,) = few.values(), more.values()
    assert len(known.splits) == 7 and len(later.splits) == 17
    assert {*known.splits} <= {*later.splits}


def test_interrupted_it_keeps_what_it_has(setting: Setting) -> None:
    before = derived(setting)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    found = derived(setting, trees_of(before, Branching(50), stop))
    (bounds,) = found.leaves.values()
    assert len(bounds) == 3
    assert found.claims[ANY_TWO].upper < before.claims[ANY_TWO].upper
