"""`lastbit replay`: run the stored pair of images on every runtime installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, CertificateError
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model


def replay(
    what: Annotated[
        str, typer.Argument(metavar="[MODEL|CERTIFICATE]", help="A model, or a certificate.json.")
    ] = DEFAULT_MODEL,
    as_json: JsonOption = False,
) -> Result:
    """Run the two images of a witness: exit 0 if every runtime moves at least as far as claimed.

    Exit 1 if one of them moves less.
    """
    from lastbit.witness import read_witness, replay as run_replay

    files = _files(what)
    if not files.witness.exists():
        raise CertificateError(
            "there is no witness for this model",
            where=str(files.witness),
            fix="make one with `lastbit search`",
        )
    witness = read_witness(files.witness)
    with watched() as progress:
        progress("replaying the witness", 0, 1)
        shown = run_replay(files.model, witness)
        progress("replaying the witness", 1, 1)
    verdict = "confirmed" if shown.confirmed else "refuted"
    payload = {
        "verdict": verdict,
        "model": {"name": files.name, "sha256": witness.model_sha256},
        "claimed": witness.lower,
        "lower": {
            "value": shown.lower,
            "pixel": list(witness.pixel),
            "class": witness.class_index,
            "runtimes": dict(shown.changes),
        },
        "probabilities": {name: list(pair) for name, pair in shown.probabilities.items()},
    }
    row, col = witness.pixel
    table = Table("runtime", "first image", "second image", "change", box=None)
    for name, (first, second) in shown.probabilities.items():
        table.add_row(escape(name), repr(first), repr(second), repr(shown.changes[name]))
    table.caption = (
        f"{verdict}: pixel ({row}, {col}), class {witness.class_index}, "
        f"claimed {witness.lower!r}, smallest here {shown.lower!r}"
    )
    return Result(payload, table, as_json, EXIT_OK if shown.confirmed else EXIT_REJECTED)


def _files(what: str) -> ModelFiles:
    """A model, or the one beside a certificate or a witness."""
    path = Path(what).expanduser()
    return resolve_model(path.parent if path.suffix == ".json" and path.is_file() else what)
