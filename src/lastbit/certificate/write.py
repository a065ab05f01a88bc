"""From hints to a certificate: the numbers that the hints prove, and a file.

The numbers come from the checker's own rules, applied to the hints: there is one place where a
sound number is made. The file is then checked again, as a stranger would, before it counts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.bound.branches import NO_BRANCHING, Branching, branch
from lastbit.bound.plan import Plan, plan
from lastbit.bound.together import take_together
from lastbit.bound.walk import Kept, Walk
from lastbit.files import write_whole
from lastbit.graph.network import Network
from lastbit.progress import Progress, silent
from lastbit.witness.files import Witness
from lastbit_check import certificate as form
from lastbit_check.certificate import SLOPE_BITS, Hints, Tree
from lastbit_check.check import ceil_float


@dataclass(frozen=True)
class Draft:
    """A certificate in memory: its text, and what it proves.

    ``trees`` are those of the branch and bound, with the bounds of their leaves. ``norms`` bounds
    the change of any difference of two logits by the method `norms`, which no certificate claims.
    """

    manifest: bytes
    derived: Kept
    assumptions: tuple[str, ...]
    norms: Fraction
    trees: tuple[tuple[Tree, list[Fraction]], ...] = ()


def hints_for(network: Network, chosen: Plan | None = None) -> Hints:
    """The hints for a network (choosing a plan if none is given), as the checker reads them."""
    chosen = chosen or plan(network)
    slopes = {
        name: np.rint(np.ldexp(m, SLOPE_BITS)).astype(np.int64).tolist()
        for name, m in chosen.slopes.items()
    }
    return Hints(slopes, chosen.boxes, chosen.bases)


def draft(
    model: bytes,
    hints: Hints,
    witness: Witness | None = None,
    *,
    branching: Branching = NO_BRANCHING,
    progress: Progress = silent,
) -> Draft:
    """Derive the bound that ``hints`` prove for the ONNX file ``model``, and write it down.

    Raises:
        lastbit_check.verdict.Rejected: the hints prove nothing (a range overflows, say); the
            exception names the rule and the node.
    """

    def watch(_: str, done: int, total: int) -> None:
        progress("deriving the bound", done, total)

    walk = Walk(model, hints, norms=True, watch=watch)
    derived = walk.run()
    if 0 < derived.upper < 1:
        derived = branch(walk, derived, branching, progress=progress)
        derived = take_together(walk, derived)
        hints = dataclasses.replace(hints, together=walk.hints.together, trees=walk.hints.trees)
    assumptions = form.ASSUMPTIONS + form.ABSORBING * bool(hints.absorbed)
    fields: dict[str, Any] = {
        "format": form.FORMAT,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "assumptions": list(assumptions),
        "claim": {
            "upper": ceil_float(derived.upper).hex(),
            "logits": ceil_float(derived.logits).hex(),
            "leaves": {
                name: [ceil_float(bound).hex() for bound in bounds]
                for name, bounds in derived.leaves.items()
            },
        },
        "slopes": {name: [*n] for name, n in sorted(hints.slopes.items())},
        "boxes": sorted(hints.boxes),
        "bases": sorted(hints.bases),
        "together": {
            name: {
                "pair": [*hint.pair],
                "nodes": [*hint.nodes],
                "rows": [scale.hex() for scale in hint.rows],
                "columns": [scale.hex() for scale in hint.columns],
            }
            for name, hint in hints.together.items()
        },
        "trees": {
            name: {
                "pair": [*tree.pair],
                "pixel": [*tree.pixel],
                "splits": [[*split] for split in tree.splits],
            }
            for name, tree in hints.trees.items()
        },
        "witness": _witness(witness),
    }
    if hints.absorbed:
        fields["absorbed"] = hints.absorbed
    fields["digest"] = form.digest(fields)
    text = json.dumps(fields, indent=1)
    for within in (r"(?<=\[)\s+(?=-?\d)", r"(?<=\d)\s+(?=\])"):  # lists of numbers in a line
        text = re.sub(within, "", text)
    text = re.sub(r'(?<=[\d\]]),\s+(?=[-\d\[])|(?<=\d"),\s+(?="0x)', ",", text)
    trees = tuple((tree, derived.leaves[name]) for name, tree in hints.trees.items())
    norms = walk.norms.bound(walk.logits) if walk.norms and not hints.absorbed else Fraction(0)
    return Draft(text.encode("ascii") + b"\n", derived, assumptions, norms, trees)


def _witness(witness: Witness | None) -> dict[str, Any]:
    if witness is None:
        return {}
    return {
        "image": base64.b64encode(witness.image.tobytes()).decode("ascii"),
        "pixel": list(witness.pixel),
        "class": witness.class_index,
        "lower": float(witness.lower).hex(),
    }


def write(path: Path, made: Draft) -> None:
    """Write the certificate to ``path``, at once or not at all.

    Raises:
        OutputError: the folder is not there or cannot be written, or the disk is full.
    """
    write_whole(path, made.manifest)
