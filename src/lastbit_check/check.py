"""What a certificate's hints prove, and whether that is what it claims.

Map: check; argued in PROOF.md 3.10
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from hashlib import sha256
from typing import Any

from lastbit_check.asked import asked
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import Hints, Manifest, hints_of, question_of
from lastbit_check.derive.conclude import (
    Balance,
    Claim,
    Exactly,
    nothing_moves,
    of_probabilities,
)
from lastbit_check.derive.derivation import Derivation, Observe, derived, ignore
from lastbit_check.derive.frame import Frame
from lastbit_check.derive.ledger import difference
from lastbit_check.needs import Needs, needs
from lastbit_check.network import Network
from lastbit_check.norms.given import framed
from lastbit_check.onnxfile import read
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM, Question
from lastbit_check.reading import network_of
from lastbit_check.refine.byte_tables import absorbs
from lastbit_check.refine.first_layers import FirstLayers, first_layers
from lastbit_check.refine.together import taken_together
from lastbit_check.verdict import Rejected, require

Before = Callable[[Needs], None]
Leaves = Mapping[str, list[Fraction]]
"""What the first layers change in a pair's difference, leaf by leaf, for every tree."""


@dataclass(frozen=True)
class Derived:
    """What follows from hints: exact dyadic numbers, all upper bounds.

    ``claims`` are by executions; ``derivation`` is what they were concluded from.
    """

    claims: Mapping[str, Claim]
    leaves: Leaves
    derivation: Derivation


def proved(model: bytes, question: Question, hints: Hints, observe: Observe = ignore) -> Derived:
    """What the hints prove of an ONNX file. Raises Rejected with the rule that fails."""
    return claimed(derived(framed(network_in(model, question), question, hints), observe))


def claimed(derivation: Derivation) -> Derived:
    """Likewise, from a derivation: with the roundings that its hints take together."""
    return concluded(taken_together(derivation))


def concluded(derivation: Derivation) -> Derived:
    """Likewise, from one with its caps: with the trees and the absorbing node."""
    first = first_layers(derivation.frame)
    leaves = leaves_of(derivation, first)
    exactly = exact_form(derivation, first, leaves)
    claims = {name: Balance(derivation, name).claim(exactly) for name in EXECUTIONS}
    frame = derivation.frame
    claims = {name: or_by_norms(claim, frame, name) for name, claim in claims.items()}
    if frame.hints.absorbed:
        absorbs(frame.network, frame.question, frame.hints.absorbed)
        claims[SAME_PROGRAM] = nothing_moves(derivation)
    return Derived(claims, leaves, derivation)


def or_by_norms(claim: Claim, frame: Frame, executions: str) -> Claim:
    """A claim for some executions, or what norms make of the frame where that is less."""
    if frame.norms is None or frame.norms.worst[executions][0] >= claim.logits:
        return claim
    most, pair = frame.norms.worst[executions]
    return Claim(of_probabilities(most, frame.network.classes), most, (*pair, 0))


def leaves_of(derivation: Derivation, first: FirstLayers | None) -> dict[str, list[Fraction]]:
    """The bounds of the leaves of all trees."""
    found = dict[str, list[Fraction]]()
    for name, tree in derivation.frame.hints.trees.items():
        if first is None:
            raise Rejected("tree.shape", "the first layers have no exact form")
        derivation.ledger.row(tree.pair)
        a = difference(derivation.frame.duals[first.nodes[-1].name], tree.pair)
        found[name] = first.leaves(a, tree.pixel, tree.splits)
    return found


def exact_form(derivation: Derivation, first: FirstLayers | None, leaves: Leaves) -> Exactly:
    """The first layers in real arithmetic, for a row of the ledger and a cell."""
    frame, ledger = derivation.frame, derivation.ledger
    cells, width = frame.question.cells(frame.network.input.shape), frame.network.input.shape[2]
    trees = {
        (ledger.row(tree.pair), tree.pixel[0] * width + tree.pixel[1]): max(leaves[name])
        for name, tree in frame.hints.trees.items()
    }

    @cache
    def exactly(row: int, cell: int) -> Fraction | None:
        if first is None:
            return None
        place = cells.item(cell, 0)  # the only one: there is one channel
        if (row, place) in trees:
            return trees[row, place]
        a = difference(frame.duals[first.nodes[-1].name], ledger.pairs[row])
        return first.change(a, divmod(place, width), first.everywhere)

    return exactly


def check(
    model: bytes, manifest: Manifest, observe: Observe = ignore, before: Before = lambda _: None
) -> Derived:
    """Accept by returning what was derived, or raise Rejected with the rule that fails.

    ``before`` the work is told what that needs.
    """
    require(sha256(model).hexdigest() == manifest["model_sha256"], "model.sha256", "another file")
    question = question_of(manifest)
    network = network_in(model, question)
    assumed = {name: assumptions(network, name, question) for name in EXECUTIONS}
    right = manifest["assumptions"] == assumed
    require(right, "certificate.assumptions", f"not the ones in force: {manifest['assumptions']}")
    hints = hints_of(manifest)
    before(needs(network, question, hints))
    found = claimed(derived(framed(network, question, hints), observe))
    follows = claim_of(found)
    for name, said in manifest["claim"].items():
        right = said == follows[name]  # neither smaller nor looser
        if hints.norms and name in EXECUTIONS:  # float64 adds up in another order elsewhere
            right = all(said[part] >= follows[name][part] for part in follows[name])
        require(right, f"claim.{name}", f"{said!r} claimed, {follows[name]!r} derived")
    return found


def claim_of(derived: Derived) -> dict[str, Any]:
    """The claim that a certificate makes, in numbers of binary64."""
    claims = {
        name: {"upper": ceil_float(claim.upper), "logits": ceil_float(claim.logits)}
        for name, claim in derived.claims.items()
    }
    leaves = {name: (*map(ceil_float, bounds),) for name, bounds in derived.leaves.items()}
    return {**claims, "leaves": leaves}


def network_in(model: bytes, question: Question = LAST_BIT) -> Network:
    """The normal form of an ONNX file, from the inputs of a question to probabilities."""
    return network_of(asked(read(model), question))


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for a finite one."""
    y = float(x)
    return y if Fraction(y) >= x else math.nextafter(y, math.inf)
