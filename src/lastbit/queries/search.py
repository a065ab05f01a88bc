"""The search for inputs that satisfy a query."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from lastbit.errors import MissingExtraError, UsageError
from lastbit.models.shipped import ModelFiles
from lastbit.progress import Progress
from lastbit.queries.asks import Asks
from lastbit.queries.copies import Copies, Flat
from lastbit.queries.held import Assignment
from lastbit.queries.outputs import Case
from lastbit.queries.parsed import size_of
from lastbit.queries.syntax import FIRST
from lastbit.queries.zones import ByteZone, RealZone

MUTANTS, PLACES, STALE = 96, 256, 24
"""Images that are tried at a time, places that are, and after how many rounds without any gain the
search begins anew."""


def searched(
    files: ModelFiles,
    asked: Asks,
    copies: Copies,
    known: tuple[Flat, ...],
    until: float,
    progress: Progress,
) -> Assignment | None:
    """Inputs that satisfy the query, if some are found by `until`, as `time.monotonic` counts.

    ``known`` is a pair from which to start, if there is one. Random changes come first, gradients
    after a quarter of the time, if PyTorch is installed, and random changes from what these found.
    """
    starts = [*known[:1]]
    left = until - time.monotonic()
    progress("searching", 0, 1)
    if left > 2 and not known and len(asked.moves.places) == asked.moves.size:
        found = Climb(asked, copies, until - 3 * left / 4).run()
        if found is not None:
            return found
        first, second = _by_gradients(files, left / 2, progress)
        for pair in ((first, second), (second, first)):
            found = copies.assigned(*pair) if first.size else None
            if found is not None:
                return found
        starts += [first] * bool(first.size)
    found = Climb(asked, copies, until, seed=1).run(starts)
    progress("searching", 1, 1)
    return found


def _by_gradients(files: ModelFiles, seconds: float, progress: Progress) -> tuple[Flat, Flat]:
    """The pair that `lastbit search` finds; empty where that needs what is not installed."""
    try:
        from lastbit.witness.search import search

        witness = search(files.asked, seconds=seconds, progress=progress).witness
    except (MissingExtraError, UsageError):  # no PyTorch, or more channels than one
        return np.empty(0), np.empty(0)
    first, second = (image.reshape(-1) for image in witness.pair)
    return first, second


class Score:
    """How far outputs are from satisfying a case: positive where they do, in float64."""

    def __init__(self, cases: Sequence[Case], classes: int) -> None:
        self._rows = list[Flat]()
        self._starts, rows, constants = list[int](), list[Flat](), list[float]()
        for case in cases:
            self._starts.append(len(rows))
            for atom in case.atoms:
                row = np.zeros(2 * classes)
                for entry, factor in atom.form.terms.items():
                    copy = entry.tensor.copy
                    row[entry.index + classes * (copy != FIRST)] = float(factor)
                rows.append(row)
                constants.append(float(atom.form.constant))
        self._matrix, self._constants = np.array(rows), np.array(constants)

    def __call__(self, first: Flat, second: Flat) -> Flat:
        """Of outputs (N, classes) of both copies: (N,)."""
        both = np.concatenate([first, second], axis=1).astype(np.float64)
        each = both @ self._matrix.T + self._constants
        return np.minimum.reduceat(each, self._starts, axis=1).max(axis=1)


@dataclass
class Climb:
    """A search by chance: images are changed at some places, and kept if the score gains.

    Args:
        asked: the query.
        copies: what runs it.
        until: when it ends, as `time.monotonic` counts.
        seed: of everything random.
    """

    asked: Asks
    copies: Copies
    until: float
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        classes = size_of(self.asked.query.tensor(FIRST, is_input=False))
        self._score = Score(self.asked.cases, classes)
        self._values = _Values(self.asked)

    def run(self, starts: Sequence[Flat] = ()) -> Assignment | None:
        """Inputs that satisfy the query, if some are found in time."""
        waiting = [self._values.allowed(start) for start in starts]
        while self.asked.moves.places and self._lasts():
            image = waiting.pop(0) if waiting else self._values.drawn(self._random)
            found = self._from(image)
            if found is not None:
                return found
        return None

    def _lasts(self) -> bool:
        return time.monotonic() < self.until

    def _from(self, image: Flat) -> Assignment | None:
        best, stale, place = -np.inf, 0, -1
        while stale < STALE and self._lasts():
            if stale % 8 == 0:
                found, score, image, place = self._over_places(image)
                if found is not None:
                    return found
                best = max(best, score)
            images = self._values.mutants(image, self._random, MUTANTS)
            near = [*chain(*(self._values.near(one, place) for one in images))]
            score, k, found = self._best(near)
            if found is not None:
                return found
            stale = 0 if score > best else stale + 1
            if score > best:
                best, image = score, near[k][0]
        return None

    def _over_places(self, image: Flat) -> tuple[Assignment | None, float, Flat, int]:
        """What satisfies the query, or the best score, with what, and the place that moves.

        That is the best place for this image, and then the best that this place may be.
        """
        places = np.array(self.asked.moves.places)
        if places.size > PLACES:
            places = self._random.choice(places, PLACES, replace=False)
        near = [(int(place), pair) for place in places for pair in self._values.near(image, place)]
        _, k, found = self._best([pair for _, pair in near])
        place = near[k][0]
        if found is not None:
            return found, np.inf, image, place
        pairs = self._values.all(image, place)
        score, k, found = self._best(pairs)
        return found, score, pairs[k][0], place

    def _best(self, pairs: Sequence[tuple[Flat, Flat]]) -> tuple[float, int, Assignment | None]:
        """The best score and which pair has it, and what satisfies the query if that does."""
        scores = self._scores(pairs)
        k = int(scores.argmax())
        return float(scores[k]), k, self.copies.assigned(*pairs[k]) if scores[k] >= 0 else None

    def _scores(self, pairs: Sequence[tuple[Flat, Flat]]) -> Flat:
        first, second = (np.stack([pair[k] for pair in pairs]) for k in range(2))
        scores = self._score(self.copies.outputs(first), self.copies.outputs(second))
        return np.where(np.isfinite(scores), scores, -np.inf)


class _Values:
    """Inputs that a query allows."""

    def __init__(self, asked: Asks) -> None:
        self._asked, moves = asked, asked.moves
        self._box = asked.question.box
        low, high = self._box or (0.0, 255.0)
        self._low, self._high = np.full(moves.size, low), np.full(moves.size, high)
        self._steps = dict[int, Any]()
        for place, zone in moves.zones.items():
            self._bounds(place, zone)

    def _bounds(self, place: int, zone: ByteZone | RealZone) -> None:
        if isinstance(zone, ByteZone):
            found = np.flatnonzero(zone.table.any(axis=1))
            ends = (found[0], found[-1]) if found.size else (0, 0)
        else:
            ends = (float(zone.x[0]), float(zone.x[1]))
        self._low[place] = max(self._low[place], ends[0])
        self._high[place] = min(self._high[place], ends[1])

    def _typed(self, image: Flat) -> Flat:
        clipped = np.clip(image, self._low, np.maximum(self._low, self._high))
        return clipped.astype(np.float32) if self._box else clipped.round().astype(np.uint8)

    def allowed(self, image: Flat) -> Flat:
        """The nearest that is within the bounds of each place."""
        return self._typed(image.reshape(-1).astype(np.float64))

    def drawn(self, random: np.random.Generator) -> Flat:
        """One at random; all of one value in one case out of four."""
        shared = random.random() < 0.25
        share = random.random(1 if shared else self._low.size)
        return self._typed(self._low + share * (self._high - self._low))

    def mutants(self, image: Flat, random: np.random.Generator, count: int) -> list[Flat]:
        """Copies with some numbers changed: to the ends, to others, or a little."""
        made = list[Flat]()
        for _ in range(count):
            one, size = image.astype(np.float64), self._low.size
            at = random.random(size) < min(1.0, 2.0 ** random.integers(0, 8) / size)
            at[random.integers(size)] = True
            wide = (self._high - self._low)[at]
            kind = random.integers(3)
            if kind == 0:
                one[at] = np.where(random.random(wide.size) < 0.5, self._low[at], self._high[at])
            elif kind == 1:
                one[at] = self._low[at] + random.random(wide.size) * wide
            else:
                one[at] += random.normal(size=wide.size) * wide / 2.0 ** random.integers(1, 9)
            made.append(self._typed(one))
        return made

    def near(self, image: Flat, place: int) -> list[tuple[Flat, Flat]]:
        """The image, changed at a place to a number that may move, and where it moves to.

        Of all such numbers the nearest, up and down.
        """
        zone = self._asked.moves.zones[place]
        if isinstance(zone, ByteZone):
            least = min(abs(x - int(image[place])) for x, _ in zone.steps)
            steps = [step for step in zone.steps if abs(step[0] - int(image[place])) == least]
        else:
            steps = [(image[place], _farthest(image[place], zone, up=up)) for up in (True, False)]
        return [_moved(image, place, step) for step in steps]

    def all(self, image: Flat, place: int) -> list[tuple[Flat, Flat]]:
        """Likewise with all bytes from which the place may move; of real numbers, these."""
        zone = self._asked.moves.zones[place]
        if isinstance(zone, ByteZone):
            return [_moved(image, place, step) for step in zone.steps]
        return self.near(image, place)


def _moved(image: Flat, place: int, step: tuple[Any, Any]) -> tuple[Flat, Flat]:
    first, second = image.copy(), image.copy()
    first[place], second[place] = step
    return first, second


def _farthest(x: np.float32, zone: RealZone, *, up: bool) -> np.float32:
    """The number of binary32 in the zone that is farthest from x, above or below."""
    exact, end, toward = Fraction(float(x)), zone.step[up], np.inf if up else -np.inf
    near = np.float32(float(exact + Fraction(end)))
    near = min(max(near, np.float32(zone.a[0])), np.float32(zone.a[1]))
    for one in (near, np.nextafter(near, np.float32(-toward))):
        if zone.step[0] <= Fraction(float(one)) - exact <= zone.step[1]:
            return one
    return x
