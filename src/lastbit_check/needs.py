"""What a derivation needs, from shapes alone: memory and time, before any work.

Measured on networks from 10^5 to 10^7 units (docs/scaling.md); no claim rests on it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lastbit_check.certificate import Hints
from lastbit_check.derive.columns import CHUNK
from lastbit_check.derive.derivation import MANY_PLACES, PLACES
from lastbit_check.derive.frame import early_of
from lastbit_check.derive.reach import MOST_ENTRIES
from lastbit_check.network import Network, Node
from lastbit_check.norms.apart import MOST_NUMBERS
from lastbit_check.question import Question

PROGRAM, WEIGHT, UNIT = 2**27, 110, 150  # bytes in all, of a weight, of a unit
CLAIMED = 400  # bytes of a pair and a place, while claims are concluded
CELLS = 96  # of a unit and a cell that norms follow by itself
ARRAYS = 14  # of numbers of the first layers, for each of their nodes
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)


@dataclass(frozen=True)
class Needs:
    """Bytes by what they are for; about how many seconds on one core."""

    parts: dict[str, float]
    seconds: float

    @property
    def memory(self) -> float:
        """All that is held, and the most that passes."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        largest = sorted(self.parts.items(), key=lambda item: -item[1])
        named = ", ".join(f"{name} {shown(size)}" for name, size in largest[:3])
        return f"about {shown(self.memory)} ({named}) and {self.seconds:,.0f} s on one core"


def needs(network: Network, question: Question, hints: Hints) -> Needs:
    """Of a derivation from hints. It is no bound: within a factor of two, as a rule."""
    nodes, classes, shape = network.computed, network.classes, network.input.shape
    units, pairs = sum(map(_units, nodes)), math.comb(classes, 2)
    kernels = [(part.weight.size, _units(node) // node.shape[0])
               for node in nodes if node.sum for part in node.sum.parts]  # fmt: skip
    work = sum(size * places for size, places in kernels)
    early, places = early_of(network, hints), question.places(shape)
    many = places > MANY_PLACES
    wide = sum(_units(n) * (min(1, 6 / n.shape[1]) if many else 1) for n in early)
    first = wide * (shape[2] if many else min(places, PLACES))
    reach = places * max(map(_units, early))
    after, read = dict[str, float](), 0.0
    for base in (node for node in nodes if node.name in hints.bases):
        later = nodes[nodes.index(base) + 1 :]
        written = sum(part.weight.size * _units(n) / n.shape[0]
                      for n in later if n.sum for part in n.sum.parts)  # fmt: skip
        read += written * _units(base)
        held = 24 * written + 8 * CHUNK * 4 * max(map(_units, later))
        after = {"columns": max(held, after.get("columns", 0.0))}
    shared = {name for hint in hints.together.values() for name in hint.nodes}
    if shared:
        first_base = next((_units(node) for node in nodes if node.name in hints.bases), 0)
        kept = sum(map(_units, (n for n in nodes if n.name in shared)))
        after["roundings together"] = first_base * (4 * kept / 8 + 24 * 2**12)
    if hints.norms:
        some = max([0, *(size for size in map(_units, nodes) if size * places <= MOST_NUMBERS)])
        after["norms"] = CELLS * some * places + 12.0 * work
    parts = {
        "program": PROGRAM,
        "weights": WEIGHT * sum(size for size, _ in kernels),
        "values": (UNIT + 8 * classes) * units + 80 * max(map(_units, nodes)),
        "first layers": 8.0 * ARRAYS * first + 3 * (reach if reach <= MOST_ENTRIES else 0),
        "pairs and places": pairs * places * (48 * len(early) + CLAIMED),
    }
    each = 6e-8 if many else 2e-7
    seconds = 3 + 2e-7 * work + each * places * wide + 2e-10 * read + 1e-8 * pairs * units
    return Needs({**parts, **after}, seconds)


def _units(node: Node) -> int:
    return math.prod(node.shape)


def bytes_of(text: str) -> float:
    """A number of bytes as people write it: 8GiB, 500 MB, 8G; ValueError if it is none."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"no amount of memory: {text!r}; write it like 8GiB or 500MB")
    number, unit, binary = found.groups()
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    return float(number) * (1024 if binary else 1000) ** power


def shown(size: float) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.0f} MiB"
