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

from lastbit.asked import described, described_move
from lastbit.commands.images import prove_given
from lastbit.commands.terminal import (
    BitOption,
    BoxOption,
    ChannelsOption,
    JsonOption,
    LevelsOption,
    MaskOption,
    MemoryOption,
    ModelArgument,
    PixelsOption,
    PlacesOption,
    Result,
    at_pixels,
    memory_of,
    watched,
    write_message,
)
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED, UsageError
from lastbit.models.moves import Said
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model
from lastbit.models.summary import ratio, says_nothing
from lastbit_check.check import ceil_float
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM

if TYPE_CHECKING:
    from fractions import Fraction

    from lastbit.api import Verdict
    from lastbit.hints.breakdown import Division
    from lastbit.progress import Progress
    from lastbit.witness import Witness
    from lastbit_check.certificate import Tree
    from lastbit_check.derive.conclude import Claim

LEAVES = 64
"""Of the branch and bound, unless another number is asked for."""
SEARCH_SECONDS = 120.0
"""For the search of `--no-cache`, which ends once it attains what its patch allows."""
NOTHING = "all that is proved is U = 1, which says nothing"
ADVICE = (
    "ask about given images (`--images DATA`), or train the network on its bound, as "
    "`lastbit train tight` does"
)
CODES = {"proved": EXIT_OK, "refuted": EXIT_REJECTED, "rejected": EXIT_REJECTED,
         "not decided": EXIT_UNDECIDED}  # fmt: skip


