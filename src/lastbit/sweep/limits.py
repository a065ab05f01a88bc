"""Upper bounds on what the last bit of one place can do to an image's probabilities.

What a sweep does not run, it does not run because of these. docs/sweep.md proves the step from
R_cj, which bounds the change of a difference of two logits, to probabilities as they are computed.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lastbit_check.arithmetic.binary32 import UNIT

Real = NDArray[np.float64]

MOST = 8.0
"""Of R: where it is larger, the limit is 1."""
EXPONENTIALS = 2.0**-15
"""What the errors of exponentials, and of the differences that they are of, add to R."""
SMALL = 2.0**-46
"""What a class with next to no probability may gain, in units of another's."""
LAST = 2.0**-50
"""What probabilities below 2^-56, and underflow, change."""
ROOM = 1 + 2.0**-40
"""For the roundings of this module's own sums and products of positive numbers: up to 2^11."""
MOST_CLASSES = 2**10


class Limits(Protocol):
    """Upper bounds for images, however they are come by.

    ``kind`` is a word for the result; ``says`` one sentence. Bounds hold for a program that runs
    both images (`same-program`), under the assumptions that a certificate names.
    """

    @property
    def kind(self) -> str: ...

    @property
    def says(self) -> str: ...

    def of(self, images: NDArray[Any], probabilities: NDArray[np.float32]) -> Real:
        """Upper bounds (n, places) on the change of any class's probability.

        Args:
            images: (n, C, H, W), as the program is given them.
            probabilities: (n, classes), what it has made of them.
        """
        ...


@dataclass(frozen=True)
class Nothing:
    """No bound is known but 1: all neighbours are run."""

    places: int
    why: str
    kind: str = "none"

    @property
    def says(self) -> str:
        return f"nothing is excluded: {self.why}"

    def of(self, images: NDArray[Any], probabilities: NDArray[np.float32]) -> Real:
        return np.ones((len(images), self.places))


@dataclass(frozen=True)
class Absorbed:
    """A node tells no last bit: the two runs are the same from there on, bit for bit."""

    places: int
    node: str
    kind: str = "absorbed"

    @property
    def says(self) -> str:
        return f"no last bit gets through node {self.node}"

    def of(self, images: NDArray[Any], probabilities: NDArray[np.float32]) -> Real:
        return np.zeros((len(images), self.places))


@dataclass(frozen=True, eq=False)
class Everywhere:
    """By the bound for all images: R for every pair of classes and every place.

    Attributes:
        bounds: R (pairs, places), for `same-program`, rounded up.
        pairs: (pairs, 2), the classes c < j of each; all there are.
        source: what it was derived from.
    """

    bounds: Real
    pairs: NDArray[np.int64]
    source: str
    kind: str = "everywhere"

    @property
    def says(self) -> str:
        return (
            f"a difference of two logits moves by at most {self.bounds.max():.4g}, by place "
            f"{self.bounds.max(axis=0).min():.4g} to {self.bounds.max():.4g} ({self.source})"
        )

    @cached_property
    def _rates(self) -> tuple[Real, Real]:
        """exp(R) - 1 and 1 - exp(-R), (classes, classes, places), 0 of a class and itself."""
        classes = int(self.pairs.max()) + 1
        moved = np.zeros((classes, classes, self.bounds.shape[1]))
        c, j = self.pairs.T
        moved[c, j] = moved[j, c] = np.minimum(self.bounds, MOST) + EXPONENTIALS
        return np.expm1(moved), -np.expm1(-moved)

    def of(self, images: NDArray[Any], probabilities: NDArray[np.float32]) -> Real:
        found = changes_within(probabilities, *self._rates)
        return np.where(self.bounds.max(axis=0) <= MOST, found, 1.0)


def changes_within(probabilities: NDArray[np.float32], rise: Real, fall: Real) -> Real:
    """Upper bounds (n, places) on the change of any computed probability (docs/sweep.md).

    Args:
        probabilities: (n, classes), as computed before the change.
        rise: exp(R_cj + `EXPONENTIALS`) - 1 for classes and places (classes, classes, places).
        fall: 1 - exp(-R_cj - `EXPONENTIALS`), likewise. No R is larger than `MOST`.
    """
    classes = probabilities.shape[1]
    rounded = 1.01 * (classes + 2) * float(UNIT)
    p = probabilities.astype(np.float64) * (1 + 2 * rounded) + 2.0**-100
    worst = np.zeros((len(p), rise.shape[2]))
    for c in range(classes):
        own = p[:, [c]]
        lost = (p @ rise[c] + classes * SMALL) * ROOM
        won = (p @ fall[c] + classes * SMALL) * ROOM
        down = own * lost / (1 + lost)
        up = np.where(won < 1, own * won / np.where(won < 1, 1 - won, 1.0), 1.0)
        change = np.maximum(down, up)
        np.maximum(worst, change * (1 + rounded) + 2 * rounded * own, out=worst)
    return np.minimum(1.0, worst * ROOM + LAST)


def saved(limits: Everywhere | Absorbed | Nothing) -> bytes:
    """Limits that hold for all images, to be read by `restored`."""
    match limits:
        case Everywhere():
            state = {"bounds": limits.bounds, "pairs": limits.pairs, "said": limits.source}
        case Absorbed():
            state = {"places": limits.places, "said": limits.node}
        case Nothing():
            state = {"places": limits.places, "said": limits.why}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, kind=np.array(limits.kind), **state)
    return stream.getvalue()


def restored(content: bytes) -> Everywhere | Absorbed | Nothing | None:
    """What was `saved`; None of anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as state:
            said = str(state["said"])
            match str(state["kind"]):
                case "everywhere":
                    return Everywhere(state["bounds"], state["pairs"], said)
                case "absorbed":
                    return Absorbed(int(state["places"]), said)
                case _:
                    return Nothing(int(state["places"]), said)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
