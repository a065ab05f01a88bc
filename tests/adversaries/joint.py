"""Roundings of several layers taken together, beside what one image and its trees make of them all.

A network is four pixels times a scale, SiLU, the base, and four layers: ``mixed`` reads the base,
``second`` and ``third`` are the group, ``logits`` end it. The adversary chooses the image, of each
SiLU a value that is allowed, and for every sum of the group the tree that errs most; what they err
by, each by its weight, is added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adversaries.curves import UNIT, exact_sigmoid
from adversaries.trees import Term, all_sums, exact_sum, fraction, integer, nudged, terms_of
from lastbit.graph import OnnxBuilder
from lastbit.hints.together import scales
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints, Together
from lastbit_check.check import network_in
from lastbit_check.derive.derivation import derive
from lastbit_check.derive.ledger import difference
from lastbit_check.question import LAST_BIT
from lastbit_check.refine import together

Array = NDArray[np.float64]
GROUP = "second", "third"
PAIR = 0, 1
HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float64)
HALF = 2.0**-24  # of a number just above a power of two: a little more than half its last place
MARGIN = 2e-3  # below 1, of the norm


class Layer(NamedTuple):
    """Weights (O, I) and biases (O,), binary32 numbers."""

    w: Array
    b: Array


@dataclass(frozen=True)
class Joint:
    """``scale`` of the pixels, and the four layers."""

    scale: float
    mixed: Layer
    second: Layer
    third: Layer
    logits: Layer

    @property
    def model(self) -> bytes:
        b = OnnxBuilder()
        x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(self.scale), "pixels")
        x = b.silu(x, "base")
        x = b.conv(x, self.mixed.w.reshape(-1, 1, 2, 2), self.mixed.b, name="mixed")
        for name, layer in (("second", self.second), ("third", self.third)):
            x = b.conv(x, layer.w[..., None, None], layer.b, name=name)
        b.softmax(b.dense(b.mean(x), self.logits.w, self.logits.b, name="logits"))
        return b.to_bytes()

    @property
    def hints(self) -> Hints:
        """A boxed base; the group is taken together."""
        base, group = frozenset({"base"}), Together((), PAIR, GROUP, (), ())
        return Hints({}, boxes=base, bases=base, together={"": group})

    @cached_property
    def group(self) -> tuple[list[together.Terms], list[Fix], Array]:
        """What the rule reads of the group, what its values count, how far the base reaches."""
        hints = self.hints
        derivation = derive(network_in(self.model), LAST_BIT, hints)
        trunk = together.trunk_of(derivation)
        terms = together.terms_of(derivation, trunk, hints.together[""])
        values = [difference(derivation.frame.duals[name], PAIR) for name in GROUP]
        return terms, values, trunk.widths

    @cached_property
    def bound(self) -> Fraction:
        """That of the rule, with nearly the best scales."""
        return self.bounded(MARGIN)

    def bounded(self, margin: float) -> Fraction:
        """With scales whose norm is so far below 1."""
        terms, _, radius = self.group
        forms, gains, rest = together.gathered(terms, radius)
        return together.bound((forms, gains, rest), scales(forms, gains, margin))

    def error(self, run: Run) -> Fraction:
        """What the group's layers err by, weighted, in two runs that are alike."""
        values, total = self.base(run), Fraction(0)
        values = [result(self.mixed, k, values, run.trees[k % 4]) for k in range(len(self.mixed.w))]
        for layer, a in zip((self.second, self.third), self.group[1], strict=True):
            off = [furthest(layer, k, values) for k in range(len(layer.w))]
            weights = [2 * abs(int(n)) * Fraction(2) ** -a.e for n in a.n.ravel()]
            total += sum(g * error for g, (error, _) in zip(weights, off, strict=True))
            values = [value for _, value in off]
        return total

    def base(self, run: Run) -> list[float]:
        """The SiLUs' values, each so many last places away as long as that is allowed."""
        found: list[float] = []
        for byte, steps in zip(run.image, run.nudges, strict=True):
            z = float(np.float32(byte) * np.float32(self.scale))
            exact = Fraction(z) * exact_sigmoid(z)
            nearest = float(np.float32(float(exact)))
            tried = nudged(nearest, steps) if z else nearest
            allowed = abs(Fraction(tried) - exact) <= 3 * UNIT * abs(Fraction(z))
            found.append(tried if allowed else nearest)
        return found


class Run(NamedTuple):
    """Four bytes, last places that the SiLUs are off, and which trees the first layer takes."""

    image: tuple[int, ...]
    nudges: tuple[int, ...] = (0,) * 4
    trees: tuple[int, ...] = (0,) * 4


