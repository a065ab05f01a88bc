"""Allowed executions: of the graph as it is written, and of rewritten ones.

A program runs any image in one way: one rewriting, one tree for each sum, the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.float32 import ORDERS, execute
from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import Network
from lastbit_check.network import Network as NormalForm
from lastbit_check.question import LAST_BIT, Question

Bytes = NDArray[np.uint8]
Values = dict[str, NDArray[np.float64]]
"""(C, H, W) by node of the normal form, at least."""
LONG = np.longdouble
Long = NDArray[np.longdouble]
Way = dict[str, Any]
"""Settings of the executor of graphs as they are written, or with ``seed`` of rewritten ones."""


@dataclass(frozen=True)
class Both:
    """A network as it is written and in normal form; the first has all nodes of the second."""

    written: Network
    form: NormalForm
    question: Question = LAST_BIT

    def run(self, image: Bytes, way: Way) -> Values:
        """One execution."""
        if "seed" in way:
            return execute_rewritten(self.form, image, question=self.question, **way)
        values = execute(self.written, image, keep=True, **way)[1]
        return {name: v.astype(np.float64) for name, v in values.items()}


def logistic(z: Long) -> Long:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)), dtype=z.dtype)


def low_sigmoid(rate: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A sigmoid that is wrong by ``rate`` units of 2^-24, half as much near 0; sign by position.

    Where it may be wrong by 2^-28 only it is 1/2, the one float32 number that is allowed there.
    """

    def sigmoid(z: NDArray[np.float32]) -> NDArray[np.float32]:
        exact = logistic(z.astype(LONG))
        sign = np.where(np.arange(z.size).reshape(z.shape) % 2, 1.0, -1.0)
        error = np.where(np.abs(z) <= 2.0**-6, rate / 2, rate) * 2.0**-24
        error = np.where(np.abs(z) <= 2.0**-27, 0.0, error)
        return np.clip(exact + sign * error, 0.0, 1.0).astype(np.float32)

    return sigmoid


def off_exp(rate: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """An exp that is wrong by ``rate`` units of 2^-20, relatively; its sign by position."""

    def exp(z: NDArray[np.float32]) -> NDArray[np.float32]:
        sign = np.where(np.arange(z.size).reshape(z.shape) % 2, 1.0, -1.0)
        return (np.exp(z.astype(np.float64)) * (1 + sign * rate * 2.0**-20)).astype(np.float32)

    return exp


SIGMOIDS = low_sigmoid(2.9), low_sigmoid(-2.9)
EXPONENTIALS = off_exp(0.9), off_exp(-0.9)


def functions(random: np.random.Generator) -> Way:
    """Sigmoid and exp, right or wrong, and whether subnormal numbers are flushed."""
    found: Way = {"flush_to_zero": bool(random.random() < 0.5)}
    for name, wrong in (("sigmoid", SIGMOIDS), ("exp", EXPONENTIALS)):
        if random.random() < 0.6:
            found[name] = wrong[int(random.integers(2))]
    return found


def written(seed: int) -> Iterator[Way]:
    """Of graphs as they are written: every summation order, a choice of all else; no end."""
    random = np.random.default_rng(seed)
    while True:
        for order in (*ORDERS, f"random:{random.integers(99)}"):
            yield {
                "order": order,
                "batch_norm_form": str(random.choice(["centred", "scaled"])),
                **functions(random),
            }


def rewritten(seed: int) -> Iterator[Way]:
    """Of rewritten graphs, in random trees more often than in orders; no end."""
    random = np.random.default_rng([seed, 1])
    while True:
        way = {"seed": int(random.integers(2**31)), **functions(random)}
        if random.random() < 0.4:
            way["order"] = str(random.choice(ORDERS))
        yield way


def ways(seed: int) -> Iterator[Way]:
    """Both in turn; no end."""
    for pair in zip(written(seed), rewritten(seed), strict=False):
        yield from pair
