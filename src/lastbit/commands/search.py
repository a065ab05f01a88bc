"""`lastbit search`: look for a pair of images that moves the answer further."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    at_pixels,
    watched,
    write_message,
)
from lastbit.data import load_mnist
from lastbit.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNDECIDED, DataError, OutputError
from lastbit.models.moves import Said
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model
from lastbit.progress import Progress

if TYPE_CHECKING:
    from lastbit.graph import ByteArray
    from lastbit.witness import Witness
    from lastbit.witness.search import Found


def search(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    box: BoxOption = None,
    bit: BitOption = None,
    levels: LevelsOption = None,
    places: PlacesOption = None,
    channels: ChannelsOption = None,
    mask: MaskOption = None,
    seconds: Annotated[
        float,
        typer.Option(help="For the search; to run the best pairs on every runtime comes on top."),
    ] = 300.0,
    starts: Annotated[int, typer.Option(min=1, help="Images to climb from at a time.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: JsonOption = False,
) -> Result:
    """Search for a pair of images that moves a probability further than the stored one.

    Runs the best pair found on every runtime installed, and stores it if the smallest change beats
    the stored witness. Ctrl-C ends the search early and keeps the best so far. Exit 3 if the time
    was too short for a single start; then nothing is stored.
    """
    from lastbit.witness import write_witness
    from lastbit.witness.search import search as run_search

    files = resolve_model(model, pixels, box, Said(bit, levels, places, channels, mask))
    _require_writable(files.witness)
    stored = _stored(files)
    with watched() as progress:
        found = run_search(
            files.asked,
            seconds=seconds,
            starts=starts,
            seed=seed,
            images=images_to_start_from(progress),
            known=stored or _of_the_last_bit(files),
            progress=progress,
            report=say,
        )
    better = found.searched and (stored is None or found.witness.lower > stored.lower)
    if better:
        files.witness.parent.mkdir(parents=True, exist_ok=True)
        write_witness(files.witness, found.witness)
    code = EXIT_OK if found.searched else EXIT_UNDECIDED
    if found.interrupted:
        code = EXIT_INTERRUPTED
    written = _payload(files, found, stored, better=better)
    return Result(written, _view(files, found, stored, better=better), as_json, code)


def _payload(
    files: ModelFiles, found: Found, stored: Witness | None, *, better: bool
) -> dict[str, object]:
    """The JSON object."""
    witness = found.witness
    lower = {
        "value": witness.lower,
        "pixel": list(witness.pixel),
        "pixels": [list(pixel) for pixel in witness.changed],
        "class": witness.class_index,
        "runtimes": dict(witness.runtimes),
    }
    before = None if stored is None else stored.lower
    return {
        "verdict": "searched" if found.searched else "not decided",
        "model": {"name": files.name, "sha256": witness.model_sha256},
        "change": described_move(witness.question),
        "lower": lower if found.searched else None,
        "patch": _patch(found),
        "stored": {"before": before, "replaced": better, "path": str(files.witness)},
        "starts": found.starts,
        "interrupted": found.interrupted,
        "seconds": found.seconds,
    }


def _view(files: ModelFiles, found: Found, stored: Witness | None, *, better: bool) -> Table:
    table, witness = Table(box=None, show_header=False), found.witness
    if not found.searched:
        short = f"no start was finished in {found.seconds:.1f} s: this says nothing of the network"
        table.add_row("lower L", f"{short}; give more --seconds")
        table.add_row("stored", "nothing new")
        return table
    where = at_pixels(witness.changed)
    table.add_row("lower L", f"{witness.lower!r} at {where}, class {witness.class_index}")
    table.add_row("change", witness.question.move.told)
    for name, change in witness.runtimes.items():
        table.add_row(f"  {escape(name)}", repr(change))
    if found.patch is not None and found.share is not None:
        patch, (c, j) = found.patch, found.patch.classes
        table.add_row(
            "patch R",
            f"{patch.change:.6f} at pixel ({patch.pixel[0]}, {patch.pixel[1]}), classes {c} and "
            f"{j}: L is {found.share:.3%} of tanh(R/4) = {patch.limit:.6f}",
        )
    known = "nothing" if stored is None else f"L = {stored.lower!r}"
    kept = f"{known} before; this is stored in {files.witness}"
    table.add_row("stored", escape(kept if better else f"{known} is better; kept"))
    table.add_row("starts", f"{found.starts} in {found.seconds:.1f} s")
    return table


def _patch(found: Found) -> dict[str, object] | None:
    """The patch for `--json`."""
    patch = found.patch
    if patch is None:
        return None
    return {
        "value": patch.change,
        "limit": patch.limit,
        "share": found.share,
        "pixel": list(patch.pixel),
        "classes": list(patch.classes),
        "corner": list(patch.corner),
        "bytes": patch.values.tolist(),
    }


def _stored(files: ModelFiles) -> Witness | None:
    """The stored witness, if it is for this very model."""
    if not files.witness.exists():
        return None
    from lastbit.witness import read_witness

    witness = read_witness(files.witness)
    if witness.model_sha256 == files.sha256():
        return witness
    write_message(f"{files.witness} is for another model and will be replaced")
    return None


def _of_the_last_bit(files: ModelFiles) -> Witness | None:
    """Where other moves are asked: the model's stored pair of the last bit, to start from."""
    return _stored(replace(files, question=None)) if files.moves else None


def images_to_start_from(progress: Progress) -> ByteArray | None:
    """The test images; None, and a word about it, where there are none."""
    try:
        return load_mnist("test", progress=progress).images
    except DataError as error:
        write_message(f"searching from random images only: {error}")
        return None


def say(score: float, pixel: tuple[int, int], class_index: int, seconds: float) -> None:
    """Tell of a new best change."""
    write_message(
        f"{seconds:6.1f} s: best so far {score:.9g} at pixel ({pixel[0]}, {pixel[1]}), "
        f"class {class_index}"
    )


def _require_writable(path: Path) -> None:
    """Better to know before the search than after it.

    Raises:
        OutputError: the folder of `path`, or what it would be made in, cannot be written to.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise OutputError(
            "cannot write the witness", where=str(path), fix="choose a folder that is writable"
        )
