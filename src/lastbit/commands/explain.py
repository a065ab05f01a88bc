"""`lastbit explain`: what a certificate says of one node, or where U is lost."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result, watched
from lastbit.errors import EXIT_OK, CertificateError, UsageError
from lastbit_check.check import ceil_float
from lastbit_check.question import EXECUTIONS, SAME_PROGRAM

if TYPE_CHECKING:
    from fractions import Fraction

    from lastbit.api import Checked
    from lastbit.hints.explained import Explained, Part
    from lastbit_check.check import Derived

SOME_NAMES = 3


def explain(
    certificate: Annotated[
        Path, typer.Argument(help="A certificate.json, its folder, or the name of a shipped model.")
    ],
    node: Annotated[
        str | None, typer.Argument(help="Name of a node; of all, what each adds to U.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The ONNX file; by default where `prove` found it.")
    ] = None,
    executions: Annotated[
        str, typer.Option(help=f"Of which U is meant: {' or '.join(EXECUTIONS)}.")
    ] = SAME_PROGRAM,
    as_json: JsonOption = False,
) -> Result:
    """Say what a certificate proves of one node: range, rounding, hints, its part of U, the rules.

    Without a node, all of them by their part of U. The certificate is checked first: exit 1 if it
    is rejected.
    """
    from lastbit.api import check
    from lastbit.hints.explained import explained, parts_of_nodes

    if executions not in EXECUTIONS:
        raise UsageError(
            f"{executions!r} are no executions", where="--executions", fix=", ".join(EXECUTIONS)
        )
    with watched() as progress:
        checked = check(certificate, model, progress=progress)
    if checked.derived is None:
        raise _rejected(certificate, checked)
    derived = checked.derived
    if node is None:
        return _listed(derived, executions, parts_of_nodes(derived, executions), as_json=as_json)
    names = [each.name for each in derived.derivation.frame.network.computed]
    if node not in names:
        raise _unknown(node, names)
    return _shown(derived, executions, explained(derived, executions, node), as_json=as_json)


class _RejectedError(CertificateError):
    """A certificate that says what does not follow."""

    exit_code = 1


def _rejected(certificate: Path, checked: Checked) -> CertificateError:
    place = f" at {checked.node}" if checked.node else ""
    return _RejectedError(
        f"the certificate is rejected by rule {checked.rule}{place}: {checked.reason}",
        where=str(certificate),
        fix="make a new one with `lastbit prove`",
    )


def _unknown(node: str, names: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(node, names, SOME_NAMES, cutoff=0.3)
    inside = [name for name in names if node.lower() in name.lower()]
    named = list(dict.fromkeys([*inside, *near]))[:SOME_NAMES] or names[:SOME_NAMES]
    return UsageError(
        f"there is no node {node!r}",
        where=f"of {len(names)} nodes, these are near: {', '.join(named)}",
        fix="without a name, `lastbit explain` lists all",
    )


def _listed(derived: Derived, executions: str, parts: Sequence[Part], *, as_json: bool) -> Result:
    from lastbit.hints.explained import KINDS_OF_TERM

    upper = derived.claims[executions].upper
    rows = [
        {"name": part.name, "operator": part.kind or None, "share": _share(part.size, upper),
         "terms": _terms(part)}
        for part in parts
    ]  # fmt: skip
    title = f"U = {ceil_float(upper):.6g} for {executions}, by what adds to it"
    head = [kind.replace("_", " ") for kind in KINDS_OF_TERM]
    table = Table("node", "operator", "share", *head, box=None, title=title)
    for part in parts:
        cells = (_cell(part.terms.get(kind)) for kind in KINDS_OF_TERM)
        share = f"{_share(part.size, upper):.2%}"
        table.add_row(escape(part.name), part.kind, share, *cells)
    payload = {"executions": executions, "upper": ceil_float(upper), "nodes": rows}
    return Result(payload, table, as_json, EXIT_OK)


def _shown(derived: Derived, executions: str, found: Explained, *, as_json: bool) -> Result:
    upper = derived.claims[executions].upper
    numbers = {
        "low": found.low,
        "high": found.high,
        "rounding": found.rounding,
        "moved": found.moved,
    }
    payload: dict[str, Any] = {
        "name": found.part.name,
        "operator": found.part.kind,
        "shape": [*found.shape],
        "reads": [*found.reads],
        **{name: _finite(number) for name, number in numbers.items()},
        "reached": found.reached,
        "executions": executions,
        "upper": ceil_float(upper),
        "share": _share(found.part.size, upper),
        "terms": _terms(found.part),
        "first_layers": found.early,
        "hints": found.hints,
        "assumptions": [*found.assumed],
        "rules": [*found.rules],
    }
    return Result(payload, _view(found, payload), as_json, EXIT_OK)


def _view(found: Explained, payload: dict[str, Any]) -> RenderableType:
    sizes = "x".join(map(str, found.shape))
    rows = {
        "node": f"{found.part.name}  ({found.part.kind}, {sizes})",
        "reads": ", ".join(found.reads),
        "range": f"{float(found.low):.6g} to {float(found.high):.6g}",
        "rounding": f"at most {float(found.rounding):.3g} in one execution",
        "a move": f"changes it by at most {float(found.moved):.3g}, and reaches "
        f"{found.reached:.1%} of its units, by place",
        "part of U": f"{float(found.part.size):.3g}, {payload['share']:.2%} of "
        f"{payload['upper']:.6g} ({payload['executions']})",
        "  of which": ", ".join(f"{k} {float(v):.3g}" for k, v in found.part.terms.items()),
    }
    if found.early:
        rows["first layers"] = "what it adds without rounding is bounded with the other first ones"
    rows |= found.hints
    rows["assumes"] = ", ".join(found.assumed) or "nothing of its own"
    rows["rules"] = ", ".join(f"lastbit_check/{rule}.py" for rule in found.rules)
    table = Table(box=None, show_header=False)
    for key, value in rows.items():
        table.add_row(escape(key), escape(value))
    return Group(table)


def _terms(part: Part) -> dict[str, float | None]:
    return {kind: _finite(size) for kind, size in part.terms.items()}


def _share(size: Fraction, upper: Fraction) -> float:
    return float(size / upper) if upper else 0.0


def _cell(size: Fraction | None) -> str:
    return "" if size is None else f"{float(size):.3g}"


def _finite(number: Fraction) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None
