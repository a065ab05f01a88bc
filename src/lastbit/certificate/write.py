"""From hints to a certificate: the numbers that the hints prove, and a file.

The numbers come from the checker's own rules, applied to the hints: there is one place where a
sound number is made. The file is then checked again, as a stranger would, before it counts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from lastbit.files import write_whole
from lastbit.graph import ImageArray
from lastbit.hints.branches import NO_BRANCHING, Branching, branched
from lastbit.hints.breakdown import Division, divided
from lastbit.hints.together import taken_together
from lastbit.progress import Progress, counted, silent
from lastbit.witness.files import Witness
from lastbit_check import certificate as form
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import Hints, Tree
from lastbit_check.check import Derived, claim_of, claimed, concluded, network_in
from lastbit_check.derive.derivation import Derivation, derived
from lastbit_check.derive.frame import frame_of
from lastbit_check.network import Network
from lastbit_check.norms.conclude import ByNorms, by_norms
from lastbit_check.norms.given import framed
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM, Question
from lastbit_check.verdict import Rejected

BITS = 16
"""Of claims by norms: what float64 derives elsewhere differs in the last ones."""
LESS = Fraction(9, 10)
"""Norms are claimed where they are so much smaller: of the other bound more is known, node by node,
and Coq decides it."""
NOTHING = 80
"""A difference of two logits whose tanh(R/4) is 1 in binary64."""


@dataclass(frozen=True)
class Draft:
    """A certificate in memory: its text, and what it proves.

    ``divisions`` say by executions how a claim divides. ``trees`` are those of the branch and
    bound, with the bounds of their leaves. ``norms`` bound the change of any difference of two
    logits by Euclidean norms alone, by executions, where they can: the certificate claims them
    where they are smaller for one program.
    """

    manifest: bytes
    derived: Derived
    divisions: dict[str, Division]
    norms: dict[str, Fraction]
    trees: tuple[tuple[Tree, list[Fraction]], ...] = ()


def draft(
    model: bytes,
    hints: Hints,
    witness: Witness | None = None,
    *,
    question: Question = LAST_BIT,
    branching: Branching = NO_BRANCHING,
    together: bool = True,
    progress: Progress = silent,
) -> Draft:
    """Derive the bound that ``hints`` prove for the ONNX file ``model``, and write it down.

    Roundings are taken ``together`` where that makes it smaller; it takes memory. All nodes are
    bounded by norms where these claim much less for one program.

    Raises:
        lastbit_check.verdict.Rejected: the hints prove nothing (a range overflows, say); the
            exception names the rule and the node.
    """
    network = network_in(model, question)
    observe = counted(progress, "deriving the bound")
    known, found = _by_norms(network, question, hints), None
    try:
        derivation = derived(frame_of(network, question, hints), observe)
        claims = claimed(derivation).claims
        if 0 < claims[SAME_PROGRAM].upper < 1:
            trees = branched(derivation, claims, branching, progress=progress)
            joined = taken_together(derivation, claims) if together else derivation
            derivation = _with_trees(joined, trees)
        found = concluded(derivation)
    except Rejected:
        if known is None or known.worst[SAME_PROGRAM][0] >= NOTHING:
            raise
    if found is None or (known and _much_less(known, found)):
        named = frozenset(node.name for node in network.computed[1:])
        by = dataclasses.replace(hints, norms=named)
        found = claimed(derived(framed(network, question, by, known), observe))
    hints = found.derivation.frame.hints
    fields: dict[str, Any] = {
        "format": form.FORMAT,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "question": form.question_as_data(question),
        "assumptions": {name: [*assumptions(network, name, question)] for name in EXECUTIONS},
        "claim": _written(_claimed(found)),
        "slopes": {name: [*n] for name, n in sorted(hints.slopes.items())},
        "boxes": sorted(hints.boxes),
        "bases": sorted(hints.bases),
        "absorbed": hints.absorbed,
        "together": {name: _written(hint._asdict()) for name, hint in hints.together.items()},
        "trees": {name: _written(tree._asdict()) for name, tree in hints.trees.items()},
        "witness": _witness(witness),
        **({"norms": {"nodes": sorted(hints.norms)}} if hints.norms else {}),
    }
    fields["digest"] = form.digest(fields)
    text = json.dumps(fields, indent=1)
    for within in (r"(?<=\[)\s+(?=-?\d)", r"(?<=\d)\s+(?=\])"):  # lists of numbers in a line
        text = re.sub(within, "", text)
    text = re.sub(r'(?<=[\d\]]),\s+(?=[-\d\[])|(?<=\d"),\s+(?="0x)', ",", text)
    listed = tuple((tree, found.leaves[name]) for name, tree in hints.trees.items())
    norms = {name: most for name, (most, _) in known.worst.items()} if known else {}
    divisions = {name: divided(found, name) for name in EXECUTIONS}
    return Draft(text.encode("ascii") + b"\n", found, divisions, norms, listed)


def _by_norms(network: Network, question: Question, hints: Hints) -> ByNorms | None:
    """What norms say of a network; None where they say nothing, or no node moves an answer."""
    try:
        return None if hints.absorbed else by_norms(network, question)
    except Rejected:
        return None


def _much_less(known: ByNorms, found: Derived) -> bool:
    """Whether norms bound a difference of logits by much less, for one program."""
    return known.worst[SAME_PROGRAM][0] < LESS * found.claims[SAME_PROGRAM].logits


def _claimed(found: Derived) -> dict[str, Any]:
    """The claims; by norms a little more, because float64 adds up in other orders elsewhere."""
    claims = claim_of(found)
    for name in EXECUTIONS if found.derivation.frame.norms else ():
        claim = {part: _a_little_more(x) for part, x in claims[name].items()}
        claims[name] = {**claim, "upper": min(claim["upper"], 1.0)}
    return claims


def _a_little_more(x: float) -> float:
    """To `BITS` bits, from a little above."""
    mantissa, exponent = math.frexp(x * (1 + 2.0**-BITS))
    return math.ldexp(math.ceil(math.ldexp(mantissa, BITS)), exponent - BITS)


def _with_trees(derivation: Derivation, trees: dict[str, Tree]) -> Derivation:
    frame = derivation.frame
    hints = dataclasses.replace(frame.hints, trees=trees)
    return dataclasses.replace(derivation, frame=dataclasses.replace(frame, hints=hints))


def _written(value: Any) -> Any:
    """As JSON has it: real numbers in hexadecimal notation, tuples as lists."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, dict):
        return {name: _written(entry) for name, entry in value.items()}
    return [*map(_written, value)] if isinstance(value, list | tuple) else value


def _witness(witness: Witness | None) -> dict[str, Any]:
    if witness is None:
        return {}
    return {
        "image": _text(witness.image),
        "pixel": list(witness.pixel),
        "class": witness.class_index,
        "lower": float(witness.lower).hex(),
        **({} if witness.other is None else {"other": _text(witness.other)}),
    }


def _text(image: ImageArray) -> str:
    return base64.b64encode(image.tobytes()).decode("ascii")


def write(path: Path, made: Draft) -> None:
    """Write the certificate to ``path``, at once or not at all.

    Raises:
        OutputError: the folder is not there or cannot be written, or the disk is full.
    """
    write_whole(path, made.manifest)
