"""What all commands share: standard output for the result, standard error for everything else."""

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as ProgressBar,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from lastbit.errors import EXIT_OK, UsageError
from lastbit.progress import Progress
from lastbit_check.needs import bytes_of

WIDE = 10_000
MOST_NAMED = 6
"""Columns of an output that is no terminal."""

ModelArgument = Annotated[str, typer.Argument(help="Name of a shipped model, or an ONNX file.")]
PixelsOption = Annotated[
    str | None,
    typer.Option(
        help="How a model that reads float32 gets its pixels from bytes: `unit` (/ 255), "
        "`mean=0.1307,std=0.3081` after that (`0.5:0.4:0.3` for channels), or `bytes` (as they "
        "are).",
    ),
]
BoxOption = Annotated[
    str | None,
    typer.Option(
        help="LOW,HIGH: the float32 numbers of such a model, of which one moves in its own last "
        "bit; 0,1 if nothing is said.",
    ),
]
BitOption = Annotated[
    int | None,
    typer.Option(help="The bit of a byte that flips, from 0, the last, to 7; 0 by default."),
]
LevelsOption = Annotated[
    int | None,
    typer.Option(help="In the place of a bit: by how many grey levels a byte may change."),
]
PlacesOption = Annotated[
    int | None,
    typer.Option(
        help="In how many places at once; 1 by default. A place is one channel of one pixel, or "
        "the whole pixel with `--channels all`."
    ),
]
ChannelsOption = Annotated[
    str | None,
    typer.Option(
        help="`one`, which is the default: a place is one channel of one pixel. `all`: any or all "
        "channels of a pixel change at once."
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        help="Where an image may change: a .npy, or a .png of one picture, of shape (H, W) or "
        "(C, H, W), that is not 0 there; everywhere by default."
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        help="No more than this, such as 8GiB or 500MB; all of the machine's, if nothing is said."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]


@dataclass(frozen=True)
class Result:
    """What a command says at its end; returned, and printed once, by `lastbit.cli.main`.

    Args:
        payload: the JSON object of `--json`; numbers in it are finite.
        view: the same for people.
        as_json: which of the two is asked for.
        exit_code: one of the codes of `lastbit.errors`.
    """

    payload: Mapping[str, Any]
    view: RenderableType
    as_json: bool
    exit_code: int = EXIT_OK


def at_pixels(pixels: Sequence[tuple[int, int]]) -> str:
    """Where images differ, for people: the first few, and how many there are beside them."""
    named = ", ".join(str(pixel) for pixel in pixels[:MOST_NAMED])
    more = len(pixels) - MOST_NAMED
    return f"pixel{'s' * (len(pixels) > 1)} {named}" + f" and {more} more" * (more > 0)


def memory_of(text: str | None) -> float | None:
    """Bytes of the option --memory. Raises UsageError if it is no amount."""
    try:
        return None if text is None else bytes_of(text)
    except ValueError as error:
        raise UsageError(str(error), where="--memory") from error


def write_result(result: Result) -> None:
    """Print a result on standard output."""
    if result.as_json:
        write_json(result.payload)
    else:
        text = _laid_out(result.view, Console(file=sys.stdout))
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without ≤ still gets its table
        sys.stdout.write(text)


def _laid_out(view: RenderableType, console: Console) -> str:
    """The text of a view. A terminal folds between words and cuts none; elsewhere a row is a line.

    A SHA-256 or a number that is cut is wrong, and one that is too long for a terminal is not.
    """
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDE)
    options = console.options.update(max_width=WIDE)
    for table in _tables(view):
        for column in table.columns:
            cells = [column.header, *column.cells]
            column.min_width = max(Measurement.get(console, options, c).minimum for c in cells)
    with console.capture() as captured:
        console.print(view, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _tables(view: RenderableType) -> Iterator[Table]:
    if isinstance(view, Table):
        yield view
    elif isinstance(view, Group):
        for part in view.renderables:
            yield from _tables(part)


def write_json(payload: Mapping[str, Any]) -> None:
    """Print one JSON object, on one line, on standard output."""
    sys.stdout.write(json.dumps(payload, allow_nan=False) + "\n")


def write_message(text: str) -> None:
    """Print one message on standard error, as it is: no markup, no wrapping."""
    sys.stderr.write(f"lastbit: {text}\n")


@contextmanager
def watched() -> Iterator[Progress]:
    """Show progress with the time left on standard error, while it is a terminal.

    Yields:
        a `Progress` to hand to the library.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    shown = console.is_terminal
    with ProgressBar(*columns, console=console, disable=not shown, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report
