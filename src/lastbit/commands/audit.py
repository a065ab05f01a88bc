"""`lastbit audit`: the assumptions of the theorem, measured on the programs that are installed."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.prove import ModelArgument
from lastbit.commands.terminal import JsonOption, Result, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED, OutputError
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model

if TYPE_CHECKING:
    from lastbit.audit import Audit


def audit(
    model: ModelArgument = DEFAULT_MODEL,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="All 2^32 float32 numbers, many images, torch.compile: a quarter of an hour.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write; with --full by default docs/runtimes.md."),
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Hold every runtime installed against what the theorem assumes: exit 0 if all is met.

    Exit 1 if a runtime breaks an assumption or leaves its bounds, or if an execution that is not
    covered (bfloat16) goes unnoticed; 3 if the model has no bounds. Ctrl-C during --full keeps what
    was found: the same command goes on from there.
    """
    from lastbit.audit import run_audit

    files = resolve_model(model)
    if full and out is None:
        out = Path("docs") / "runtimes.md"
    if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise OutputError(
            "cannot write the page", where=str(out), fix="choose a folder that exists with --out"
        )
    with watched() as progress:
        found = run_audit(files, full=full, out=out, progress=progress)
    verdict, code = "met", EXIT_OK
    if found.network.refused:
        verdict, code = "not decided", EXIT_UNDECIDED
    if found.failures:
        verdict, code = "not met", EXIT_REJECTED
    payload = _payload(found, verdict, out)
    return Result(payload, _view(found, verdict, out), as_json, code)


def _payload(found: Audit, verdict: str, out: Path | None) -> dict[str, Any]:
    """The JSON object: an infinite number is null."""
    from lastbit.audit.assumptions import assumption
    from lastbit.audit.exhaustive import processor

    functions = [
        {
            "runtime": runtime,
            "function": function,
            "memory": memory,
            "assumption": assumption(function),
            "meets": tally.meets,
            "share": {"near": _finite(tally.near.value), "far": _finite(tally.far.value)},
            "at": {"near": tally.near.at, "far": tally.far.at},
            "ulp": _finite(tally.ulps.value),
            "zero_from": _finite(tally.zero),
            "limit_from": _finite(tally.top),
            "nan_lost": tally.nan_lost,
        }
        for (runtime, function, memory), tally in found.sweep.tallies.items()
    ]
    network = found.network
    executions = [
        {
            "runtime": row.runtime,
            "setting": row.setting,
            "covered": row.covered,
            "within": row.within,
            "images": row.images,
            "nodes": len(row.nodes),
            "worst": row.worst,
            "share": _finite(row.nodes[row.worst].share),
            "outside": row.outside,
        }
        for row in network.rows
    ]
    return {
        "verdict": verdict,
        "failures": found.failures,
        "exhaustive": found.exhaustive,
        "patterns": found.sweep.patterns,
        "processor": processor(),
        "exp_error_ulp": found.exp_error,
        "functions": functions,
        "model": {"name": network.name, "sha256": network.sha256},
        "images": network.images,
        "executions": executions,
        "refused": str(network.refused) if network.refused else None,
        "missing": {**found.missing, **network.missing},
        "page": str(out) if out else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _view(found: Audit, verdict: str, out: Path | None) -> RenderableType:
    from lastbit.audit import verdict as row_verdict

    patterns = "all 2^32" if found.exhaustive else f"{found.sweep.patterns:,} sampled"
    functions = Table(
        "function", "runtime", "memory", "near 0", "elsewhere", "meets", box=None,
        title=f"Error as a share of what is assumed, at {patterns} float32 numbers",
    )  # fmt: skip
    for (runtime, function, memory), tally in sorted(
        found.sweep.tallies.items(), key=lambda item: (item[0][1], item[0])
    ):
        near = "-" if function == "exp" else f"{tally.near.value:.3f}"
        meets = "yes" if tally.meets else "NO"
        functions.add_row(function, escape(runtime), memory, near, f"{tally.far.value:.3f}", meets)
    network = found.network
    rows = Table(box=None, title=escape(f"{network.name} on {network.images}"))
    for head in ("execution", "nodes", "worst node", "of r_k", "verdict"):
        rows.add_column(head, overflow="fold")
    for row in network.rows:
        share, said = f"{row.nodes[row.worst].share:.3g}", row_verdict(row).strip("*")
        if row.outside:
            said += f", {row.outside} values out of range"
        cells = (f"{row.runtime}, {row.setting}", str(len(row.nodes)), row.worst, share, said)
        rows.add_row(*(escape(cell) for cell in cells))
    said = [f"not run: {name}: {why}" for name, why in {**found.missing, **network.missing}.items()]
    if network.refused:
        said.append(f"the model has no bounds: {network.refused}")
    said += found.failures
    said.append(f"verdict: {verdict}" + (f"; written to {out}" if out else ""))
    return Group(functions, "", rows, "", *(escape(line) for line in said))
