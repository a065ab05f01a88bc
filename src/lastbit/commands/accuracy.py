"""`lastbit accuracy`: images whose right label no allowed execution can change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from lastbit.asked import described_move
from lastbit.commands.terminal import (
    BitOption,
    BoxOption,
    ChannelsOption,
    JsonOption,
    LevelsOption,
    MaskOption,
    ModelArgument,
    PixelsOption,
    PlacesOption,
    Result,
    watched,
)
from lastbit.data import LabelledImages, load_mnist, read_labelled
from lastbit.errors import EXIT_OK, EXIT_UNDECIDED, UsageError
from lastbit.files import write_whole
from lastbit.models.moves import Said
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, is_shipped, resolve_model
from lastbit.progress import Progress
from lastbit_check.check import ceil_float

if TYPE_CHECKING:
    from lastbit.questions.accuracy import CertifiedAccuracy


CODES = {"certified": EXIT_OK, "not decided": EXIT_UNDECIDED}


def accuracy(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    box: BoxOption = None,
    bit: BitOption = None,
    levels: LevelsOption = None,
    places: PlacesOption = None,
    channels: ChannelsOption = None,
    mask: MaskOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Whose images: an .npz with images and labels, an IDX file of images, or `mnist`, "
            "which is meant for shipped models if nothing is said.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The IDX file of labels, where --data is one of images.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="The first so many images; all by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object here.")] = None,
    as_json: JsonOption = False,
) -> Result:
    """Count the images that every allowed execution labels rightly.

    Some are decided by the drift bound for all images, the others by one for a set of images of
    the same label, or for themselves. With --bit or another option that says what may change, an
    image counts only if every one that such a change makes of it is labelled so, too. Exit 3 if
    nothing is decided of any.
    """
    from lastbit.questions.accuracy import certify_accuracy

    said = Said(bit, levels, places, channels, mask)
    files = resolve_model(model, pixels, box, said)
    with watched() as progress:
        test = _images(files, data, labels, progress)
        chosen = range(min(images, len(test.images))) if images else None
        found = certify_accuracy(
            files, test, images=chosen, moving=said.anything, progress=progress
        )
    written = payload(found, data or "mnist")
    if said.anything and files.question is not None:
        written["moves"] = {**described_move(files.question), "logits": ceil_float(found.moved)}
    if out:
        write_whole(out, (json.dumps(written, indent=2) + "\n").encode())
    return Result(written, _view(written, test.source), as_json, CODES[found.verdict])


def _images(
    files: ModelFiles, data: str | None, labels: Path | None, progress: Progress
) -> LabelledImages:
    """Those that are asked for: it is for a person to say whose they are."""
    if data is None and not is_shipped(files):
        raise UsageError(
            "whose images? this model is not one that comes with lastbit",
            where=str(files.model),
            fix="give --data FILE (.npz with images and labels), --data IMAGES --labels LABELS "
            "(two IDX files), or --data mnist",
        )
    if data is None or data == "mnist":
        if labels is not None:
            raise UsageError("MNIST has labels of its own", where="--labels", fix="leave it out")
        return load_mnist("test", progress=progress)
    return read_labelled(Path(data).expanduser(), labels)


def payload(found: CertifiedAccuracy, data: str) -> dict[str, Any]:
    """The JSON object, which is also what stands beside a shipped model."""
    return {
        "verdict": found.verdict,
        "data": data,
        "model": {"name": found.name, "sha256": found.sha256},
        "accuracy": {
            "test": None if found.refused else found.right / found.images,
            "certified": found.certified / found.images,
            "images": found.images,
            "by_bound": found.by_bound,
            "by_set": found.by_set,
            "by_image": list(found.by_image),
            "undecided": list(found.undecided),
        },
        "change": None if found.change is None else ceil_float(found.change),
        "refused": str(found.refused) if found.refused else None,
        "assumptions": list(found.assumptions),
        "seconds": found.seconds,
    }


def _view(data: dict[str, Any], source: str) -> Table:
    figures = data["accuracy"]
    table = Table(box=None, show_header=False)
    table.add_row("verdict", data["verdict"])
    table.add_row("model", escape("{name}  {sha256}".format(**data["model"])))
    table.add_row("images", escape(f"{figures['images']}, {data['data']}: {source}"))
    if data["refused"]:
        table.add_row("no bound", escape(data["refused"]))
        return table
    if "moves" in data:
        moved = f"{data['moves']['logits']:.3g} in the logits of one program"
        table.add_row("change", f"{data['moves']['text']}: {moved}")
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
