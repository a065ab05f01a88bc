"""What is largest so far, and whether something may still change that.

Pairs of an image and a place are in a total order: larger changes first, exactly; of equal ones the
earlier image, then the earlier place. So what is found does not depend on the order in which it is.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit.sweep.changes import NONE, Change, changes, exceeds, may_beat
from lastbit.sweep.table import Table

Real = NDArray[np.float64]
LARGEST = 10

BEST = np.dtype(
    [("high", "f8"), ("low", "f8"), ("place", "i4"), ("class", "i4"), ("before", "f4"),
     ("after", "f4")]
)  # fmt: skip
"""The largest change of an image; high is -1 where there is none."""


@dataclass(frozen=True)
class Found:
    """The class that changed most when the last bit of one place of one image did."""

    image: int
    place: int
    class_index: int
    before: float
    after: float
    change: Change

    @property
    def order(self) -> tuple[float, float, int, int]:
        """Sorts the largest first."""
        return -self.change.high, -self.change.low, self.image, self.place


@dataclass(frozen=True, eq=False)
class Ran:
    """What became of one image at places (m,).

    `classes` (m,) are those that changed most, `before` and `after` (m,) their probabilities.
    """

    image: int
    places: NDArray[np.int32]
    classes: NDArray[np.int32]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


class Tally:
    """The ten largest; one of each image and of each place, if they are asked for.

    Args:
        images: how many.
        places: of an image.
        each: keep the largest of each image.
        by_place: keep the largest of each place.
    """

    def __init__(self, images: int, places: int, *, each: bool, by_place: bool) -> None:
        self.largest: list[Found] = []
        self.each = Table(images, np.array((-1, 0, -1, -1, 0, 0), BEST)) if each else None
        nothing: list[Found | None] = [None] * places
        self.by_place = nothing if by_place else None
        self._high, self._low = np.full(places, NONE.high), np.full(places, NONE.low)
        self._image = np.full(places, images)

    def add(self, ran: Ran) -> None:
        """Take note of what was run."""
        high, low = changes(ran.before, ran.after)
        order = np.lexsort((ran.places, -low, -high)).tolist()
        found = [_found(ran, k, Change(float(high[k]), float(low[k]))) for k in order[:LARGEST]]
        for each in found:
            bisect.insort(self.largest, each, key=lambda item: item.order)
        del self.largest[LARGEST:]
        if self.each is not None and found:
            self._add_to_image(self.each, found[0])
        if self.by_place is not None:
            self._add_to_places(self.by_place, ran, high, low)

    def _add_to_image(self, each: Table, found: Found) -> None:
        held = each.read(found.image, 1)[0]
        mine = -found.change.high, -found.change.low, found.place
        if mine < (-held["high"], -held["low"], held["place"]):
            row = (*found.change, found.place, found.class_index, found.before, found.after)
            each.write(found.image, np.array([row], BEST))

    def _add_to_places(self, by_place: list[Found | None], ran: Ran, high: Real, low: Real) -> None:
        k = ran.places
        equal = (high == self._high[k]) & (low == self._low[k]) & (ran.image < self._image[k])
        better = (high > self._high[k]) | ((high == self._high[k]) & (low > self._low[k])) | equal
        for i in np.flatnonzero(better).tolist():
            by_place[int(k[i])] = _found(ran, i, Change(float(high[i]), float(low[i])))
        chosen = k[better]
        self._high[chosen], self._low[chosen] = high[better], low[better]
        self._image[chosen] = ran.image

    def may_enter(self, image: int, places: NDArray[np.intp], limits: Real) -> NDArray[np.bool_]:
        """Which places (m,) of an image, with changes of at most ``limits``, may be among them."""
        found = self._may_be_largest(image, places, limits)
        if self.each is not None:
            held = self.each.read(image, 1)[0]
            found = found | may_beat(
                limits, float(held["high"]), float(held["low"]), places < held["place"]
            )
        if self.by_place is not None:
            earlier = image < self._image[places]
            found = found | may_beat(limits, self._high[places], self._low[places], earlier)
        return found

    def _may_be_largest(
        self, image: int, places: NDArray[np.intp], limits: Real
    ) -> NDArray[np.bool_]:
        if len(self.largest) < LARGEST:
            return np.ones(len(places), bool)
        last = self.largest[-1]
        ahead = (image < last.image) | ((image == last.image) & (places < last.place))
        return may_beat(limits, *last.change, ahead)

    def still_open(self, most: Real, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which images (n,), with changes of at most ``most``, are to be looked at."""
        if self.each is not None or self.by_place is not None or len(self.largest) < LARGEST:
            return np.ones(len(numbers), bool)
        last = self.largest[-1]
        return may_beat(most, *last.change, numbers <= last.image)


def beyond(ran: Ran, limits: Real) -> Found | None:
    """Something that was run and changed by more than it may have, if there is."""
    high, low = changes(ran.before, ran.after)
    for k in range(len(ran.places)):
        change = Change(float(high[k]), float(low[k]))
        if exceeds(change, float(limits[k])):
            return _found(ran, k, change)
    return None


def _found(ran: Ran, k: int, change: Change) -> Found:
    return Found(
        ran.image, int(ran.places[k]), int(ran.classes[k]), float(ran.before[k]),
        float(ran.after[k]), change,
    )  # fmt: skip
