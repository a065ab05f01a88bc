"""What each method proves of a model: one table, the same network, the same float32 semantics.

    python bench/methods.py [MODEL]

    linear-core     dual vectors that are the adjoint of the linear cores; every slope of the first
                    layers and every rounding as bad as it can be by itself
    lp              the same with dual vectors from a linear program, the best that there are
                    (lastbit/bound/lp.py)
    norms           operator norms in the Euclidean sense, node by node (lastbit/bound/norms.py)
    exact form      linear-core with the first layers in real arithmetic, all signs kept
    and trees       that with the branch and bound of the shipped certificate
    and sdp         that with roundings of several layers taken together, by a weighted spectral
                    norm from a semidefinite relaxation: the certificate

Whatever a solver says is rounded and bounded anew in exact arithmetic, so every row is a proved
bound of all allowed executions on all images. U is tanh(R/4), without softmax's own error.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from rich.console import Console
from rich.table import Table

from lastbit.bound.lp import Separable, solved
from lastbit.bound.norms import Norms
from lastbit.bound.walk import derive
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.witness.files import read_witness
from lastbit_check.certificate import hints_of, load


def main(name: str) -> None:
    """Print the table of one model."""
    files = resolve_model(name)
    model, hints = files.model.read_bytes(), hints_of(load(files.certificate))
    lower = read_witness(files.witness).lower if files.witness.exists() else None
    table = Table("method", "R", "U", "U/L", "seconds", box=None)

    def row(method: str, bound: Callable[[], Fraction]) -> None:
        start = time.monotonic()
        r = float(bound())
        u = math.tanh(r / 4)
        ratio = f"{u / lower:.3f}" if lower else "-"
        table.add_row(method, f"{r:.6g}", f"{u:.6f}", ratio, f"{time.monotonic() - start:.1f}")

    bare = replace(hints, together={}, trees={})
    walk, norms = Separable(model, bare, norms=True), Norms()

    def linear_core() -> Fraction:
        nonlocal norms
        found = walk.run()
        norms = found.norms
        return found.logits

    row("linear-core", linear_core)
    row("lp", lambda: solved(walk)[0])
    row("norms (beside linear-core)", lambda: norms.bound(walk.logits))
    row("exact form", lambda: derive(model, bare).logits)
    row("and trees", lambda: derive(model, replace(hints, together={})).logits)
    row("and sdp", lambda: derive(model, hints).logits)
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
