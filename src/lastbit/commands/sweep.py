"""`lastbit sweep`: the exact largest change over images that one has."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import platformdirs
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import (
    BoxOption,
    JsonOption,
    ModelArgument,
    PixelsOption,
    Result,
    watched,
)
from lastbit.data import image_set, open_images
from lastbit.errors import EXIT_OK, EXIT_REJECTED, UsageError
from lastbit.files import write_whole
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, is_shipped, resolve_model

if TYPE_CHECKING:
    from lastbit.sweep import Engine, Swept

CODES = {"swept": EXIT_OK, "refuted": EXIT_REJECTED}
ENGINES = ("local", "ray")


def sweep(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    box: BoxOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="`test`, `train` or `all` (of MNIST; `test` is meant for shipped models if "
            "nothing is said), an IDX, .npy, .npz, PNG or Parquet file, or a folder of PNGs.",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="The first so many images; all by default.")
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="What executes the model: onnxruntime, torch, jax or reference.")
    ] = "onnxruntime",
    each: Annotated[
        Path | None, typer.Option(help="Also find the largest of every image; CSV to this file.")
    ] = None,
    by_place: Annotated[
        bool, typer.Option("--map", help="Also find the largest at every place of the image.")
    ] = False,
    brute_force: Annotated[
        bool, typer.Option("--brute-force", help="Run every neighbour, whatever is known of it.")
    ] = False,
    engine: Annotated[
        str, typer.Option(help="Who runs it: `local` processes, or `ray` (RAY_ADDRESS, or here).")
    ] = "local",
    processes: Annotated[
        int | None, typer.Option(min=1, help="So many of them; as many as cores by default.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of sweep.json and of the journal; your cache by default."),
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Find the largest change of a probability that the last bit of one pixel makes, over images.

    Exact, as one program executes the model: what the certificate's rules exclude is not run, and
    the answer is the same. The same command goes on where it was interrupted. Exit 1 if a
    change exceeds the bound that is certified.
    """
    from lastbit.graph import read_onnx
    from lastbit.sweep import Goals, no_limits, sweep as find
    from lastbit.sweep.everywhere import limits_everywhere

    start = time.monotonic()
    files = resolve_model(model, pixels, box)
    data = _data(files, data)
    with watched() as progress:
        network = read_onnx(files.asked)
        stored = open_images(data, progress)
        given = image_set(
            stored, network.input_shape, network.question, first=images, progress=progress
        )
        folder = out or _folder(files, data, [network.sha256, runtime, str(images), pixels, box])
        found = find(
            files, given, folder, engine=_engine(engine, processes), runtime=runtime,
            goals=Goals(each is not None, by_place),
            limits=no_limits if brute_force else limits_everywhere, progress=progress,
        )  # fmt: skip
    if each is not None:
        write_whole(each, found.rows_of_each())
    write_whole(folder / "sweep.json", found.content())
    payload = {
        **found.answer(),
        "source": stored.source,
        "file": str(folder / "sweep.json"),
        "executions": found.executions,
        "of_them_before": found.resumed,
        "brute_force": found.brute_force,
        "limits": found.limits,
        "seconds": time.monotonic() - start,
    }
    return Result(payload, _view(payload, found), as_json, CODES[found.verdict])


def _data(files: ModelFiles, data: str | None) -> str:
    if data is None and not is_shipped(files):
        raise UsageError(
            "which images? this model is not one that comes with lastbit",
            where=str(files.model),
            fix="give --data FILE (IDX, .npy, .npz, Parquet), --data FOLDER (of PNGs), or --data "
            "test, train or all (of MNIST)",
        )
    return data or "test"


def _engine(name: str, processes: int | None) -> Engine:
    from lastbit.sweep import Local, Ray, cores

    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}", fix=f"one of {', '.join(ENGINES)}")
    return {"local": Local, "ray": Ray}[name](processes or cores())


def _folder(files: ModelFiles, data: str, said: list[str | None]) -> Path:
    """Where the same command finds what it did: by what was said, not by what the images are."""
    there = Path(data).expanduser()
    named = str(there.resolve()) if there.exists() else data
    digest = hashlib.sha256(json.dumps([named, *said]).encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("lastbit") / "sweep" / f"{files.name}-{digest}"


def _view(payload: dict[str, Any], found: Swept) -> RenderableType:
    head = Table(box=None, show_header=False)
    head.add_row("verdict", payload["verdict"])
    head.add_row("model", escape("{name}  {sha256}".format(**payload["model"])))
    head.add_row("images", escape(f"{len(found.images)}: {payload['source']}"))
    head.add_row("  SHA-256", found.images.sha256)
    head.add_row("runtime", escape(f"{payload['runtime']}, one image at a time"))
    if payload["largest"]:
        head.add_row("maximum", "{change!r} in class {class}".format(**payload["largest"][0]))
    if found.upper:
        head.add_row(
            "certified", ", ".join(f"U = {u:.6g} {name}" for name, u in found.upper.items())
        )
    if payload["refuted"]:
        head.add_row("refuted by", escape(json.dumps(payload["refuted"])))
    share = found.brute_force / max(1, found.executions)
    head.add_row("executions", f"{found.executions} of {found.brute_force} (1/{share:.4g})")
    head.add_row("  not run", escape(found.limits))
    head.add_row("written", escape(payload["file"]))
    head.add_row("time", f"{payload['seconds']:.0f} s")
    table = Table("image", "channel, row, column", "class", "before", "after", "change", box=None)
    for item in payload["largest"]:
        image = f"{item['image']} {item.get('name', '')}".rstrip()
        place = ", ".join(map(str, item["place"]))
        numbers = (f"{item[name]:.9g}" for name in ("before", "after", "change"))
        table.add_row(escape(image), place, str(item["class"]), *numbers)
    return Group(head, "", table, *_map(payload))


def _map(payload: dict[str, Any]) -> list[RenderableType]:
    """The largest at every place, row by row of the image; in --json with the pair."""
    if payload["by_place"] is None:
        return []
    channels, height, width = payload["images"]["shape"]
    cells = [f"{item['change']:.2g}" if item else "-" for item in payload["by_place"]]
    table = Table(*["largest at each place", *[""] * (width - 1)], box=None)
    for row in range(channels * height):
        table.add_row(*cells[row * width : (row + 1) * width])
    return ["", table]
