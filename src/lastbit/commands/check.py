"""`lastbit check`: what `lastbit-check` does, with progress and the table of nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lastbit.commands.terminal import (
    JsonOption,
    MemoryOption,
    Result,
    memory_of,
    watched,
    write_message,
)
from lastbit.errors import EXIT_OK, EXIT_REJECTED


def check(
    certificate: Annotated[
        Path, typer.Argument(help="A certificate.json, its folder, or the name of a shipped model.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="The ONNX file; by default where `prove` found it.")
    ] = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> Result:
    """Check a certificate: exit 0 accepted, 1 rejected, 2 unreadable."""
    from lastbit.api import check as run_check

    most = memory_of(memory)
    with watched() as progress:
        found = run_check(certificate, model, memory=most, say=write_message, progress=progress)
    payload = {
        "accepted": found.accepted, "upper": dict(found.upper), "rule": found.rule or None,
        "node": found.node or None, "reason": found.reason or None,
        "assumptions": {name: list(named) for name, named in found.assumptions.items()},
        "seconds": found.seconds,
    }  # fmt: skip
    if found.accepted:
        claims = (f"{name}: U = {found.upper[name]!r}, assuming {', '.join(named)}"
                  for name, named in found.assumptions.items())  # fmt: skip
        text = "\n".join(["ACCEPTED", *claims])
    else:
        place = f" at {found.node}" if found.node else ""
        text = f"REJECTED by rule {found.rule}{place}: {found.reason}"
    code = EXIT_OK if found.accepted else EXIT_REJECTED
    return Result(payload, escape(text), as_json, code)
