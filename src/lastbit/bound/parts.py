"""Where a bound is lost: each node's part of it, and each kind's. No certificate says so."""

from __future__ import annotations

from fractions import Fraction

from lastbit_check.check import Derived, Pass, softmax_error

KINDS = ("remainder", "rounding", "defect")
Losses = dict[str, dict[str, Fraction]]


def losses(walk: Pass, derived: Derived) -> Losses:
    """What each node adds to the bound of the worst pair and pixel, by kind.

    In units of a difference of two logits; nothing where the images tell no last bit.

    Args:
        walk: over.
        derived: what it derived.
    """
    *pair, pixel = derived.worst
    some, row = not walk.hints.absorbed, walk.ledger.row(pair)
    return {
        node.name: {
            kind: some * walk.by_pixel(walk.ledger.effects[kind, node.name])[row, pixel].largest()
            for kind in KINDS
        }
        for node in walk.nodes[:-1]
    }


def parts(walk: Pass, derived: Derived, found: Losses) -> dict[str, Fraction]:
    """``derived.upper``, divided in proportion to what each part adds to the change of the logits.

    The first layers' part is what the others leave. What the roundings of the first layers do
    through their slopes counts as rounding.

    Args:
        walk: over.
        derived: what it derived.
        found: its `losses`.
    """
    row = walk.ledger.row(derived.worst[:2])
    rounding = sum((node["rounding"] for node in found.values()), Fraction(0))
    for key in walk.inside if not walk.hints.absorbed else ():
        rounding += 2 * walk.ledger.effects[key][row, -1].largest()
    remainder = sum(
        (node[kind] for name, node in found.items() for kind in KINDS[::2]
         if (kind, name) not in walk.inside),
        Fraction(0),
    )  # fmt: skip
    first = max(derived.logits - rounding - remainder, Fraction(0))
    soft = 2 * softmax_error(walk.classes) if derived.upper else Fraction(0)
    moved = max(derived.upper - soft, Fraction(0))
    rate = moved / derived.logits if derived.logits else Fraction(0)
    shares = {"first_layer": first, "remainder": remainder, "rounding": rounding}
    return {**{k: v * rate for k, v in shares.items()}, "softmax": derived.upper - moved}
