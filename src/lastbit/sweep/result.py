"""What a sweep found, as data: the same bytes whoever ran it, in whatever order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lastbit.data import ImageSet
from lastbit.sweep.changes import exceeds
from lastbit.sweep.table import Table
from lastbit.sweep.tally import Found
from lastbit_check.question import SAME_PROGRAM

FORMAT = "lastbit-sweep-1"
PART = 4096
HEADER = "image,name,channel,row,column,class,before,after,change"


@dataclass(frozen=True, eq=False)
class Swept:
    """What `lastbit.sweep.sweep` found.

    Attributes:
        subject: of what: model, inputs, images, runtime, and the version that said so.
        images: the images.
        pairs: how many pairs of an image and a place there are, all of which are meant.
        largest: the ten largest changes, the largest first.
        by_place: the largest at every place, in the order of (C, H, W), where it was asked for;
            None for a place whose neighbours are outside of the box in every image.
        each: the largest of every image, as rows of `BEST`, where it was asked for.
        upper: the U that the model's certificate claims, by executions; empty without one.
        certificate: its SHA-256.
        beyond: what changed by more than it may have, if anything did.
        executions: how many images were run for it, earlier runs that were interrupted included.
        resumed: how many of these by earlier runs.
        limits: what was known of all that was not run, in words.
    """

    subject: Mapping[str, Any]
    images: ImageSet
    pairs: int
    largest: Sequence[Found]
    by_place: Sequence[Found | None] | None
    each: Table | None
    upper: Mapping[str, float]
    certificate: str
    beyond: Found | None
    executions: int
    resumed: int
    limits: str

    @property
    def refuted(self) -> Found | None:
        """What exceeds a bound, if anything does: then the bound does not hold here."""
        top = self.largest[0] if self.largest else None
        if top and self.upper and exceeds(top.change, self.upper[SAME_PROGRAM]):
            return top
        return self.beyond

    @property
    def verdict(self) -> str:
        return "refuted" if self.refuted else "swept"

    @property
    def brute_force(self) -> int:
        """Executions without any bound: every image, and every neighbour."""
        return len(self.images) + self.pairs

    def answer(self) -> dict[str, Any]:
        """What stands in `sweep.json`. Probabilities are exact: each is a binary32 number."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            **self.subject,
            "pairs": self.pairs,
            "largest": [self._described(found) for found in self.largest],
            "by_place": self.by_place
            and [found and self._described(found) for found in self.by_place],
            "certified": {"upper": dict(self.upper), "certificate": self.certificate},
            "refuted": self.refuted and self._described(self.refuted),
        }

    def content(self) -> bytes:
        """The bytes of `sweep.json`."""
        return (json.dumps(self.answer(), indent=1, allow_nan=False) + "\n").encode()

    def rows_of_each(self) -> Iterator[bytes]:
        """The file of --each, part by part: CSV with a row for each image, in their order.

        Raises:
            ValueError: it was not asked for.
        """
        if self.each is None:
            raise ValueError("the largest of each image was not asked for")
        yield f"{HEADER}\n".encode()
        for start in range(0, len(self.images), PART):
            rows = self.each.read(start, min(PART, len(self.images) - start))
            yield "".join(self._line(start + k, row) for k, row in enumerate(rows)).encode()

    def _line(self, number: int, row: Any) -> str:
        name = json.dumps(self.images.name_of(number))[1:-1].replace(",", "\\u002c")
        if row["place"] < 0:
            return f"{number},{name},,,,,,,\n"
        place = ",".join(map(str, self.coordinates(int(row["place"]))))
        before, after = float(row["before"]), float(row["after"])
        return (
            f"{number},{name},{place},{row['class']},{before!r},{after!r},{float(row['high'])!r}\n"
        )

    def coordinates(self, place: int) -> tuple[int, int, int]:
        """Channel, row and column of a place."""
        channel, row, column = np.unravel_index(place, self.images.shape)
        return int(channel), int(row), int(column)

    def _described(self, found: Found) -> dict[str, Any]:
        name = self.images.name_of(found.image)
        return {
            "image": found.image,
            **({"name": name} if name else {}),
            "place": list(self.coordinates(found.place)),
            "class": found.class_index,
            "before": found.before,
            "after": found.after,
            "change": float(abs(Fraction(found.after) - Fraction(found.before))),
        }
