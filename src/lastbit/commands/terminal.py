"""What all commands share: standard output for the result, standard error for everything else."""

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as ProgressBar,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lastbit.errors import EXIT_OK
from lastbit.progress import Progress

ModelArgument = Annotated[str, typer.Argument(help="Name of a shipped model, or an ONNX file.")]
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


def write_result(result: Result) -> None:
    """Print a result on standard output."""
    if result.as_json:
        write_json(result.payload)
    else:
        console = Console(file=sys.stdout)
        with console.capture() as captured:
            console.print(result.view)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without ≤ still gets its table
        sys.stdout.write(captured.get())


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
