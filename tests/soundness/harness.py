"""What every soundness test needs: any hints, any executions, exact comparison, attacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import Network, OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, proved
from lastbit_check.derive.changes import APART, EXACT, first_changes
from lastbit_check.derive.derivation import Derivation
from lastbit_check.network import Network as NormalForm
from lastbit_check.norms.conclude import ByNorms, by_norms
from lastbit_check.norms.sizes import Size
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import Bound
from lastbit_check.question import ANY_TWO, SAME_PROGRAM
from lastbit_check.verdict import Rejected
from soundness.attacks import attacks, flipped
from soundness.exactly import exact_value, real
from soundness.programs import LONG, Both, Bytes, Long, Values, Way, ways
from support.networks import RandomNetwork


def random_hints(network: NormalForm, seed: int) -> Hints:
    """Hints that no one would choose: any slopes, boxes and bases."""
    random = np.random.default_rng(seed)
    curved = [n for n in network.computed[1:] if "slopes" in KINDS[n.op].hinted]
    slopes = {
        n.name: random.integers(-(2**20), 2**21, n.shape[0], dtype=np.int64).tolist()
        for n in curved
        if random.random() < 0.8
    }
    names = [n.name for n in network.computed]
    bases = frozenset(str(n) for n in random.choice(names, random.integers(4)))
    boxes = frozenset(
        n.name for n in curved if "boxes" in KINDS[n.op].hinted and random.random() < 0.4
    )
    return Hints(slopes, boxes, bases)


# ---- what must hold --------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A network, and what was derived for it."""

    network: Network
    derived: Derived

    @property
    def derivation(self) -> Derivation:
        return self.derived.derivation

    @property
    def form(self) -> NormalForm:
        return self.derivation.frame.network

    @property
    def both(self) -> Both:
        return Both(self.network, self.form, self.network.question)

    @cached_property
    def norms(self) -> ByNorms | None:
        """What norms say, where they say something."""
        try:
            return by_norms(self.form, self.derivation.frame.question)
        except Rejected as error:
            assert error.rule in ("around.kind", "around.radius", "finite.values", "precision")
            return None

    def upper(self, executions: str = ANY_TWO) -> Fraction:
        return self.derived.claims[executions].upper

    def logits(self, executions: str = ANY_TWO) -> Fraction:
        return self.derived.claims[executions].logits

    def run(self, image: Bytes, way: Way) -> Values:
        return self.both.run(image, way)

    def noise(self, name: str) -> NDArray[np.float64]:
        """What is charged for the rounding of one execution (C, H, W)."""
        value = self.derivation.values[name]
        return np.broadcast_to(real(value.noise)[..., 0], self.form.by_name[name].shape)

    def check_values(self, values: Values) -> None:
        """One execution: every value in its interval, every norm within its size."""
        for name, value in self.derivation.values.items():
            x = values[name]
            assert np.all(np.isfinite(x)), name
            low, high = (real(side)[..., 0] for side in value.interval)
            assert np.all(low <= x), (name, "below its interval", float(np.max(low - x)))
            assert np.all(x <= high), (name, "above its interval", float(np.max(x - high)))
            if self.norms is not None:
                found = self.norms.found
                within(x.ravel() - found.reference[name], found.away[name], name)

    def roundings(self, values: Values) -> Iterator[tuple[str, Long]]:
        """Of each node but the softmax, by how much a value differs from what it should be."""
        for node in self.form.computed:
            yield node.name, np.abs(values[node.name] - exact_value(self.form, node, values))

    def check_roundings(self, values: Values) -> None:
        """One execution: each node is off by no more than its rounding bound."""
        for name, error in self.roundings(values):
            allowed = self.noise(name)
            assert np.all(error <= allowed), (name, float(np.max(error - allowed)))

    def check_pair(
        self, values: Values, others: Values, place: int, executions: str = ANY_TWO
    ) -> None:
        """Two executions on images that differ in one place: changes, logits, probabilities.

        For `SAME_PROGRAM` they are of one program.
        """
        for name, bound in self.derivation.moves[executions].items():
            change = np.abs(values[name] - others[name])
            allowed = real(bound.radius)
            column = place if allowed.shape[3] > 1 else 0
            assert allowed.shape[3] in (1, math.prod(self.network.input_shape)), name
            over = change - allowed[..., column]
            assert np.all(over <= 0), (name, "moves", float(np.max(over)))
            if self.norms is not None:
                within(change, self.norms.moved[executions].sizes[name], f"{name} moves")
            if executions == SAME_PROGRAM:
                assert not np.any(change[~self.reached(name, place)]), (name, "is not reached")
        z = (others[self.form.logits] - values[self.form.logits]).reshape(-1)
        spread = Fraction(float(np.max(z))) - Fraction(float(np.min(z)))
        bounds = [self.logits(executions)]
        bounds += [self.norms.worst[executions][0]] if self.norms else []
        for bound in bounds:
            assert spread <= bound, (executions, float(spread), float(bound))
        p = float(np.max(np.abs(others[self.network.output] - values[self.network.output])))
        assert Fraction(p) <= self.upper(executions), (executions, p)

    def reached(self, name: str, place: int) -> NDArray[np.bool_]:
        """The units of a node that a place may reach where one program runs both images."""
        mask, shape = self.derivation.reach[name], self.form.by_name[name].shape
        if mask is None:
            return np.ones(shape, np.bool_)
        return mask[:, place if mask.shape[1] > 1 else 0].reshape(shape)

    @cached_property
    def first(self) -> dict[str, dict[str, Bound]]:
        """How far the first layers' nodes move, by aspect and node, place by place."""
        d, places = self.derivation, math.prod(self.network.input_shape)
        return first_changes(d.frame, d.values, d.reach, range(places))[1]

    def check_errors(
        self, values: Values, others: Values, exact: Values, moved: Values, place: int
    ) -> None:
        """Two runs of one program against float64 on the same images.

        Each is off by no more than the aspect `EXACT` says, and what they are off by differs by no
        more than `APART`.
        """
        for name in self.first[EXACT]:
            room = 2.0**-45 * (1 + np.abs(exact[name]))
            errors = [a[name].astype(LONG) - b[name] for a, b in ((values, exact), (others, moved))]
            allowed = real(self.first[EXACT][name].radius)[..., 0]
            for off in errors:
                assert np.all(np.abs(off) <= allowed + room), (name, float(np.max(abs(off))))
            apart = real(self.first[APART][name].radius)[..., place]
            assert np.all(np.abs(errors[0] - errors[1]) <= apart + 2 * room), name


