"""Where a bound is lost: each node's part of it, and each kind's. No certificate says so."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lastbit.hints.by_norms import divided_by_norms
from lastbit_check.check import Derived
from lastbit_check.derive.conclude import Balance, Claim, softmax_error
from lastbit_check.derive.ledger import DEFECT, REMAINDER, ROUNDING, Entry
from lastbit_check.question import SAME_PROGRAM

Losses = dict[str, dict[str, Fraction]]
"""By node: remainder, rounding and defect, in units of a difference of two logits."""


@dataclass(frozen=True)
class Division:
    """How a claim divides.

    Attributes:
        parts: ``upper``, divided in proportion to what each part adds to the change of the logits.
            What the roundings of the first layers do through their slopes counts as rounding.
        nodes: what each node adds for the worst pair and place.
    """

    parts: dict[str, Fraction]
    nodes: Losses


def divided(derived: Derived, executions: str) -> Division:
    """How the claim for these executions divides; in zeros, where nothing moves."""
    claim, balance = derived.claims[executions], Balance(derived.derivation, executions)
    if claimed_by_norms(derived, executions):
        return _by_norms(derived, executions)
    nodes = losses(balance, claim)
    absorbed = bool(derived.derivation.frame.hints.absorbed) and executions == SAME_PROGRAM
    if absorbed:
        nodes = {name: dict.fromkeys(kinds, Fraction(0)) for name, kinds in nodes.items()}
    return Division(_parts(balance, claim, nodes, none=absorbed), nodes)


def claimed_by_norms(derived: Derived, executions: str) -> bool:
    """Whether a claim is what norms say."""
    known = derived.derivation.frame.norms
    return known is not None and derived.claims[executions].logits == known.worst[executions][0]


def _by_norms(derived: Derived, executions: str) -> Division:
    """All that the input's change makes counts as the first layers'."""
    claim, frame = derived.claims[executions], derived.derivation.frame
    assert frame.norms is not None
    each, nodes = divided_by_norms(frame.norms, executions), Losses()
    for name, part in each.items():
        own = REMAINDER if name == frame.network.input.name else ROUNDING
        nodes[name] = {kind: part if kind == own else Fraction(0)
                       for kind in (REMAINDER, ROUNDING, DEFECT)}  # fmt: skip
    soft = min(claim.upper, 2 * softmax_error(frame.network.classes))
    rate = (claim.upper - soft) / claim.logits if claim.logits else Fraction(0)
    moved = each[frame.network.input.name] * rate
    rest = claim.upper - soft - moved
    kinds = {"first_layer": moved, "remainder": Fraction(0), "rounding": rest, "softmax": soft}
    return Division(kinds, nodes)


def parts_of(balance: Balance, claim: Claim) -> dict[str, Fraction]:
    """The parts of a claim that no layer absorbs."""
    return _parts(balance, claim, losses(balance, claim), none=False)


def losses(balance: Balance, claim: Claim) -> Losses:
    """What each node adds to the bound of the worst pair and place, by kind.

    Where several cells move: to the sum of the links of the chain.
    """
    nodes = [node.name for node in balance.derivation.frame.network.computed]
    each = [_of_link(link, claim, cell) for link, cell in links(balance, claim)]
    return {
        name: {kind: sum((one[name][kind] for one in each), Fraction(0)) for kind in each[0][name]}
        for name in nodes
    }


def links(balance: Balance, claim: Claim) -> list[tuple[Balance, int]]:
    """By which executions, and with which cell, each link of a claim's chain of images is made."""
    before = balance if balance.executions == SAME_PROGRAM else None
    before = before or Balance(balance.derivation, SAME_PROGRAM)
    return [(balance, claim.worst[2]), *((before, cell) for cell in claim.before)]


def _of_link(balance: Balance, claim: Claim, cell: int) -> Losses:
    d, (*pair, _) = balance.derivation, claim.worst
    row, found = d.ledger.row(pair), Losses()
    rounded = shares(balance, row, cell)
    for node in d.frame.network.computed:
        kinds = {ROUNDING: rounded[node.name]}
        for kind in (REMAINDER, DEFECT):
            effect = d.ledger.effects[Entry(balance.executions, kind, node.name)]
            column = cell if effect.n.shape[1] > 1 else 0
            kinds[kind] = effect[row, column].largest()
        found[node.name] = kinds
    return found


def shares(balance: Balance, row: int, place: int) -> dict[str, Fraction]:
    """The roundings of each node; of some that are bounded together, as they were alone."""
    pair, found = balance.derivation.ledger.pairs[row], dict[str, Fraction]()
    for name, each in balance.node_roundings(row).items():
        found[name] = each[0, place if each.n.shape[1] > 1 else 0].largest()
    for cap in balance.derivation.caps:
        if cap.pair == pair and balance.executions in cap.executions:
            alone = sum((found[name] for name in cap.nodes), Fraction(0))
            for name in cap.nodes if alone > cap.most else ():
                found[name] *= cap.most / alone
    return found


def _parts(balance: Balance, claim: Claim, nodes: Losses, *, none: bool) -> dict[str, Fraction]:
    d, (*pair, _) = balance.derivation, claim.worst
    first = {node.name for node in d.frame.early}
    rounding = sum((kinds[ROUNDING] for kinds in nodes.values()), Fraction(0))
    for link, cell in links(balance, claim) if not none else ():
        rounding += link.off[d.ledger.row(pair), cell].largest()
    outside = [name for name in nodes if name not in first]
    remainder = sum((nodes[name][REMAINDER] for name in outside), Fraction(0))
    remainder += sum((nodes[name][DEFECT] for name in [d.frame.early[-1].name, *outside]),
                     Fraction(0))  # fmt: skip
    early = max(claim.logits - rounding - remainder, Fraction(0))
    soft = 2 * softmax_error(d.frame.network.classes) if claim.upper else Fraction(0)
    moved = max(claim.upper - soft, Fraction(0))
    rate = moved / claim.logits if claim.logits else Fraction(0)
    kinds = {"first_layer": early, "remainder": remainder, "rounding": rounding}
    return {**{k: v * rate for k, v in kinds.items()}, "softmax": claim.upper - moved}
