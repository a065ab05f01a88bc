"""What a derivation says of each node: its range, its hints, its part of U, the rules behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit.hints.breakdown import claimed_by_norms, divided, links
from lastbit_check.check import Derived
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import Derivation
from lastbit_check.derive.ledger import DEFECT, REMAINDER, ROUNDING
from lastbit_check.network import Node
from lastbit_check.operators import KINDS, OPERATORS
from lastbit_check.question import SAME_PROGRAM

FIRST_LAYERS, SOFTMAX = "(first layers)", "(softmax)"
"""What has a part of U and is no node: the first layers, bounded together, and softmax."""
KINDS_OF_TERM = ("first_layer", "remainder", "defect", "rounding", "softmax")


@dataclass(frozen=True)
class Part:
    """A part of U, by kind of term; ``name`` is a node's, or one of the two that are none."""

    name: str
    kind: str
    terms: dict[str, Fraction]

    @property
    def size(self) -> Fraction:
        """All terms together."""
        return sum(self.terms.values(), Fraction(0))


@dataclass(frozen=True)
class Explained:
    """One node.

    Attributes:
        part: of U.
        shape: (C, H, W).
        reads: names of the nodes that it reads.
        low, high: no computed value of it is outside of these.
        rounding: most that the computed value of a unit is off by, of what the node reads.
        moved: most that a move of the input changes a unit.
        reached: share of (unit, place) where a move of the place can reach the unit.
        early: whether it is one of the first layers.
        hints: what the certificate proposes for it, in words.
        assumed: names of what is assumed of nodes of its kind alone.
        rules: modules of the checker whose rules were used, and where they were refined.
    """

    part: Part
    shape: tuple[int, ...]
    reads: tuple[str, ...]
    low: Fraction
    high: Fraction
    rounding: Fraction
    moved: Fraction
    reached: float
    early: bool
    hints: dict[str, str]
    assumed: tuple[str, ...]
    rules: tuple[str, ...]


def parts_of_nodes(derived: Derived, executions: str) -> list[Part]:
    """U for some executions, divided among nodes, the largest part first. They add up to U.

    The first layers are bounded together, by their exact form: what they add without rounding is
    one part. What their roundings do through their slopes is in it, as rounding.
    """
    division, claim = divided(derived, executions), derived.claims[executions]
    balance, d = Balance(derived.derivation, executions), derived.derivation
    soft = division.parts["softmax"]
    rate = (claim.upper - soft) / claim.logits if claim.logits else Fraction(0)
    early, found = [node.name for node in d.frame.early], list[Part]()
    for node in d.frame.network.computed:
        kinds = dict(division.nodes[node.name])
        if node.name in early:
            kinds[REMAINDER] = Fraction(0)
        if node.name in early[:-1]:
            kinds[DEFECT] = Fraction(0)
        found.append(Part(node.name, node.op, {k: v * rate for k, v in kinds.items()}))
    row = d.ledger.row(claim.worst[:2])
    slopes = [link.off[row, cell].largest() for link, cell in links(balance, claim)]
    alone = not claim.logits or claimed_by_norms(derived, executions)
    off = Fraction(0) if alone else sum(slopes, Fraction(0))
    first = {"first_layer": division.parts["first_layer"], ROUNDING: off * rate}
    found += [Part(FIRST_LAYERS, "", first), Part(SOFTMAX, "softmax", {"softmax": soft})]
    return sorted(found, key=lambda part: -part.size)


def explained(derived: Derived, executions: str, name: str) -> Explained:
    """What is said of a node of the normal form. Raises KeyError where there is none."""
    d = derived.derivation
    node = d.frame.network.by_name[name]
    (part,) = [each for each in parts_of_nodes(derived, executions) if each.name == name] or [
        Part(name, node.op, {})
    ]
    value = d.values[name]
    low, high = value.interval
    moves, mask = d.moves[executions].get(name), d.reach.get(name)
    early = name in {each.name for each in d.frame.early}
    kind = KINDS.get(node.op)
    return Explained(
        part=part,
        shape=node.shape,
        reads=node.inputs,
        low=-(-low).largest(),
        high=high.largest(),
        rounding=value.noise.largest(),
        moved=moves.radius.largest() if moves else Fraction(0),
        reached=1.0 if mask is None else float(np.mean(mask)),
        early=early,
        hints=dict(_hints(d, node)),
        assumed=() if kind is None else kind.assumed,
        rules=(*_rules(d, node, executions, early=early),),
    )


def _hints(d: Derivation, node: Node) -> Iterator[tuple[str, str]]:
    hints, name = d.frame.hints, node.name
    if name in hints.slopes:
        slope = d.frame.settings[name].slope
        yield "slopes", f"{float(-(-slope).largest()):.6g} to {float(slope.largest()):.6g}"
    if name in hints.boxes:
        yield "box", "how it depends on the bases is forgotten"
    if name in hints.bases:
        yield "base", "its error is carried on as columns of its own"
    for label, hint in hints.together.items():
        if name in hint.nodes:
            yield f"together {label}", f"its roundings are bounded with {len(hint.nodes) - 1} more"
    if name in hints.norms:
        yield "norms", "its range and its change are bounded by Euclidean norms"
    if name == hints.absorbed:
        yield "absorbed", "it tells no last bit of any pixel"


def _rules(d: Derivation, node: Node, executions: str, *, early: bool) -> Iterator[str]:
    """By module: what its kind's rules are, and what made its part smaller."""
    for module in OPERATORS:
        if node.op in getattr(module, "KINDS", {}):
            yield module.__name__.replace("lastbit_check.", "").replace(".", "/")
    yield "derive/duals"
    if early:
        yield "refine/first_layers"
    if any(node.name in cap.nodes and executions in cap.executions for cap in d.caps):
        yield "refine/together"
    if node.name in d.frame.hints.norms:
        yield "norms/followed"
    if executions == SAME_PROGRAM and d.reach.get(node.name) is not None:
        yield "derive/reach"
    if executions == SAME_PROGRAM and d.frame.hints.absorbed:
        yield "refine/byte_tables"
