"""Hints whose derivation fits into the memory there is, and what is said of what it needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from lastbit.errors import UsageError
from lastbit.graph.network import Network
from lastbit.hints.plan import hints_for, plan
from lastbit_check.certificate import Hints, Together
from lastbit_check.needs import Needs, needs, shown
from lastbit_check.operators import KINDS

Say = Callable[[str], None]
"""Told a sentence."""
BESIDE = 2**28
"""Bytes that the packages of lastbit take, and the process that checks."""


def quiet(_: str) -> None:
    """Say nothing."""


def fitted(network: Network, memory: float | None, say: Say) -> tuple[Hints, bool]:
    """Hints, and whether roundings may be taken together: as much as fits.

    What a proof has derived it holds while another process derives it again, as a check.

    Args:
        network: read from a file.
        memory: bytes; all of this machine's, if no number is given.
        say: told what the work needs, and what is left out of it.

    Raises:
        UsageError: even what needs the least does not fit.
    """
    limit, hints = _limit(memory), hints_for(network)
    nodes = network.normal.computed[1:]
    names = [node.name for node in nodes if "together" in KINDS[node.op].hinted]
    every = {"": Together((), (0, 1), tuple(names), [], [])} if hints.bases else {}
    ways = [(replace(hints, together=every), "")]
    if hints.bases:
        least = hints_for(network, plan(network, based=False))
        ways += [(hints, "roundings are not taken together"),
                 (least, "no node keeps how it depends on those before")]  # fmt: skip
    found = needs(network.normal, network.question, ways[-1][0])
    for way, without in ways:
        found = needs(network.normal, network.question, way)
        if 2 * found.memory + BESIDE <= limit:
            say(f"{found}, and as much again for the check")
            if without:
                say(f"to keep to {shown(limit)}, {without}: the bound is larger for it")
            return replace(way, together={}), bool(way.together)
    raise _too_much(found, 2 * found.memory + BESIDE, limit, memory is not None)


def affordable(found: Needs, *, memory: float | None, say: Say) -> None:
    """Say what a check needs. Raises UsageError where that is more than there is."""
    say(str(found))
    if not found.memory <= _limit(memory):
        raise _too_much(found, found.memory, _limit(memory), memory is not None)


def _limit(memory: float | None) -> float:
    if memory is not None:
        return memory
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _too_much(found: Needs, needed: float, limit: float, said: bool) -> UsageError:
    where = f"{shown(limit)} {'may be used' if said else 'is all this machine has'}"
    fix = f"allow {shown(needed)} with --memory" if said else "use a machine with more memory"
    return UsageError(f"this needs {found}, in all {shown(needed)}", where=where, fix=fix)