def within(x: NDArray[np.float64], size: Size, name: str) -> None:
    """A deviation (C, H, W) or (units,): each of its norms is at most what is said."""
    flat = np.abs(x).reshape(len(size.channels), -1) * (1 - 2.0**-40)  # of the norms made here
    assert np.all(flat.ravel() <= size.units[:, 0]), (name, "a unit")
    channels = np.sqrt(np.sum(flat * flat, axis=1))
    assert np.all(channels <= size.channels[:, 0]), (name, "a channel")
    assert np.sqrt(np.sum(flat * flat)) <= size.total[0], (name, "all")


# ---- attacks ---------------------------------------------------------------------------------


def assault(subject: Subject, seed: int, rounds: int = 1) -> None:
    """All that must hold, under attack: of any two executions, and of one program."""
    how, claims = ways(seed), subject.derived.claims
    for image, place in attacks(subject.network, [c.worst for c in claims.values()], seed):
        other = flipped(image, place)
        for _ in range(rounds):
            one, two = islice(how, 2)
            runs = [[subject.run(v, way) for v in (image, other)] for way in (one, two)]
            for values in (v for pair in runs for v in pair):
                subject.check_values(values)
                subject.check_roundings(values)
            for pair in runs:
                subject.check_pair(pair[0], pair[1], place, SAME_PROGRAM)
                subject.check_pair(pair[0], pair[1], place, ANY_TWO)
            subject.check_pair(runs[0][0], runs[1][1], place, ANY_TWO)
            subject.check_pair(runs[1][0], runs[0][1], place, ANY_TWO)


# ---- networks --------------------------------------------------------------------------------


class NearlyLinear(RandomNetwork):
    """The same dice, but from the second SiLU on everything is 2^-``scale`` of its usual size.

    Then the plan chooses the first SiLU as base, and the ranges follow it column by column.
    """

    scale = 12

    def _build(self) -> None:
        b, random = self.b, self.random
        self.size = (int(random.integers(4, 8)), int(random.integers(4, 8)))
        x = b.div(b.input_bytes((1, *self.size)), 255)
        self.channels = 1
        x = self._convolution(x, outputs=int(random.integers(2, 5)), activate=True)
        x = b.affine(x, "mul", np.float32(2.0**-self.scale))
        for _ in range(int(random.integers(2, 4))):
            x = (self._block, self._squeeze_excite, self._grouped)[random.integers(3)](x)
        x = b.mean(x)
        x = b.affine(x, "mul", np.float32(2.0**self.scale))
        b.softmax(b.dense(x, self._weights((3, self.channels)), self._weights((3,))))

    def _grouped(self, x: str) -> str:
        """A depthwise convolution of an odd shape: its kernel, strides and pads all differ."""
        groups = self.channels
        w = self._weights((groups, 1, 2, 3))
        return self.b.silu(self.b.conv(x, w, stride=(1, 2), padding=(1, 1, 0, 1), group=groups))

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        weights = super()._weights(shape)
        return weights * np.float32(2.0**-self.scale) if len(shape) == 1 else weights


def built(builder: OnnxBuilder, folder: Path) -> tuple[bytes, Network]:
    path = builder.save(folder / "model.onnx")
    return path.read_bytes(), read_onnx(path)


def subject_of(model: bytes, network: Network, hints: Hints | None = None) -> Subject:
    return Subject(network, proved(model, network.question, hints or hints_for(network)))


def taken(values: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """A node's value as a vector."""
    return values[name].reshape(-1)
