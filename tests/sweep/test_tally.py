"""What is found does not depend on the order in which it is, and ties have one outcome."""

from __future__ import annotations

import numpy as np
import pytest

from lastbit.sweep.tally import LARGEST, Ran, Tally, beyond
from support.seeds import seeds


def outcome(tally: Tally, images: int) -> tuple:
    assert tally.each is not None
    return tally.largest, tally.each.read(0, images).tolist(), tally.by_place


@pytest.mark.parametrize("seed", seeds(5, 40))
def test_no_order_makes_a_difference(seed: int) -> None:
    """Few different changes, so that nearly all are ties."""
    random = np.random.default_rng(seed)
    images, places = 7, 12
    parts = []
    for image in range(images):
        for chosen in np.array_split(random.permutation(places), 3):
            before = random.choice([0.25, 0.5], len(chosen)).astype(np.float32)
            after = before + random.choice([0, 0.125, 2.0**-30], len(chosen)).astype(np.float32)
            classes = random.integers(0, 3, len(chosen)).astype(np.int32)
            parts.append(Ran(image, chosen.astype(np.int32), classes, before, after))
    found = []
    for _ in range(3):
        tally = Tally(images, places, each=True, by_place=True)
        for k in random.permutation(len(parts)):
            tally.add(parts[k])
        found.append(outcome(tally, images))
    assert found[0] == found[1] == found[2]
    every = sorted(
        (
            (-abs(float(p.after[k]) - float(p.before[k])), p.image, int(p.places[k]))
            for p in parts
            for k in range(len(p.places))
        ),
    )
    assert [(-f.change.high, f.image, f.place) for f in found[0][0]] == every[:LARGEST]


@pytest.mark.parametrize("seed", seeds(5, 40))
def test_what_is_said_not_to_count_does_not(seed: int) -> None:
    """With limits that are attained, leaving out what may not enter changes nothing."""
    random = np.random.default_rng(seed)
    images, places = 6, 20
    change = random.choice([0.0, 0.125, 0.25, 2.0**-40], (images, places))
    change[random.random(change.shape) < 0.7] = 0
    before = np.zeros(places, np.float32)
    for each, by_place in ((False, False), (True, False), (False, True), (True, True)):
        whole = Tally(images, places, each=each, by_place=by_place)
        pruned = Tally(images, places, each=each, by_place=by_place)
        kept = 0
        for image in random.permutation(images).tolist():
            after = change[image].astype(np.float32)
            numbers = np.arange(places)
            whole.add(
                Ran(image, numbers.astype(np.int32), 0 * numbers.astype(np.int32), before, after)
            )
            for part in np.array_split(random.permutation(places), 4):
                most = np.array([change[image].max()])
                left = part[pruned.may_enter(image, part, change[image][part])]
                if len(left) and not pruned.still_open(most, np.array([image]))[0]:
                    pytest.fail("an image is closed in which something may enter")
                kept += len(left)
                chosen = left.astype(np.int32)
                pruned.add(Ran(image, chosen, 0 * chosen, before[left], after[left]))
        assert pruned.largest == whole.largest
        assert pruned.by_place == whole.by_place
        if each and whole.each is not None and pruned.each is not None:
            assert whole.each.read(0, images).tolist() == pruned.each.read(0, images).tolist()
        assert kept < images * places


def test_what_is_beyond_its_limit_is_told_exactly() -> None:
    before, after = (np.array(x, np.float32) for x in ([0.5, 2.0**-60], [0.25, 0.5]))
    ran = Ran(3, np.array([4, 5], np.int32), np.array([0, 1], np.int32), before, after)
    # the second change is 1/2 less 2^-60, which binary64 rounds to 1/2
    assert beyond(ran, np.array([0.25, 0.5])) is None
    found = beyond(ran, np.array([0.25, np.nextafter(0.5, 0)]))
    assert found is not None and (found.image, found.place, found.class_index) == (3, 5, 1)
    assert beyond(ran, np.array([np.nextafter(0.25, 0), 0.5])) is not None
