"""`lastbit replay`: run the stored pair of images on every runtime installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lastbit.asked import described_move
from lastbit.commands.terminal import JsonOption, Result, at_pixels, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, CertificateError, UsageError
from lastbit.files import starts_as_json
from lastbit.models.place import model_of
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model

if TYPE_CHECKING:
    from lastbit.witness import Witness


def replay(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL|CERTIFICATE|WITNESS]",
            help="A model, a certificate.json or a witness.json.",
        ),
    ] = DEFAULT_MODEL,
    model: Annotated[
        Path | None,
        typer.Option(help="The ONNX file of a certificate or witness; else it is looked for."),
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Run the two images of a witness: exit 0 if every runtime moves at least as far as claimed.

    Exit 1 if one of them moves less.
    """
    from lastbit.witness import replay as run_replay

    files, witness = _pair(what, model)
    with watched() as progress:
        progress("replaying the witness", 0, 1)
        shown = run_replay(witness.asked(files.model), witness)
        progress("replaying the witness", 1, 1)
    verdict = "confirmed" if shown.confirmed else "refuted"
    payload = {
        "verdict": verdict,
        "model": {"name": files.name, "sha256": witness.model_sha256},
        "change": described_move(witness.question),
        "claimed": witness.lower,
        "lower": {
            "value": shown.lower,
            "pixel": list(witness.pixel),
            "pixels": [list(pixel) for pixel in witness.changed],
            "class": witness.class_index,
            "runtimes": dict(shown.changes),
        },
        "probabilities": {name: list(pair) for name, pair in shown.probabilities.items()},
    }
    table = Table("runtime", "first image", "second image", "change", box=None)
    for name, (first, second) in shown.probabilities.items():
        table.add_row(escape(name), repr(first), repr(second), repr(shown.changes[name]))
    table.caption = (
        f"{verdict}: {at_pixels(witness.changed)}, class {witness.class_index}, "
        f"claimed {witness.lower!r}, smallest here {shown.lower!r}"
    )
    return Result(payload, table, as_json, EXIT_OK if shown.confirmed else EXIT_REJECTED)


def _pair(what: str, model: Path | None) -> tuple[ModelFiles, Witness]:
    """A model and its stored pair, or those of a certificate or a witness."""
    from lastbit.witness import read_witness

    path = Path(what).expanduser()
    if path.is_file() and starts_as_json(path):
        if _is_certificate(path):
            from lastbit.certificate import certified_witness

            return certified_witness(path, model)
        witness = read_witness(path)
        return model_of(path, witness.model_sha256, model), witness
    if model is not None:
        raise UsageError(
            f"{what!r} is no certificate or witness",
            where="--model",
            fix="leave --model out, or name a certificate.json or a witness.json",
        )
    files = resolve_model(what)
    if not files.witness.exists():
        raise CertificateError(
            "there is no witness for this model",
            where=str(files.witness),
            fix=f"make one with `lastbit search {what}`",
        )
    return files, read_witness(files.witness)


def _is_certificate(path: Path) -> bool:
    try:
        return str(json.loads(path.read_bytes())["format"]).startswith("lastbit-certificate")
    except (ValueError, KeyError, RecursionError):
        return False
