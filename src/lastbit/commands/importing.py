"""`lastbit import`: one ONNX file that lastbit reads, of a checkpoint or of another ONNX file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result
from lastbit.errors import UsageError

if TYPE_CHECKING:
    from lastbit.importing import Imported

ONNX = ".onnx"


def import_model(
    source: Annotated[
        Path,
        typer.Argument(help="A .safetensors file, a state dict that PyTorch saved, or .onnx."),
    ],
    output: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    arch: Annotated[
        str | None,
        typer.Option(
            help="Of a checkpoint: what timm or torchvision calls its architecture, "
            "`efficientnet_b0`, or with the library `timm:efficientnet_b0`."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Of a checkpoint: height and width of an image, 28x28; if nothing is said, those "
            "of the images that the library's own weights are for."
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Of an ONNX file: the output, or other value, that is the answer."),
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Make an ONNX file that `lastbit prove` reads, of what others save.

    Of a checkpoint: the network of an architecture with its weights, as PyTorch exports it (extra
    `import`). Of an ONNX file: one of its outputs, with all weights inside. The file says of what
    it was made.
    """
    from lastbit.importing import import_checkpoint, import_onnx

    if source.suffix == ONNX:
        if arch or size:
            raise UsageError("--arch and --size are for checkpoints", where=str(source),
                             fix="leave them out")  # fmt: skip
        made = import_onnx(source, output, keep=keep)
    else:
        if keep or not arch:
            raise UsageError("a checkpoint has weights, and no network", where=str(source),
                             fix="say with --arch which it is, and leave --keep out")  # fmt: skip
        made = import_checkpoint(source, arch, output, size=size_of(size))
    return Result(_payload(made, source), _view(made, source), as_json)


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width, of "28x28" or of "28" for both. Raises UsageError for anything else."""
    if text is None:
        return None
    parts = text.split("x")
    if not (len(parts) in (1, 2) and all(p.isascii() and p.isdigit() and int(p) for p in parts)):
        raise UsageError(f"--size {text!r} is no size", fix="--size 28x28, height and width")
    return int(parts[0]), int(parts[-1])


def _payload(made: Imported, source: Path) -> dict[str, Any]:
    return {
        "model": {"path": str(made.path), "sha256": made.sha256},
        "source": {"path": str(source), "sha256": made.source},
        "architecture": made.architecture,
        "image": [*made.shape],
        "classes": made.classes,
        "logits": made.logits,
        "apart": made.apart,
        "pixels": made.pixels,
    }


def _view(made: Imported, source: Path) -> RenderableType:
    table = Table(box=None, show_header=False)
    channels, height, width = made.shape
    pixels = f" --pixels {made.pixels}" if made.pixels else ""
    rows = {
        "model": f"{made.path}  {made.sha256}",
        "of": f"{source}  {made.source}",
        "architecture": made.architecture,
        "reads": f"images of {channels} x {height} x {width}",
        "returns": f"{made.classes} logits, of which softmax is asked about" if made.logits
        else f"{made.classes} probabilities",
        "measured": None if made.apart is None else (
            f"logits of PyTorch and ONNX Runtime {made.apart:.2g} apart at most, on two images"
        ),
        "next": f"lastbit prove {shlex.quote(str(made.path))}{pixels}",
    }  # fmt: skip
    for name, said in rows.items():
        if said is not None:
            table.add_row(name, escape(said))
    return table
