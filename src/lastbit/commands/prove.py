"""`lastbit prove`: bound, witness, certificate, check."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result, watched, write_message
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model
from lastbit.models.summary import ratio
from lastbit_check.certificate import ASSUMPTIONS
from lastbit_check.check import ceil_float

if TYPE_CHECKING:
    from fractions import Fraction

    from lastbit.api import Proof
    from lastbit.bound import Kept
    from lastbit.progress import Progress
    from lastbit.witness import Witness
    from lastbit_check.certificate import Tree

ModelArgument = Annotated[str, typer.Argument(help="Name of a shipped model, or an ONNX file.")]
LEAVES = 64
"""Of the branch and bound, unless another number is asked for."""
SEARCH_SECONDS = 120.0
"""For the search of `--no-cache`, which ends once it attains what its patch allows."""
CODES = {"proved": EXIT_OK, "refuted": EXIT_REJECTED, "rejected": EXIT_REJECTED,
         "not decided": EXIT_UNDECIDED}  # fmt: skip


def prove(
    model: ModelArgument = DEFAULT_MODEL,
    out: Annotated[Path | None, typer.Option(help="Folder for the certificate.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the table of nodes; 0 for all.", min=0)] = 12,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            help="Search for the pair of images again (extra train), and branch again, instead of "
            "taking what is stored; the rest of the bound is always derived anew.",
        ),
    ] = False,
    leaves: Annotated[
        int,
        typer.Option(
            help="Of the branch and bound over the first layers' bytes; 0 for none. It "
            "goes on from the stored tree. Ctrl-C ends it, and keeps what it has.",
            min=0,
        ),
    ] = LEAVES,
    as_json: JsonOption = False,
) -> Result:
    """Prove how far the last bit of one pixel can move any class probability: L <= Q <= U."""
    from lastbit.api import known_trees, prove as run_proof
    from lastbit.bound import Branching

    files, start = resolve_model(model), time.monotonic()
    with watched() as progress:
        witness = _searched(files, progress) if no_cache else None
        known = () if no_cache else known_trees(files)
        branching = Branching(leaves, known, os.cpu_count() or 1, partial(_say, files, witness))
        proof = run_proof(files, out=out, witness=witness, branching=branching, progress=progress)
    proof = replace(proof, seconds=time.monotonic() - start)
    return Result(payload(files, proof), _view(files, proof, rows), as_json, CODES[proof.verdict])


def _say(files: ModelFiles, witness: Witness | None, tree: Tree, bound: Fraction, n: int) -> None:
    """One line on standard error: how far the bound of the first layers is from what is attained.

    A probability that moves by L needs two logits whose difference moves by 4 atanh(L) at least.
    """
    from lastbit.witness import read_witness

    if witness is None and files.witness.exists():
        witness = read_witness(files.witness)
    same = witness is not None and witness.pixel == tree.pixel
    attained = f"{4 * math.atanh(witness.lower):.4f}" if witness and same else "nothing"
    write_message(
        f"branch and bound: at most {float(bound):.6f}, {attained} attained, at pixel {tree.pixel} "
        f"for classes {tree.pair[0]} and {tree.pair[1]}; leaves: {n}"
    )


def _searched(files: ModelFiles, progress: Progress) -> Witness:
    """A witness that owes nothing to the stored one."""
    from lastbit.commands.search import images_to_start_from, say
    from lastbit.witness.search import search

    images = images_to_start_from(progress)
    found = search(
        files.model, seconds=SEARCH_SECONDS, images=images, progress=progress, report=say
    )
    return found.witness


def payload(files: ModelFiles, proof: Proof) -> dict[str, Any]:
    """The JSON object: numbers that do not exist are null."""
    derived = proof.made.derived if proof.made else None
    lower = proof.shown.lower if proof.shown else None
    upper = ceil_float(derived.upper) if derived else None
    witness = proof.shown.witness if proof.shown else None
    parts = {k: ceil_float(v) for k, v in derived.parts.items()} if derived else {}
    return {
        "verdict": proof.verdict,
        "model": {"name": files.name, "sha256": proof.sha256},
        "accuracy": {"test": proof.accuracy.test, "nll": _finite(proof.accuracy.nll),
                     "source": proof.accuracy.source},
        "lower": {"value": lower,
                  "pixel": list(witness.pixel) if witness else None,
                  "class": witness.class_index if witness else None,
                  "runtimes": dict(proof.shown.changes) if proof.shown else {}},
        "upper": {"value": upper, **parts, "real_ratio": _real_ratio(derived, lower),
                  "logits": {k: _finite(ceil_float(v)) for k, v in _methods(proof).items()},
                  "nodes": {name: {k: _finite(ceil_float(v)) for k, v in entries.items()}
                            for name, entries in derived.nodes.items()} if derived else {}},
        "branches": _branches(proof),
        "ratio": ratio(lower, upper),
        "assumptions": list(proof.made.assumptions if proof.made else ASSUMPTIONS),
        "certificate": str(proof.certificate) if proof.made else None,
        "refused": _refused(proof),
        "check": {"accepted": proof.checked.accepted if proof.checked else None,
                  "seconds": proof.checked.seconds if proof.checked else None},
        "seconds": proof.seconds,
    }  # fmt: skip


def _methods(proof: Proof) -> dict[str, Fraction]:
    """What each method says of a difference of two logits; the certificate has the first alone."""
    if proof.made is None:
        return {}
    return {"linear-core": proof.made.derived.logits, "norms": proof.made.norms}


def _branches(proof: Proof) -> list[dict[str, Any]]:
    """The trees of the certificate: what each bounds, with how many leaves."""
    if proof.made is None:
        return []
    return [
        {"pair": [*tree.pair], "pixel": [*tree.pixel], "leaves": len(bounds),
         "bound": ceil_float(max(bounds))}
        for tree, bounds in proof.made.trees
    ]  # fmt: skip


def _real_ratio(derived: Kept | None, lower: float | None) -> float | None:
    """U/L without the rounding terms: tanh(R/4) / L of what is left of R, softmax left out too."""
    if derived is None or not lower:
        return None
    bound = derived.upper - derived.parts["softmax"]
    share = derived.parts["rounding"] / bound if bound else 0
    return math.tanh(min(1e3, float(derived.logits * (1 - share))) / 4) / lower


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _refused(proof: Proof) -> dict[str, str] | None:
    error = proof.refused
    if error is not None:
        return {"rule": error.rule, "node": error.node, "reason": error.message}
    if proof.checked and not proof.checked.accepted:
        found = proof.checked
        return {"rule": found.rule, "node": found.node, "reason": found.reason}
    return None


def _view(files: ModelFiles, proof: Proof, rows: int) -> RenderableType:
    data = payload(files, proof)
    table = Table(box=None, show_header=False)
    head = {"verdict": proof.verdict, "model": f"{files.name}  {proof.sha256}"}
    if proof.accuracy.test is not None and proof.accuracy.nll is not None:
        known = f"{proof.accuracy.test:.2%}, NLL {proof.accuracy.nll:.4f}"
        head["accuracy"] = f"{known} ({proof.accuracy.source})"
    if data["lower"]["value"] is not None:
        row, column = data["lower"]["pixel"]
        where = f"pixel ({row}, {column}), class {data['lower']['class']}"
        head["lower L"] = f"{data['lower']['value']:.6g} at {where}"
    if proof.made:
        upper = data["upper"]
        head["upper U"] = f"{upper['value']:.6g}"
        parts = proof.made.derived.parts
        head["  made of"] = ", ".join(f"{k.replace('_', ' ')} {upper[k]:.3g}" for k in parts)
        methods = _methods(proof).items()
        head["by method"] = ", ".join(f"{k}: R = {float(v):.4g}" for k, v in methods)
    for tree in data["branches"]:
        head["branches"] = (
            f"{tree['leaves']} leaves, {tree['bound']:.6f} at pixel {tuple(tree['pixel'])}"
        )
    without = data["upper"]["real_ratio"]
    if data["ratio"] is not None:
        rest = "exact" if without is None else f"without rounding {without:.3f}"
        head["U/L"] = f"{data['ratio']:.3f}; {rest}"
    if data["refused"]:
        head["not proved"] = "{rule} at {node}: {reason}".format(**data["refused"])
    head["assumes"] = ", ".join(data["assumptions"])
    if proof.checked and proof.checked.accepted:
        head["checked"] = f"accepted by lastbit-check in {proof.checked.seconds:.1f} s"
    if proof.made:
        head["certificate"] = str(proof.certificate)
    head["time"] = f"{proof.seconds:.1f} s"
    for key, value in head.items():
        table.add_row(key, escape(value))
    return Group(table, "", _nodes(proof, rows)) if proof.made else table


def _nodes(proof: Proof, rows: int) -> Table:
    """Where U is lost: each node's share of R, worst first, for the worst pair and pixel."""
    assert proof.made is not None
    title = "Where the bound is lost, in units of a difference of two logits"
    table = Table("node", "remainder", "rounding", "defect", box=None, title=title)
    nodes = sorted(proof.made.derived.nodes.items(), key=lambda item: -sum(item[1].values()))
    for name, entries in nodes[: rows or None]:
        cells = (f"{float(entries[k]):.3g}" for k in ("remainder", "rounding", "defect"))
        table.add_row(escape(name), *cells)
    return table