def prove(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    box: BoxOption = None,
    bit: BitOption = None,
    levels: LevelsOption = None,
    places: PlacesOption = None,
    channels: ChannelsOption = None,
    mask: MaskOption = None,
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
    images: Annotated[
        str | None,
        typer.Option(
            help="Ask about these images instead of all there are: `test` or `train` (MNIST), a "
            "file (IDX, .npy, .npz, PNG, Parquet) or a folder of PNGs.",
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Of --images so many, drawn at random; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --sample.", min=0)] = 0,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> Result:
    """Prove how far the last bit of one pixel can move any class probability: L <= Q <= U.

    Or another bit, some grey levels, several places or pixels at once, some of them only.

    With --images, at each of them instead: any two executions, of the image and its neighbours.

    Exit 0 if it is proved, 1 if the pair of images refutes it or the checker rejects it, 3 if no
    bound can be derived or all that is proved is U = 1, which says nothing.
    """
    from lastbit.api import known_trees, prove as run_proof
    from lastbit.hints import Branching

    start, most = time.monotonic(), memory_of(memory)
    moves = Said(bit, levels, places, channels, mask)
    files = resolve_model(model, pixels, box, moves)
    if images is not None:
        return prove_given(files, images, sample, seed, out, as_json)
    if sample is not None:
        raise UsageError("--sample is of --images", fix="say which: --images test, or a file")
    with watched() as progress:
        witness = _searched(files, progress) if no_cache else None
        known = () if no_cache else known_trees(files)
        branching = Branching(leaves, known, os.cpu_count() or 1, partial(_say, files, witness))
        proof = run_proof(files, out=out, witness=witness, branching=branching, memory=most,
                          say=write_message, progress=progress)  # fmt: skip
    proof = replace(proof, seconds=time.monotonic() - start)
    return Result(payload(files, proof), _view(files, proof, rows), as_json, CODES[proof.verdict])


def _say(files: ModelFiles, witness: Witness | None, tree: Tree, bound: Fraction, n: int) -> None:
    """One line on standard error: how far the bound of the first layers is from what is attained.

    A probability that moves by L needs two logits whose difference moves by 4 atanh(L) at least.
    """
    from lastbit.witness import read_witness

    if witness is None and files.witness.exists():
        witness = read_witness(files.witness)
    same = witness is not None and witness.changed == [tree.pixel]
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
        files.asked, seconds=SEARCH_SECONDS, images=images, progress=progress, report=say
    )
    return found.witness


def payload(files: ModelFiles, proof: Verdict) -> dict[str, Any]:
    """The JSON object: numbers that do not exist are null."""
    shown, lower = proof.shown, proof.lower
    witness = shown.witness if shown else None
    claims = {name: _upper(proof, name, lower[name]) for name in EXECUTIONS}
    return {
        "verdict": proof.verdict,
        "model": {"name": files.name, "sha256": proof.sha256},
        "inputs": described(proof.question),
        "change": described_move(proof.question),
        "accuracy": {"test": proof.accuracy.test, "nll": _finite(proof.accuracy.nll),
                     "source": proof.accuracy.source},
        "lower": {**lower,
                  "pixel": list(witness.pixel) if witness else None,
                  "pixels": [list(pixel) for pixel in witness.changed] if witness else [],
                  "class": witness.class_index if witness else None,
                  "runtimes": dict(shown.changes) if shown else {},
                  "between": list(shown.apart[:2]) if shown else []},
        "says_nothing": proof.says_nothing,
        "advice": ADVICE if _only_one(proof) else None,
        "upper": {name: claims[name]["value"] for name in EXECUTIONS},
        "ratio": {name: ratio(lower[name], claims[name]["value"]) for name in EXECUTIONS},
        "claims": claims,
        "methods": {"norms": _norms(proof)},
        "branches": _branches(proof),
        "assumptions": {name: list(named) for name, named in proof.assumptions.items()},
        "certificate": str(proof.certificate) if proof.made else None,
        "refused": _refused(proof),
        "check": {"accepted": proof.checked.accepted if proof.checked else None,
                  "seconds": proof.checked.seconds if proof.checked else None},
        "seconds": proof.seconds,
    }  # fmt: skip


def _upper(proof: Verdict, executions: str, lower: float | None) -> dict[str, Any]:
    """U for some executions, what it is made of, and where it is lost."""
    if proof.made is None:
        return {"value": None, "logits": None, "real_ratio": None, "parts": {}, "nodes": {}}
    claim, division = proof.made.derived.claims[executions], proof.made.divisions[executions]
    return {
        "value": ceil_float(claim.upper),
        "logits": _finite(ceil_float(claim.logits)),
        "real_ratio": _real_ratio(claim, division, lower),
        "parts": {name: ceil_float(part) for name, part in division.parts.items()},
        "nodes": {name: {kind: _finite(ceil_float(v)) for kind, v in kinds.items()}
                  for name, kinds in division.nodes.items()},
    }  # fmt: skip


def _norms(proof: Verdict) -> dict[str, Any] | None:
    """R by Euclidean norms alone, and whether that is what is claimed; null where there is none."""
    if proof.made is None or not proof.made.norms:
        return None
    bounds = {name: ceil_float(most) for name, most in proof.made.norms.items()}
    return {**bounds, "claimed": bool(proof.made.derived.derivation.frame.norms)}


def _branches(proof: Verdict) -> list[dict[str, Any]]:
    """The trees of the certificate: what each bounds, with how many leaves."""
    if proof.made is None:
        return []
    return [
        {"pair": [*tree.pair], "pixel": [*tree.pixel], "leaves": len(bounds),
         "bound": ceil_float(max(bounds))}
        for tree, bounds in proof.made.trees
    ]  # fmt: skip


def _real_ratio(claim: Claim, division: Division, lower: float | None) -> float | None:
    """U/L without the rounding terms: tanh(R/4) / L of what is left of R, softmax left out too."""
    if not lower:
        return None
    bound = claim.upper - division.parts["softmax"]
    share = division.parts["rounding"] / bound if bound else 0
    return math.tanh(min(1e3, float(claim.logits * (1 - share))) / 4) / lower


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _refused(proof: Verdict) -> dict[str, str] | None:
    error = proof.refused
    if error is not None:
        return {"rule": error.rule, "node": error.node, "reason": error.message}
    if proof.checked and not proof.checked.accepted:
        found = proof.checked
        return {"rule": found.rule, "node": found.node, "reason": found.reason}
    return None


def _view(files: ModelFiles, proof: Verdict, rows: int) -> RenderableType:
    data = payload(files, proof)
    table = Table(box=None, show_header=False)
    head = {"verdict": proof.verdict}
    if _only_one(proof):
        head["verdict"] += f": {NOTHING}"
        head["what to do"] = ADVICE
    head["model"] = f"{files.name}  {proof.sha256}"
    head["inputs"] = described(proof.question)
    head["change"] = proof.question.move.told
    if proof.accuracy.test is not None and proof.accuracy.nll is not None:
        known = f"{proof.accuracy.test:.2%}, NLL {proof.accuracy.nll:.4f}"
        head["accuracy"] = f"{known} ({proof.accuracy.source})"
    if proof.shown is not None:
        witness = proof.shown.witness
        where = f"{at_pixels(witness.changed)}, class {witness.class_index}"
        head["lower L"] = f"{proof.shown.lower:.6g} at {where}"
    for name in reversed(EXECUTIONS) if proof.made else ():
        _claim(head, name, data)
    if data["methods"]["norms"]:
        norms = data["methods"]["norms"]
        used = ", which is what is claimed" if norms["claimed"] else ""
        head["by norms"] = f"R = {norms[SAME_PROGRAM]:.4g}{used}"
    for tree in data["branches"]:
        head["branches"] = (
            f"{tree['leaves']} leaves, {tree['bound']:.6f} at pixel {tuple(tree['pixel'])}"
        )
    if data["refused"]:
        head["not proved"] = "{rule} at {node}: {reason}".format(**data["refused"])
    named = data["assumptions"]
    head["assumes"] = ", ".join(named[ANY_TWO])
    head["  one program"] = ", ".join(sorted({*named[SAME_PROGRAM]} - {*named[ANY_TWO]}))
    if proof.checked and proof.checked.accepted:
        head["checked"] = f"accepted by lastbit-check in {proof.checked.seconds:.1f} s"
    if proof.made:
        head["certificate"] = str(proof.certificate)
    head["time"] = f"{proof.seconds:.1f} s"
    for key, value in head.items():
        table.add_row(key, escape(value))
    return Group(table, "", _nodes(proof, rows)) if proof.made else table


def _only_one(proof: Verdict) -> bool:
    """Whether there is a certificate, accepted, and all it says is U = 1."""
    return proof.verdict == "not decided" and proof.made is not None


def _claim(head: dict[str, str], executions: str, data: dict[str, Any]) -> None:
    """What is proved for some executions. U = 1 is no success, and is not presented as one."""
    claim, lower = data["claims"][executions], data["lower"][executions]
    upper, found = claim["value"], data["ratio"][executions]
    head[executions] = f"U = {upper:.6g}"
    if says_nothing(lower, upper):
        head[executions] += ": this says nothing, no probability changes by more than 1"
        return
    if found is not None:
        without = claim["real_ratio"]
        rest = "exact" if without is None else f"without rounding {without:.3f}"
        head[executions] += f", L = {lower:.6g}, U/L = {found:.3f}; {rest}"
    parts = (f"{name.replace('_', ' ')} {part:.3g}" for name, part in claim["parts"].items())
    head[f"  {executions} of"] = ", ".join(parts)


def _nodes(proof: Verdict, rows: int) -> Table:
    """Where U is lost: each node's share of R, worst first, for the worst pair and pixel."""
    assert proof.made is not None
    title = "Where the bound is lost for one program, in units of a difference of two logits"
    table = Table("node", "remainder", "rounding", "defect", box=None, title=title)
    nodes = sorted(
        proof.made.divisions[SAME_PROGRAM].nodes.items(), key=lambda item: -sum(item[1].values())
    )
    for name, entries in nodes[: rows or None]:
        cells = (f"{float(entries[k]):.3g}" for k in ("remainder", "rounding", "defect"))
        table.add_row(escape(name), *cells)
    return table