def row_of(layer: Layer, row: int, values: list[float]) -> list[Term]:
    """The terms of a row that are not 0."""
    bias = integer(layer.b[row])
    return [t for t in [*terms_of(layer.w[row], values), Term(bias, bias)] if t.exact]


def result(layer: Layer, row: int, values: list[float], choice: int) -> float:
    """One of the numbers that a row's trees return."""
    terms = row_of(layer, row, values)
    found = sorted(all_sums(terms)) if terms else [0]
    return float(fraction(found[choice % len(found)]))


def furthest(layer: Layer, row: int, values: list[float]) -> tuple[Fraction, float]:
    """The largest error of a row, and what is returned with it."""
    terms = row_of(layer, row, values)
    exact = exact_sum(terms)
    worst = max(all_sums(terms), key=lambda n: abs(n - exact)) if terms else 0
    return fraction(abs(worst - exact)), float(fraction(worst))


def searched(joint: Joint, seed: int, steps: int) -> float:
    """The largest share of the bound that a local search over runs finds."""
    random, best = np.random.default_rng(seed), Fraction(0)
    run = Run((255, 255, 255, 0))
    for step in range(steps):
        fields = [[*field] for field in run]
        k, which = int(random.integers(4)), int(random.integers(3)) if step % 2 else 0
        byte = (0, 255, int(random.integers(256)))[int(random.integers(3))]
        fields[which][k] = (byte, int(random.integers(-3, 4)), int(random.integers(9)))[which]
        tried = Run(*(tuple(field) for field in fields))
        error = joint.error(tried)
        assert error <= joint.bound, (joint, tried)
        if error >= best:
            run, best = tried, error
    return float(best / joint.bound)


def plain(w: Array) -> Layer:
    return Layer(w, np.zeros(len(w)))


def random_joint(seed: int, terms: int = 3) -> Joint:
    """Weights of 10 bits, ``terms`` in a row of the group; biases in every other network."""
    random = np.random.default_rng(seed)

    def layer(outs: int, ins: int, count: int) -> Layer:
        w = np.rint(random.normal(size=(outs, ins)) * 2**9) / 2**9
        for row in w:
            row[random.permutation(ins)[count:]] = 0
        return Layer(w, np.rint(random.normal(size=outs) * 2**9) / 2**9 * (seed % 2))

    scale = float(np.float32(random.uniform(0.5, 8) / 255))
    return Joint(scale, layer(4, 4, 4), layer(4, 4, terms), layer(4, 4, terms), layer(2, 4, 4))


def scale_for(value: float) -> float:
    """The scale with which white is ``value`` after SiLU."""
    low, high = 0.0, 10.0
    for _ in range(60):
        z = (low + high) / 2
        low, high = (z, high) if z / (1 + np.exp(-z)) < value else (low, z)
    return float(np.float32(high / 255))


@cache
def made(*, centred: bool = True) -> Joint:
    """Every sum of the group uses its bound up at one image, which makes all forms largest.

    The four forms are those of a Hadamard matrix: three white pixels and a black one make all of
    them 1, or -1, which no spectral norm excels. An addition moves each by half of its last
    place, and half of the rows of ``second`` then take it away. Not ``centred``: all forms are the
    sum of the pixels, none of which is below 0.
    """
    white = 1 + 2.0**-9 if centred else (1 + 2.0**-9) / 4
    c = white / 2
    mixing = HADAMARD if centred else np.ones((4, 4))
    bias = np.float32(-mixing.sum(1) * c * centred).astype(np.float64)
    mixed = Layer(np.concatenate([mixing, mixing]), np.concatenate([bias, bias]))
    one, none = np.eye(4), np.zeros((4, 4))
    climb = one + HALF * np.roll(one, 1, axis=1)
    second = np.block([[climb, none], [climb, -one]])
    third = np.concatenate([climb, none], axis=1)
    logits = np.array([[1, 1, 1, 1], [-1, -1, -1, -1]]) * 1.0
    third = np.concatenate([third, np.concatenate([none, one], axis=1)])
    logits = np.concatenate([logits, logits], axis=1)
    return Joint(scale_for(white), mixed, plain(second), plain(third), plain(logits))


def share_of_made(*, centred: bool = True, margin: float = MARGIN) -> float:
    """Of the bound as the rule is now, what the image for which it was made reaches."""
    joint = made(centred=centred)
    run = Run((255, 255, 255, 0 if centred else 255))
    return float(joint.error(run) / joint.bounded(margin))
