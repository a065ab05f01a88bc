"""What each method proves of a model: one table, the same network, the same float32 semantics.

    python bench/methods.py [MODEL]

    linear-core     dual vectors that are the adjoint of the linear cores; every slope of the first
                    layers and every rounding as bad as it can be by itself
    lp              the same with dual vectors from a linear program, the best that there are
                    (lastbit/methods/lp.py; for any two executions only)
    norms           operator norms in the Euclidean sense, node by node (lastbit_check/norms)
    exact form      linear-core with the first layers in real arithmetic, all signs kept
    and trees       that with the branch and bound of the shipped certificate
    and sdp         that with roundings of several nodes taken together, by a weighted spectral
                    norm from a semidefinite relaxation: the certificate

Whatever a solver says is rounded and bounded anew in exact arithmetic, so every row is a proved
bound of all allowed executions on all images: for one program, and for any two. U is tanh(R/4),
without softmax's own error.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from rich.console import Console
from rich.table import Table

from lastbit.methods.lp import Relaxation, solved
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.models.summary import summarise
from lastbit_check.certificate import Hints, hints_of, load
from lastbit_check.check import claimed, network_in
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import Derivation, derive
from lastbit_check.norms.conclude import by_norms
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM

Bounds = Mapping[str, Fraction]


def main(name: str) -> None:
    """Print the table of one model."""
    files = resolve_model(name)
    model, hints = files.model.read_bytes(), hints_of(load(files.certificate))
    summary = summarise(files)
    lower = {SAME_PROGRAM: summary.lower, ANY_TWO: summary.apart_lower}
    heads = [head for name in reversed(EXECUTIONS) for head in (f"R, {name}", "U", "U/L")]
    table = Table("method", *heads, "seconds", box=None)

    def row(method: str, bounds: Callable[[], Bounds]) -> None:
        start, cells = time.monotonic(), list[str]()
        found = bounds()
        for executions in reversed(EXECUTIONS):
            r = float(found[executions]) if executions in found else math.nan
            u, least = math.tanh(min(r, 1e3) / 4), lower[executions]
            cells += [f"{r:.6g}", f"{u:.6f}", f"{u / least:.3f}" if least else "-"]
        cells = ["-" if cell == "nan" else cell for cell in cells]
        table.add_row(method, *cells, f"{time.monotonic() - start:.1f}")

    network, bare = network_in(model), replace(hints, together={}, trees={})
    start = time.monotonic()
    derivation = derive(network, LAST_BIT, replace(hints, trees={}))
    table.caption = f"the derivation that all rows share took {time.monotonic() - start:.1f} s"

    def with_hints(kept: Hints) -> Derivation:
        return replace(derivation, frame=replace(derivation.frame, hints=kept))

    row("linear-core", lambda: separable(with_hints(bare)))
    row("lp", lambda: {ANY_TWO: solved(Relaxation(with_hints(bare)))[0]})
    row(
        "norms",
        lambda: {name: most for name, (most, _) in by_norms(network, LAST_BIT).worst.items()},
    )
    row("exact form", lambda: concluded(with_hints(bare)))
    row("and trees", lambda: concluded(with_hints(replace(hints, together={}))))
    row("and sdp", lambda: concluded(with_hints(hints)))
    Console().print(table)


def separable(derivation: Derivation) -> Bounds:
    """Without the first layers' exact form."""
    claims = {name: Balance(derivation, name).claim(lambda _, __: None) for name in EXECUTIONS}
    return {name: claim.logits for name, claim in claims.items()}


def concluded(derivation: Derivation) -> Bounds:
    """As the checker concludes."""
    return {name: claim.logits for name, claim in claimed(derivation).claims.items()}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
