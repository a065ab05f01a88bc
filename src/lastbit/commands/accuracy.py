"""`lastbit accuracy`: images whose right label no allowed execution can change."""

from __future__ import annotations

import json
import os
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
    write_message,
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
    from lastbit_check.question import Question


SHOWN = 12
"""Numbers of images that a line names."""
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
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many of the images, drawn; 100 if nothing is said and all would have to be "
            "looked at one by one.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="So many for the bound at an image; as many as cores by default."),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="Write the certificate of the bound at images to this folder."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object here.")] = None,
    as_json: JsonOption = False,
) -> Result:
    """Count the images that every allowed execution labels rightly.

    Some are decided by the drift bound for all images, others by one for a set of images of the
    same label, or for themselves, and what these leave open by the bound at the image. Counted too
    are those that keep their label where the last bit of a place flips, or where happens what --bit
    or another option says. Exit 3 if nothing is decided of any.
    """
    from lastbit.graph import read_onnx
    from lastbit.questions.accuracy import certify_accuracy

    said = Said(bit, levels, places, channels, mask)
    files = resolve_model(model, pixels, box, said)
    with watched() as progress:
        test = _images(files, data, labels, progress)
        chosen = range(min(images, len(test.images))) if images else None
        found = certify_accuracy(
            files, test, images=chosen, sample=sample, seed=seed,
            processes=processes or os.cpu_count() or 1, certificate=certificate,
            say=write_message, progress=progress,
        )  # fmt: skip
    written = payload(found, data or "mnist", read_onnx(files.asked).question)
    written["accuracy"]["sample"] = {"of": len(test.images), "seed": seed} if found.drawn else None
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


def payload(found: CertifiedAccuracy, data: str, question: Question) -> dict[str, Any]:
    """The JSON object, which is also what stands beside a shipped model."""
    return {
        "verdict": found.verdict,
        "data": data,
        "model": {"name": found.name, "sha256": found.sha256},
        "accuracy": {
            "test": found.right / found.images,
            "certified": found.certified / found.images,
            "images": found.images,
            "by_bound": found.by_bound,
            "by_set": found.by_set,
            "by_image": list(found.by_image),
            "at_image": list(found.at_image),
            "undecided": list(found.undecided),
        },
        "moves": {
            **described_move(question),
            "certified": found.steady / found.images,
            "undecided": list(found.unsteady),
            "logits": None if found.moved is None else ceil_float(found.moved),
            "assumptions": list(found.of_moves),
        },
        "change": None if found.change is None else ceil_float(found.change),
        "refused": str(found.refused) if found.refused else None,
        "assumptions": list(found.assumptions),
        "seconds": found.seconds,
    }


def _view(data: dict[str, Any], source: str) -> Table:
    figures, moves = data["accuracy"], data["moves"]
    count = figures["images"]
    right = round(figures["test"] * count)
    table = Table(box=None, show_header=False)
    table.add_row("verdict", data["verdict"])
    table.add_row("model", escape("{name}  {sha256}".format(**data["model"])))
    drawn = figures["sample"]
    of = f" of {drawn['of']}, drawn with seed {drawn['seed']}" if drawn else ""
    table.add_row("images", escape(f"{count}{of}, {data['data']}: {source}"))
    table.add_row(
        "accuracy", f"{right} of {count} images are labelled rightly, {right / count:.2%}"
    )
    table.add_row("certified", _share(figures, right, count) + "no allowed execution changes these")
    if data["refused"]:
        table.add_row("  all images", escape(f"no bound: {data['refused']}"))
    else:
        change = f"{data['change']:.3g} in the logits"
        table.add_row("  all images", f"{figures['by_bound']} by the bound for all ({change}), "
                      f"{figures['by_set']} by one for a set, {len(figures['by_image'])} by one of "
                      "their own")  # fmt: skip
    table.add_row("  at the image", f"{len(figures['at_image'])} by the bound there")
    table.add_row("  undecided", _named(figures["undecided"]))
    table.add_row(
        "and moved", _share(moves, right, count) + f"nor any of them after {moves['text']}"
    )
    if moves["logits"] is not None:
        table.add_row("  all images", f"{moves['logits']:.3g} in the logits of one program")
    table.add_row("  undecided", _named(moves["undecided"]))
    table.add_row("assumes", ", ".join(data["assumptions"]))
    table.add_row("time", f"{data['seconds']:.0f} s")
    return table


def _share(figures: dict[str, Any], right: int, count: int) -> str:
    sure = round(figures["certified"] * count)
    return f"{sure} of these {right}, {sure / max(1, right):.2%} ({sure / count:.2%} of all): "


def _named(numbers: list[int]) -> str:
    """How many, and the first of them."""
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = ", ..." if len(numbers) > SHOWN else ""
    return f"{len(numbers)}: {shown}{more}" if numbers else "none"
