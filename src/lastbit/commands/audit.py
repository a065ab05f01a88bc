"""`lastbit audit`: the assumptions of the theorem, measured on the programs that are installed."""

from __future__ import annotations

import enum
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, ModelArgument, PixelsOption, Result, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED, OutputError
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model

if TYPE_CHECKING:
    from lastbit.audit import Audit
    from lastbit.audit.network import NetworkAudit, Row
    from lastbit.audit.structure.matched import Structure
    from lastbit.audit.told import Told


class Device(enum.StrEnum):
    """Where the runtimes run."""

    CPU = "cpu"
    CUDA = "cuda"


def audit(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="All 2^32 float32 numbers, many images, torch.compile: half an hour.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write; with --full by default docs/runtimes.md."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="cuda: the runtimes of a GPU, if there is one.")
    ] = Device.CPU,
    as_json: JsonOption = False,
) -> Result:
    """Hold every runtime installed against what the theorem assumes: exit 0 if all is met.

    Three things are looked at: every value of every execution, what each runtime made of the graph,
    and what they do on networks made to tell. Exit 1 if a runtime breaks an assumption, rewrites
    the graph in a way that is not allowed or leaves its bounds, or if an execution that is not
    covered (bfloat16) goes unnoticed; 3 if the model has no bounds, or nothing could be run. Ctrl-C
    during --full keeps what was found: the same command goes on from there.
    """
    from lastbit.audit import run_audit

    files = resolve_model(model, pixels)
    if full and out is None:
        out = Path("docs") / "runtimes.md"
    if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise OutputError(
            "cannot write the page", where=str(out), fix="choose a folder that exists with --out"
        )
    with watched() as progress:
        found = run_audit(files, full=full, out=out, device=device.value, progress=progress)
    verdict, code = "met", EXIT_OK
    if found.network.refused or not found.network.rows:
        verdict, code = "not decided", EXIT_UNDECIDED
    if found.failures:
        verdict, code = "not met", EXIT_REJECTED
    payload = _payload(found, verdict, out)
    return Result(payload, _view(found, verdict, out), as_json, code)


def _payload(found: Audit, verdict: str, out: Path | None) -> dict[str, Any]:
    """The JSON object: an infinite number is null."""
    from lastbit.audit.exhaustive import processor

    network = found.network
    return {
        "verdict": verdict,
        "failures": found.failures,
        "exhaustive": found.exhaustive,
        "patterns": found.sweep.patterns,
        "processor": processor(),
        "exp_error_ulp": found.exp_error,
        "functions": _functions(found),
        "model": {"name": network.name, "sha256": network.sha256},
        "images": network.images,
        "executions": [_execution(row) for row in network.rows],
        "graphs": [_graph(graph) for graph in network.structures],
        "told": [_told(one) for one in found.told],
        "refused": str(network.refused) if network.refused else None,
        "missing": {**found.missing, **network.missing},
        "page": str(out) if out else None,
    }


def _functions(found: Audit) -> list[dict[str, Any]]:
    from lastbit.audit.assumptions import assumption

    return [
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


def _execution(row: Row) -> dict[str, Any]:
    return {
        "runtime": row.runtime,
        "setting": row.setting,
        "covered": row.covered,
        "within": row.within,
        "images": row.images,
        "nodes": len(row.nodes),
        "worst": row.worst,
        "share": _finite(row.nodes[row.worst].share),
        "at": list(row.nodes[row.worst].at),
        "outside": row.outside,
    }


def _graph(graph: Structure) -> dict[str, Any]:
    return {
        "runtime": graph.runtime,
        "setting": graph.setting,
        "operations": graph.operations,
        "nodes": [graph.nodes, graph.all_nodes],
        "rewritings": dict(graph.rewritings),
        "computed_twice": list(graph.twice),
        "not_allowed": list(graph.broken),
        "not_computed_once": list(graph.unequal),
    }


def _told(one: Told) -> dict[str, Any]:
    return {
        "name": one.name,
        "upper": dict(one.upper),
        "attained": {name: _finite(a.value) for name, a in one.attained.items()},
        "by": {name: a.by for name, a in one.attained.items()},
        "left_out": {name: _finite(value) for name, value in one.excluded.items()},
        "failures": list(one.failures),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _view(found: Audit, verdict: str, out: Path | None) -> RenderableType:
    network = found.network
    missing = {**found.missing, **network.missing}
    said = [f"not run: {name}: {why}" for name, why in missing.items()]
    if network.refused:
        said.append(f"the model has no bounds: {network.refused}")
    said += found.failures
    said.append(f"verdict: {verdict}" + (f"; written to {out}" if out else ""))
    tables = [
        _function_table(found),
        _execution_table(network),
        *([_graph_table(network)] * bool(network.structures)),
        *([_told_table(found)] * bool(found.told)),
    ]
    return Group(*(line for table in tables for line in (table, "")), *map(escape, said))


def _function_table(found: Audit) -> Table:
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
    return functions


def _execution_table(network: NetworkAudit) -> Table:
    from lastbit.audit import verdict as row_verdict

    rows = Table(box=None, title=escape(f"{network.name} on {network.images}"))
    for head in ("execution", "nodes", "worst node", "of r_k", "verdict"):
        rows.add_column(head, overflow="fold")
    for row in network.rows:
        part, said = f"{row.nodes[row.worst].share:.3g}", row_verdict(row).strip("*")
        if row.outside:
            said += f", {row.outside} values out of range"
        cells = (f"{row.runtime}, {row.setting}", str(len(row.nodes)), row.worst, part, said)
        rows.add_row(*(escape(cell) for cell in cells))
    return rows


def _graph_table(network: NetworkAudit) -> Table:
    from lastbit.audit.rewriting_page import structure_verdict
    from lastbit.audit.structure.matched import REWRITINGS

    graphs = Table(box=None, title="What runtimes make of the graph: how often each rewriting")
    for head in ("runtime", "setting", "nodes", *REWRITINGS, "verdict"):
        graphs.add_column(head, overflow="fold")
    for graph in network.structures:
        counts = (str(graph.rewritings[name]) for name in REWRITINGS)
        cells = (graph.runtime, graph.setting, f"{graph.nodes} of {graph.all_nodes}", *counts,
                 structure_verdict(graph).strip("*"))  # fmt: skip
        graphs.add_row(*(escape(cell) for cell in cells))
    return graphs


def _told_table(found: Audit) -> Table:
    from lastbit.audit.rewriting_page import share
    from lastbit_check.question import SAME_PROGRAM

    tells = Table(
        "network made to tell", "of U, one program", "by", "left out", "verdict", box=None
    )
    for one in found.told:
        best = one.attained.get(SAME_PROGRAM)
        left = ", ".join(f"{name}: {value:.3g}" for name, value in one.excluded.items())
        cells = (one.name, f"{share(one, SAME_PROGRAM):.3g}" if best else "-",
                 best.by if best else "nothing is proved", left or "-",
                 "EXCEEDED" if one.failures else "within")  # fmt: skip
        tells.add_row(*(escape(cell) for cell in cells))
    return tells
