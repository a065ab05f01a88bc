"""Which units one cell of the input (a place, or more) can reach, if one program runs both images.

A unit that reads bit-identical operands returns a bit-identical number (the assumption
``deterministic``): its change is 0, and no rounding of it differs. A sigmoid whose computed value
is one binary32 number, whatever its operand, passes nothing on (``binary32-values``).

Map: one-program <- deterministic, binary32-values; argued in PROOF.md 3.6
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lastbit_check.network import Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import curve_of
from lastbit_check.operators.forms import Value
from lastbit_check.operators.kinds import Setting
from lastbit_check.question import Question

Mask = NDArray[np.bool_]
Reach = Mask | None
"""(units, cells), or one column for all cells alike; None where any may reach every unit."""
MOST_ENTRIES = 2**27
CHUNK = 64  # places whose reach is followed at a time


def from_input(node: Node, question: Question) -> Reach:
    """Each cell of the input reaches its places; nothing is reached where none moves."""
    units, cells = math.prod(node.shape), question.places(node.shape)
    if units * cells > MOST_ENTRIES:
        return None
    mask = np.zeros((units, cells), np.bool_)
    if question.step:
        mask[question.cells(node.shape).T, range(cells)] = True
    return mask


def reached(setting: Setting, sources: list[Value], before: list[Reach]) -> Reach:
    """By which places the units of a node are reached, from those that it reads."""
    found, curve = _joined(setting, before), curve_of(KINDS[setting.node.op], setting.node)
    if curve is not None:
        unsettled: Mask = np.logical_not(curve.settled(sources[0])).reshape(-1, 1)
        found = unsettled if found is None else np.logical_and(found, unsettled)
    return None if found is not None and bool(np.all(found)) else found


def columns(mask: Reach, places: range) -> Reach:
    """For some places."""
    return mask if mask is None or mask.shape[1] == 1 else mask[:, places.start : places.stop]


def anywhere(mask: Reach) -> Reach:
    """Which units any place reaches (units, 1)."""
    return None if mask is None else np.any(mask, axis=1, keepdims=True)


def _joined(setting: Setting, before: list[Reach]) -> Reach:
    known = [mask for mask in before if mask is not None]
    units, wide = math.prod(setting.node.shape), max([1, *(mask.shape[1] for mask in known)])
    if len(known) < len(before) or units * wide > MOST_ENTRIES:
        return None
    found = np.zeros((units, wide), np.bool_)
    if setting.layer:
        for part, mask in zip(setting.layer.parts, known, strict=True):
            for start in range(0, wide, CHUNK):
                here = slice(start, start + CHUNK)
                found[:, here] |= part.reading @ mask[:, here].astype(np.float64) > 0
        return found
    views = setting.node.views or (None,) * len(known)
    known = [m if v is None or v.order is None else m[v.order]
             for m, v in zip(known, views, strict=True)]  # fmt: skip
    if setting.taps is not None:
        for tap in setting.taps:
            found |= known[0][tap]
        return found
    for mask in known:
        found |= mask if len(mask) == units else np.repeat(mask, units // len(mask), axis=0)
    return found
