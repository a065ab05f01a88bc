"""What is fixed before a derivation begins: layers, cores, dual vectors, the first layers.

Map: derivation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lastbit_check.certificate import Hints
from lastbit_check.derive.duals import Dual, adjoint, pairs_of
from lastbit_check.network import Network, Node
from lastbit_check.norms.conclude import ByNorms
from lastbit_check.operators import KINDS
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.layers import layer_of
from lastbit_check.operators.patterns import taps_of
from lastbit_check.question import Question
from lastbit_check.verdict import require

MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)


class Given(NamedTuple):
    """What is known of a node otherwise: its value, and how far two runs are apart there."""

    value: Value
    moves: Bound


@dataclass(frozen=True)
class Frame:
    """A network, a question and hints, with a setting and cores for every node.

    A node that is ``given`` has no core: all of its change is remainder. ``duals`` are the dual
    vectors of every node. ``norms`` bound all nodes in another way, where the hints ask for them.
    """

    network: Network
    question: Question
    hints: Hints
    settings: Mapping[str, Setting]
    cores: Mapping[str, list[Core]]
    given: Mapping[str, Given]
    duals: Mapping[str, Dual]
    norms: ByNorms | None = None

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs of classes c < j."""
        return pairs_of(self.network.classes)

    @property
    def early(self) -> tuple[Node, ...]:
        """The first layers."""
        return early_of(self.network, self.hints)

    @property
    def later(self) -> tuple[Node, ...]:
        """All other nodes but the softmax."""
        return self.network.computed[len(self.early) :]

    def kept_cores(self, base: Node) -> dict[str, list[Core]]:
        """The cores of the nodes after a base that do not forget the bases."""
        nodes = self.network.computed
        after = nodes[nodes.index(base) + 1 :]
        return {n.name: [] if self.settings[n.name].boxed else self.cores[n.name] for n in after}


def early_of(network: Network, hints: Hints) -> tuple[Node, ...]:
    """The first layers: up to the first base, or to the first SiLU if there is none."""
    nodes = network.computed
    stops = hints.bases or {n.name for n in nodes if n.op == "silu"}
    ends = [k for k, node in enumerate(nodes) if node.name in stops]
    return nodes[: ends[0] + 1] if ends else nodes[:1]


def frame_of(
    network: Network, question: Question, hints: Hints, given: Mapping[str, Given] | None = None
) -> Frame:
    """Settings and cores of all nodes. Raises Rejected (hint.*, finite.weights, ...)."""
    known = given or {}
    question.fits(network.input.shape)
    require(network.classes <= MOST_CLASSES, "model.output", "too many classes")
    _known(hints, network)
    shapes = {node.name: node.shape for node in network.nodes}
    settings = {
        node.name: Setting(
            node,
            layer_of(node, shapes) if node.sum else None,
            hints.slope(node),
            node.name in hints.boxes,
            taps_of(node, shapes),
        )
        for node in network.computed[1:]
    }
    cores = {
        name: [] if name in known else KINDS[setting.node.op].cores(setting)
        for name, setting in settings.items()
    }
    return Frame(network, question, hints, settings, cores, known, adjoint(network, cores))


def _known(hints: Hints, network: Network) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    shared = [name for hint in hints.together.values() for name in hint.nodes]
    given = {"slopes": hints.slopes, "boxes": hints.boxes, "together": shared}
    for kind, names in given.items():
        having = {n.name for n in network.computed[1:] if kind in KINDS[n.op].hinted}
        other = sorted({*names} - having)
        require(not other, "hint.node", f"{kind} of what is no node with such hints: {other}")
    other = sorted({*hints.bases, *hints.norms} - {n.name for n in network.computed})
    require(not other, "hint.node", f"bases or norms of what is no node: {other}")
