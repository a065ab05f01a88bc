"""A frame in which nodes are known by norms: their ranges, and how far two runs are apart."""

from __future__ import annotations

from dataclasses import replace

from lastbit_check.around.binary64 import fixed
from lastbit_check.certificate import Hints
from lastbit_check.derive.frame import Frame, Given, early_of, frame_of
from lastbit_check.network import Network
from lastbit_check.norms.conclude import ByNorms, by_norms
from lastbit_check.operators.forms import Bound, nothing
from lastbit_check.question import ANY_TWO, Question


def framed(
    network: Network, question: Question, hints: Hints, known: ByNorms | None = None
) -> Frame:
    """As `frame_of` has it, with what the hints name known by norms, but for the first layers.

    ``known`` is what norms say, if that has been found before.
    """
    if not hints.norms:
        return frame_of(network, question, hints)
    found = known or by_norms(network, question)
    first = {node.name for node in early_of(network, hints)}
    frame = frame_of(network, question, hints, given_of(found, hints.norms - first))
    return replace(frame, norms=found)


def given_of(known: ByNorms, names: frozenset[str]) -> dict[str, Given]:
    """What is known of some nodes, of any two executions."""
    given = dict[str, Given]()
    for node in known.found.network.computed:
        if node.name in names:
            units = known.moved[ANY_TWO].sizes[node.name].units
            error = fixed(units).reshape(*node.shape, 1)
            given[node.name] = Given(known.found.values[node.name], Bound(error, nothing(error)))
    return given
