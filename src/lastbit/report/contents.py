"""What a page says, as data: everything has been computed before the page is laid out.

Numbers are float64 as the certificate has them: upper bounds rounded up, lower bounds down. None
stands for what is not known, and `Page.missing` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lastbit.models.summary import ratio, says_nothing
from lastbit.witness.files import Witness
from lastbit_check.question import ANY_TWO, SAME_PROGRAM

TITLES = {SAME_PROGRAM: "One program runs both images", ANY_TWO: "Any two executions"}
"""Executions in words."""
SHOWN = (*TITLES,)
"""Executions in the order in which a page has them."""


@dataclass(frozen=True)
class Bracket:
    """L <= Q <= U for some executions.

    ``logits`` bounds the change of a difference of two logits; ``parts`` are what U consists of.
    """

    executions: str
    lower: float | None
    upper: float
    logits: float | None
    parts: Mapping[str, float]

    @property
    def title(self) -> str:
        return TITLES[self.executions]

    @property
    def ratio(self) -> float | None:
        """U/L, 1 where they are equal."""
        return ratio(self.lower, self.upper)

    @property
    def says_nothing(self) -> bool:
        """Whether U = 1 and no more."""
        return says_nothing(self.lower, self.upper)

    @property
    def refuted(self) -> bool:
        """Whether more was seen than was proved possible."""
        return self.lower is not None and not (self.lower <= self.upper)


@dataclass(frozen=True)
class Layer:
    """A node of the normal form: what it adds to R for the worst pair and place, and its ranges.

    ``first``, ``remainder`` and ``rounding`` are in units of a difference of two logits; ``share``
    is that of all three in R. ``low`` and ``high`` are of all units and images, ``noise`` is the
    largest rounding of a unit in one execution. What is None is not known from a verdict, which
    has first layers as separate units among the remainders.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    inputs: tuple[str, ...]
    first: float | None
    remainder: float
    rounding: float
    share: float | None = None
    low: float | None = None
    high: float | None = None
    noise: float | None = None

    @property
    def added(self) -> float:
        """What it adds in all, for colours and bars."""
        return (self.first or 0.0) + self.remainder + self.rounding


@dataclass(frozen=True)
class Layers:
    """All nodes for some executions; ``slopes`` is what belongs to none of them.

    That is what the roundings of the first layers do through their own slopes.
    """

    executions: str
    nodes: tuple[Layer, ...]
    slopes: float | None = None


@dataclass(frozen=True, eq=False)
class Map:
    """A number for every place of one channel of the input (H, W).

    ``kind`` is "checked" for upper bounds, "measured" for changes that were seen. Where an input is
    large each number is the largest of ``block`` x ``block`` places.
    """

    title: str
    kind: str
    values: NDArray[np.float64]
    block: int = 1


@dataclass(frozen=True)
class Run:
    """What a runtime answers on the two images of a witness (2, classes), in float32."""

    runtime: str
    answers: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Shown:
    """The pair of images: what is written about it, and what it does here.

    ``runs`` are empty where the pair was not run. ``confirmed`` says whether every runtime here
    moves as far as is claimed.
    """

    witness: Witness
    runs: tuple[Run, ...] = ()
    confirmed: bool | None = None


@dataclass(frozen=True)
class Page:
    """A page about one certificate, or about one verdict.

    Attributes:
        model: what people call it.
        sha256: of its file.
        inputs: what they are, and what moves, in words.
        verdict: what `lastbit prove` or the check ends in.
        checked: whether lastbit-check's rules were run for this page.
        brackets: by executions, one program first.
        assumptions: names, by executions.
        accuracy: (fraction of the test images, how it is known).
        advice: what to do, where nothing is said.
        layers: by executions.
        maps: of bounds and of changes, by place.
        shown: the pair of images.
        changes: of the witness's class, by runtime, as they were measured here or are written.
        facts: (name, value) of hashes and versions.
        commands: what repeats all of it.
        missing: (what is left out, why).
        of_last_bit: whether it is the last bit of one place that moves.
    """

    model: str
    sha256: str
    inputs: str
    verdict: str
    checked: bool
    brackets: tuple[Bracket, ...]
    assumptions: Mapping[str, tuple[str, ...]]
    accuracy: tuple[float, str] | None = None
    advice: str = ""
    layers: tuple[Layers, ...] = ()
    maps: tuple[Map, ...] = ()
    shown: Shown | None = None
    changes: Mapping[str, float] = field(default_factory=dict[str, float])
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    of_last_bit: bool = True
