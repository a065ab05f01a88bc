"""`lastbit accuracy`: test images whose right label no allowed execution can change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, ModelArgument, Result, watched
from lastbit.data import load_mnist
from lastbit.files import write_whole
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit_check.check import ceil_float

if TYPE_CHECKING:
    from lastbit.questions.accuracy import CertifiedAccuracy


def accuracy(
    model: ModelArgument = DEFAULT_MODEL,
    images: Annotated[
        int | None, typer.Option(min=1, help="The first so many test images; all by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object here.")] = None,
    as_json: JsonOption = False,
) -> Result:
    """Count the test images that every allowed execution labels rightly.

    Some are decided by the drift bound for all images, the others by one for a set of images of
    the same label, or for themselves.
    """
    from lastbit.questions.accuracy import certify_accuracy

    files = resolve_model(model)
    with watched() as progress:
        test = load_mnist("test", progress=progress)
        chosen = range(min(images, len(test.images))) if images else None
        found = certify_accuracy(files, test, images=chosen, progress=progress)
    data = payload(found)
    if out:
        write_whole(out, (json.dumps(data, indent=2) + "\n").encode())
    return Result(data, _view(data), as_json)


def payload(found: CertifiedAccuracy) -> dict[str, Any]:
    """The JSON object, which is also what stands beside a shipped model."""
    return {
        "model": {"name": found.name, "sha256": found.sha256},
        "accuracy": {
            "test": found.right / found.images,
            "certified": found.certified / found.images,
            "images": found.images,
            "by_bound": found.by_bound,
            "by_set": found.by_set,
            "by_image": list(found.by_image),
            "undecided": list(found.undecided),
        },
        "change": ceil_float(found.change),
        "assumptions": list(found.assumptions),
        "seconds": found.seconds,
    }


def _view(data: dict[str, Any]) -> Table:
    figures = data["accuracy"]
    table = Table(box=None, show_header=False)
    table.add_row("model", escape("{name}  {sha256}".format(**data["model"])))
    table.add_row("accuracy", f"{figures['test']:.2%} of {figures['images']} images")
    table.add_row("certified", f"{figures['certified']:.2%}")
    ways = f"{figures['by_bound']} by the bound for all images ({data['change']:.3g} in the logits)"
    more = f"{figures['by_set']} by one for a set, {len(figures['by_image'])} by one of their own"
    table.add_row("  of which", f"{ways}, {more}")
    open_ones = ", ".join(map(str, figures["undecided"][:12])) or "none"
    table.add_row("undecided", f"{len(figures['undecided'])}: {open_ones}")
    table.add_row("assumes", ", ".join(data["assumptions"]))
    table.add_row("time", f"{data['seconds']:.0f} s")
    return table
