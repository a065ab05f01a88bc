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
from lastbit.errors import EXIT_OK, EXIT_REJECTED, UsageError


def check(
    certificate: Annotated[
        Path, typer.Argument(help="A certificate.json, its folder, or the name of a shipped model.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="The ONNX file; by default where `prove` found it.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Of a certificate for given images: these; images.npy beside it if not."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Of its claims about images so many, drawn; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of --sample.")] = 0,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> Result:
    """Check a certificate: exit 0 accepted, 1 rejected, 2 unreadable."""
    from lastbit.api import check as run_check
    from lastbit.around.checked import is_at_images
    from lastbit.models.place import certificate_of

    most = memory_of(memory)
    if is_at_images(certificate_of(certificate)):
        return _at_images(certificate_of(certificate), model, images, sample, seed, as_json)
    if images is not None or sample is not None:
        raise UsageError("this certificate is about all images, not about given ones",
                         where=str(certificate), fix="leave --images and --sample out")  # fmt: skip
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


def _at_images(
    certificate: Path, model: Path | None, images: Path | None, sample: int | None, seed: int,
    as_json: bool,
) -> Result:  # fmt: skip
    from lastbit.around.checked import check_at

    with watched() as progress:
        found = check_at(certificate, model, images, sample=sample, seed=seed, progress=progress)
    payload = {
        "accepted": found.accepted, "drift": found.drift, "upper": found.upper,
        "decided": list(found.decided), "checked": list(found.checked), "of": found.count,
        "rule": found.rule or None, "reason": found.reason or None,
        "assumptions": list(found.assumptions), "seconds": found.seconds,
    }  # fmt: skip
    text = repr(found) if found.accepted else f"REJECTED by rule {found.rule}: {found.reason}"
    code = EXIT_OK if found.accepted else EXIT_REJECTED
    return Result(payload, escape(text), as_json, code)
