"""Elementary functions against their assumptions: a sample, or all 2^32 float32 numbers.

The whole sweep is cut into segments of consecutive bit patterns. After some seconds, and when it is
interrupted, what has been found so far is written to a state file, from which the same command goes
on; a state of other versions, another processor or another sample is not used.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lastbit.audit.assumptions import Judge, Tally
from lastbit.audit.functions import Implementation, Memory
from lastbit.audit.reference import FUNCTIONS, FunctionName, special_points
from lastbit.files import write_whole
from lastbit.graph import Float32Array
from lastbit.progress import Progress, silent

PATTERNS = 2**32
CHUNK = 2**16
"""Patterns at a time: what belongs to them stays in the processor's cache."""
SEGMENT = 2**22
SAVE_SECONDS = 10.0
SPECIAL_VALUES = (
    -np.inf,
    -0.0,
    0.0,
    -(2.0**-149),
    2.0**-149,
    -(2.0**-127),
    2.0**-127,
    np.inf,
    np.nan,
)
Key = tuple[str, FunctionName, Memory]
"""(runtime, function, memory)."""
Tallies = dict[Key, Tally]


@dataclass(frozen=True)
class Sweep:
    """What the implementations did.

    Attributes:
        tallies: by (runtime, function, memory).
        patterns: bit patterns per implementation, `short` apart; 2^32 where it was exhaustive.
        short_patterns: those of `short`.
        seconds: over all runs, if it was resumed.
    """

    tallies: Tallies
    patterns: int
    short_patterns: int
    seconds: float


def sampled(listed: Sequence[Implementation], bits: int = 18, *, seed: int = 0) -> Sweep:
    """The special points, and one random pattern of each of 2^bits equal ranges of patterns."""
    start = time.monotonic()
    points = sample(bits, seed=seed)
    tallies: Tallies = {}
    with quiet_and_single():
        _visit_all(points, listed, tallies)
    return Sweep(tallies, len(points), len(points), time.monotonic() - start)


def sample(bits: int, *, seed: int = 0) -> Float32Array:
    """The points of `sampled`, float32."""
    width = PATTERNS >> bits
    random = np.random.default_rng(seed)
    ranges = np.arange(0, PATTERNS, width, dtype=np.uint64)
    drawn = ranges + random.integers(0, width, len(ranges), dtype=np.uint64)
    return np.concatenate([special_points(), drawn.astype(np.uint32).view(np.float32)])


def exhaustive(
    listed: Sequence[Implementation],
    state: Path,
    *,
    short_bits: int = 18,
    patterns: int = PATTERNS,
    progress: Progress = silent,
) -> Sweep:
    """Every bit pattern, and for `short` those of `sample(short_bits)`.

    Args:
        listed: what to run.
        state: file from which an interrupted sweep goes on. It stays: whoever has stored the result
            removes it.
        short_bits: how many points `short` gets.
        patterns: stop after so many, a multiple of 2^22 (for tests).
        progress: told after each segment.

    Raises:
        OutputError: the state cannot be written.
    """
    identity = _identity(listed, short_bits, patterns)
    reached = _read(state, identity)
    start = saved = time.monotonic() - reached.seconds
    short = [i for i in listed if i.memory == "short"]
    whole = [i for i in listed if i.memory != "short"]

    with quiet_and_single():
        points = sample(short_bits)
        progress("elementary functions", reached.done // SEGMENT, patterns // SEGMENT)
        try:
            if not reached.done:
                _visit_all(points, short, reached.tallies)
            while reached.done < patterns:
                new: Tallies = {}
                for first in range(reached.done, reached.done + SEGMENT, CHUNK):
                    bits = np.arange(first, first + CHUNK, dtype=np.uint64).astype(np.uint32)
                    _visit(bits.view(np.float32), whole, new)
                # one assignment: an interrupt finds the segment and its tallies, or neither
                reached = reached.joined(new, time.monotonic() - start)
                progress("elementary functions", reached.done // SEGMENT, patterns // SEGMENT)
                if time.monotonic() - saved > SAVE_SECONDS or reached.done == patterns:
                    _write(state, identity, reached)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            if reached.done:
                _write(state, identity, reached)
            raise
    return Sweep(reached.tallies, patterns, len(points), reached.seconds)


@dataclass(frozen=True)
class _Reached:
    """How far a sweep is: so many patterns, what was found at them, seconds spent."""

    done: int
    tallies: Tallies
    seconds: float

    def joined(self, new: Tallies, seconds: float) -> _Reached:
        none, old = Tally(), self.tallies
        both = {key: old.get(key, none).joined(new.get(key, none)) for key in old | new}
        return _Reached(self.done + SEGMENT, both, seconds)


def at_special_values(listed: Sequence[Implementation]) -> dict[tuple[str, str], list[str]]:
    """The results at `SPECIAL_VALUES` of everything called on contiguous memory, as text."""
    z = np.array(SPECIAL_VALUES, np.float32)
    with quiet_and_single():
        return {
            (i.runtime, i.function): [str(y) for y in i.call(z)]
            for i in listed
            if i.memory == "contiguous"
        }


@contextmanager
def quiet_and_single() -> Iterator[None]:
    """One thread in PyTorch; overflow and NaN, which are expected here, without warnings."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        with np.errstate(all="ignore"):
            yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        torch.set_num_threads(threads)


def _visit_all(points: Float32Array, listed: Sequence[Implementation], tallies: Tallies) -> None:
    for z in np.array_split(points, max(1, len(points) // CHUNK)):
        _visit(z, listed, tallies)


def _visit(z: Float32Array, listed: Sequence[Implementation], tallies: Tallies) -> None:
    """Add what everything listed does at the points `z`."""
    for function in FUNCTIONS:
        here = [i for i in listed if i.function == function]
        judge = Judge(function, z) if here else None
        for i in here:
            assert judge is not None
            key = (i.runtime, i.function, i.memory)
            tallies[key] = tallies.get(key, Tally()).joined(judge.tally(i.call(z)))


def processor() -> str:
    """The processor's name and what of its instructions these programs choose by."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    entries = dict(reversed([line.split(":", 1) for line in lines if ":" in line]))
    entries = {key.strip(): value.strip() for key, value in entries.items()}
    flags = set(entries.get("flags", "").split())
    model = (f"family {entries.get('cpu family')} model {entries.get('model')}",)
    name = " ".join([entries.get("model name", platform.machine()), *model])
    return f"{name} ({', '.join(f for f in ('avx2', 'fma', 'avx512f', 'amx_tile') if f in flags)})"


def _identity(listed: Sequence[Implementation], short_bits: int, patterns: int) -> list[str]:
    names = [f"{i.runtime}/{i.function}/{i.memory}" for i in listed]
    return [f"numpy {np.__version__}", processor(), f"{short_bits} {patterns}", *names]


def _write(state: Path, identity: list[str], reached: _Reached) -> None:
    content = {
        "identity": identity,
        "done": reached.done,
        "seconds": reached.seconds,
        "tallies": [[list(key), tally.to_json()] for key, tally in reached.tallies.items()],
    }
    write_whole(state, json.dumps(content).encode())


def _read(state: Path, identity: list[str]) -> _Reached:
    """Where to go on: from the beginning if there is no state, or it is of something else."""
    try:
        content = json.loads(state.read_bytes())
        if content["identity"] == identity:
            tallies = {tuple(key): Tally.from_json(plain) for key, plain in content["tallies"]}
            return _Reached(int(content["done"]), tallies, float(content["seconds"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return _Reached(0, {}, 0.0)
