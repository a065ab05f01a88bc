"""What runtimes do on networks made to tell: no more than is proved, unit by unit and in the end.

The last layer of each network is scaled until the bound of the answer is about 1/4 for any two
executions, and its bias chosen so that the answer is 1/2 on some image: there a rounding too many
is as large as the bound, or larger. The bound is the best of several hints, as an adversary would
choose it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lastbit.audit.execution import Subject, subject_of
from lastbit.audit.executions import executions
from lastbit.audit.network import audit_execution
from lastbit.audit.nodes import NetworkJudge
from lastbit.audit.programs import Program, programs
from lastbit.audit.structure.matched import Structure
from lastbit.audit.structure.runtimes import structures
from lastbit.audit.telling import KINDS, Kind
from lastbit.float32 import execute_float64
from lastbit.graph import ByteArray, Float32Array, Network, read_onnx
from lastbit.hints import hints_for
from lastbit.progress import Progress, silent
from lastbit.witness.replay import distance
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, network_in, proved
from lastbit_check.network import Network as CheckedNetwork
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM
from lastbit_check.verdict import Rejected

CHANGE = 1.0
"""Of a difference of two logits, the bound for any two executions after scaling: tanh(1/4)."""
MOST = 2.0**60
"""The largest factor of the last layer."""
BASES = 10
"""So many of the last nodes are tried as bases, one by one."""


@dataclass(frozen=True)
class Attained:
    """The largest change of a probability, and by which runtime or runtimes."""

    value: float
    by: str


@dataclass(frozen=True)
class Told:
    """One network.

    Attributes:
        name: kind and seed.
        model: its ONNX file.
        upper: what is proved, by executions; empty where nothing is.
        attained: what runtimes attain, by executions, of those that the structure does not exclude.
        excluded: runtimes that break an assumption on this network, and what they attain.
        failures: everything that should not be, in words.
    """

    name: str
    model: bytes
    upper: Mapping[str, float]
    attained: Mapping[str, Attained]
    excluded: Mapping[str, float]
    failures: tuple[str, ...]

    @property
    def share(self) -> float:
        """The largest share of a bound that was attained."""
        return max((self.attained[e].value / self.upper[e] for e in self.upper), default=0.0)


def tell(
    per_kind: int, *, first: int = 0, kinds: Sequence[Kind] = KINDS, progress: Progress = silent
) -> list[Told]:
    """Run some networks of every kind, from seed ``first`` on."""
    found, total = list[Told](), per_kind * len(kinds)
    for kind in kinds:
        for seed in range(first, first + per_kind):
            progress("networks made to tell", len(found), total)
            found.append(told(kind, seed))
    progress("networks made to tell", total, total)
    return found


def told(kind: Kind, seed: int) -> Told:
    """Run one network."""
    name = f"{kind.name} {seed}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            centre, derived = _scaled(kind, seed, path)
        except Rejected as error:
            return Told(name, path.read_bytes(), {}, {}, {}, _only_if_unreadable(error))
        return judged(name, path, centre, derived)


def judged(name: str, path: Path, centre: ByteArray, derived: Derived) -> Told:
    """Run a model on pairs of images around one, and hold all that it does against the bounds."""
    network = read_onnx(path)
    images, others = pairs_around(centre, seed=len(name))
    subject = subject_of(path, network, images=len(images))  # XLA's program for just so many
    graphs, _ = structures(subject.structures, network, compiled=False)
    listed = programs(path, network)
    first = {p.name: p.run(images) for p in listed}
    second = {p.name: p.run(others) for p in listed}
    upper = {e: float(derived.claims[e].upper) for e in EXECUTIONS}
    out = {p.name for p in listed if _excluded(p, graphs)}
    inside = [p.name for p in listed if p.name not in out]
    attained = {
        SAME_PROGRAM: max((_apart(first[n], second[n], n) for n in inside), key=_value),
        ANY_TWO: max(
            (_apart(first[a], second[b], f"{a} and {b}") for a in inside for b in inside),
            key=_value,
        ),
    }
    failures = [
        f"{name}: {n} returns no number"
        for n in inside
        if not all(np.all(np.isfinite(runs[n])) for runs in (first, second))
    ]
    failures += [
        f"{name}: {attained[e].by} attains {attained[e].value:.6g}, more than the {upper[e]:.6g} "
        f"proved for {e}"
        for e in EXECUTIONS
        if not (attained[e].value <= upper[e])
    ]
    failures += [f"{name}: {s.runtime}, {s.setting}: {why}" for s in graphs for why in s.broken]
    failures += _units(name, subject, derived, images, graphs)
    excluded = {n: _apart(first[n], second[n], n).value for n in out}
    return Told(name, path.read_bytes(), upper, attained, excluded, tuple(failures))


def _excluded(program: Program, graphs: Sequence[Structure]) -> bool:
    """Whether the runtime was found to break an assumption on this network."""
    return any(s.unequal and s.runtime.split()[0] == program.name.split()[0] for s in graphs)


def _value(attained: Attained) -> float:
    return np.inf if np.isnan(attained.value) else attained.value


def _apart(first: Float32Array, second: Float32Array, by: str) -> Attained:
    gaps = np.abs(first.astype(np.float64) - second)
    if not np.all(np.isfinite(gaps)):
        return Attained(np.nan, by)
    k = np.unravel_index(int(gaps.argmax()), gaps.shape)
    return Attained(distance(float(first[k]), float(second[k])), by)


def _only_if_unreadable(error: Rejected) -> tuple[str, ...]:
    """A network of which nothing is proved tells nothing; it has to be a rule that says so."""
    return () if error.rule else (str(error),)


def _units(
    name: str, subject: Subject, derived: Derived, images: ByteArray, graphs: Sequence[Structure]
) -> list[str]:
    """Executions in which a value is not one that the definition admits."""
    judge = NetworkJudge(derived.derivation)
    some = images[:: max(1, len(images) // 12)]
    listed, _ = executions(subject, compiled=False)
    found = list[str]()
    for execution in listed:
        out = any(s.unequal and s.runtime == execution.runtime for s in graphs)
        if out or not execution.covered or "flush" in execution.setting:
            continue
        row = audit_execution(execution, judge, some)
        if not row.within:
            worst = row.nodes[row.worst]
            found.append(
                f"{name}: {row.runtime}, {row.setting} leaves its bounds at {row.worst}, unit "
                f"{tuple(worst.at)}, by a factor of {worst.share:.4g}"
            )
    return found


# ---- the bound -------------------------------------------------------------------------------


def _scaled(kind: Kind, seed: int, path: Path) -> tuple[ByteArray, Derived]:
    """Write a network of a kind, scaled and shifted; its centre, and the best that is proved."""
    random, factor, chosen = np.random.default_rng([seed, 7]), 1.0, None
    centre: ByteArray | None = None
    for _ in range(3):
        path.write_bytes(kind.network(seed, factor).to_bytes())
        network = read_onnx(path)
        if centre is None:
            centre = random.integers(0, 256, network.input_shape, dtype=np.uint8)
        logits = execute_float64(network, centre)[1][network.logits].ravel()
        bias = -float(logits[0] - logits[1]) / 2
        if np.isfinite(bias):
            path.write_bytes(kind.network(seed, factor, bias).to_bytes())
        chosen = best(path, chosen)
        change = float(chosen.claims[ANY_TWO].logits)
        if change == 0 or 0.5 < change / CHANGE < 2:
            break
        factor = min(factor * CHANGE / change, MOST)
    assert centre is not None
    assert chosen is not None
    return centre, chosen


def best(path: Path, before: Derived | None = None) -> Derived:
    """The smallest bound that some hints prove; those of ``before`` alone, if there are any.

    Raises:
        Rejected: none proves anything.
    """
    model, network = path.read_bytes(), read_onnx(path)
    checked, found = network_in(model), list[Derived]()
    hints = [before.derivation.frame.hints] if before else tried(network, checked)
    refused = Rejected("", "no hints")
    for some in hints:
        try:
            found.append(proved(model, LAST_BIT, some))
        except Rejected as error:
            refused = error
    if not found:
        raise refused
    return min(found, key=lambda d: d.claims[ANY_TWO].logits)


def tried(network: Network, checked: CheckedNetwork) -> Iterator[Hints]:
    """The usual hints, and others that may happen to fit better."""
    usual = hints_for(network)
    yield usual
    names = [node.name for node in checked.computed]
    yield replace(usual, bases=frozenset(names))
    yield replace(usual, bases=frozenset(names), boxes=frozenset())
    for name in names[-BASES:]:
        yield replace(usual, bases=frozenset({name}))
        yield replace(usual, bases=frozenset({name}), boxes=frozenset())


def pairs_around(
    centre: ByteArray, *, seed: int = 0, near: int = 16
) -> tuple[ByteArray, ByteArray]:
    """Images near one, each as often as it has bytes, and the same with one last bit flipped.

    An image and its partner have the same place in a batch: there one program runs both.
    """
    random, size = np.random.default_rng(seed), centre.size
    images = np.repeat(centre.reshape(1, -1), near, axis=0)
    for image in images[1:]:
        for place in random.integers(size, size=int(random.integers(1, 4))):
            image[place] ^= np.uint8(random.choice([1, 2, 3]))
    first = np.repeat(images, size, axis=0)
    second = first.copy()
    second[np.arange(len(first)), np.arange(len(first)) % size] ^= 1
    shape = (-1, *centre.shape)
    return first.reshape(shape), second.reshape(shape)
