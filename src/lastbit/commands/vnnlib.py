"""`lastbit vnnlib` and `lastbit export-vnnlib`: queries in VNN-LIB 2.0, answered and written."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from lastbit.asked import described
from lastbit.commands.terminal import (
    BoxOption,
    JsonOption,
    ModelArgument,
    PixelsOption,
    Result,
    watched,
    write_message,
)
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED, ModelError, UsageError
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles, resolve_model
from lastbit_check.check import ceil_float
from lastbit_check.question import EXECUTIONS, SAME_PROGRAM

if TYPE_CHECKING:
    from lastbit.queries import Answer, Query

CODES = {"unsat": EXIT_OK, "sat": EXIT_REJECTED, "unknown": EXIT_UNDECIDED}
GZIP = ".gz"


def vnnlib(
    query: Annotated[Path, typer.Argument(help="A query, .vnnlib or .vnnlib.gz.")],
    network: Annotated[
        list[str],
        typer.Option(help="NAME=FILE: the ONNX file of the network that is declared by this name."),
    ],
    timeout: Annotated[
        int,
        typer.Option(help="Seconds in all; a bound that is being derived is finished.", min=1),
    ] = 60,
    executions: Annotated[
        str, typer.Option(help=f"Of which the bound speaks: {' or '.join(EXECUTIONS)}.")
    ] = SAME_PROGRAM,
    out: Annotated[
        Path | None, typer.Option(help="Folder in which a new certificate is kept.")
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Answer a VNN-LIB 2.0 query about two copies of one network: unsat, sat or unknown.

    Standard output has what the standard says: the word, and after sat the assignment. Exit 0 if
    it is unsat, by the bound; 1 if it is sat, by two inputs that were run; 3 if neither is known.
    """
    from lastbit.queries import answer, read_query

    if executions not in EXECUTIONS:
        raise UsageError(
            f"{executions!r} are no executions", where="--executions", fix=", ".join(EXECUTIONS)
        )
    read = read_query(_there(query))
    with _opened(_model_of(read, network)) as files, watched() as progress:
        found = answer(
            read, files, executions=executions, seconds=timeout, out=out, progress=progress
        )
    if not as_json:
        write_message(_explained(found))
    view = "\n".join([found.verdict, *_lines(found)])
    return Result(_payload(found), escape(view), as_json, CODES[found.verdict])


def _there(path: Path) -> Path:
    """A file, or the one that is compressed in its place."""
    packed = path.with_name(path.name + GZIP)
    return packed if packed.is_file() and not path.exists() else path


def _model_of(query: Query, networks: Sequence[str]) -> Path:
    """The file of both copies. The second may be named, too, with the same file."""
    given = dict[str, Path]()
    for text in networks:
        name, is_there, path = text.partition("=")
        if not is_there or name in given:
            raise UsageError(
                f"{text!r} is not one file of a network", where="--network", fix="--network f=FILE"
            )
        given[name] = _there(Path(path).expanduser())
    unknown = sorted(given.keys() - {query.network, query.copy})
    if unknown or query.network not in given:
        raise UsageError(
            f"the query declares {query.network!r}, and {query.copy!r} as equal to it",
            where=f"--network {(unknown or ['is missing'])[0]}",
            fix=f"--network {query.network}=FILE",
        )
    model = given[query.network]
    if given.get(query.copy, model).resolve() != model.resolve():
        raise UsageError(
            f"{query.copy!r} is equal to {query.network!r}, and two files are given",
            where="--network",
            fix=f"leave {query.copy!r} out",
        )
    return model


@contextmanager
def _opened(model: Path) -> Iterator[ModelFiles]:
    """The model; of one that is compressed, a copy that is not."""
    if model.suffix != GZIP or not model.is_file():
        yield resolve_model(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / model.stem
        try:
            path.write_bytes(gzip.decompress(model.read_bytes()))
        except (OSError, EOFError) as error:
            raise ModelError(f"cannot be unpacked: {error}", where=str(model)) from error
        yield replace(resolve_model(path), name=path.stem)


def _explained(found: Answer) -> str:
    """In one line: which reading, by what."""
    asked = found.asked
    moved = "any place" if len(asked.moves.places) == asked.moves.size else (
        f"{len(asked.moves.places)} of {asked.moves.size} places")  # fmt: skip
    parts = [
        f"{found.verdict} of float32 as executed, {found.executions}",
        f"{described(asked.question)}, one of which moves by "
        f"{'one level' if asked.any_level else 'its last bit'} at {moved}",
    ]
    bound = found.bound
    if bound is not None:
        what, most = ("logits", bound.two) if bound.one is None else ("probability", bound.one)
        proved = "accepted by lastbit-check" if found.checked else "derived by its rules"
        kind = f"a difference of two {what}" if what == "logits" else f"a {what}"
        parts.append(f"{kind} moves by at most {ceil_float(most or Fraction(0)):.6g}, {proved}")
    elif found.verdict != "sat":
        parts.append(f"no bound: {found.reason}")
    if found.assignment is not None:
        parts.append(f"the assignment is what {found.program} computes, run twice")
    return "; ".join([*parts, *[found.note] * bool(found.note)])


def _lines(found: Answer) -> Iterator[str]:
    """The assignment as the standard has it: every tensor in the order of its declaration."""
    for tensor in found.asked.query.tensors if found.assignment is not None else ():
        assert found.assignment is not None
        yield f"{tensor.name} {tensor.element} [{','.join(map(str, tensor.shape))}]"
        yield from map(_number, found.assignment[tensor.name])


def _number(value: Any) -> str:
    """A number that reads back as itself."""
    if isinstance(value, np.integer):
        return str(int(value))
    return np.format_float_positional(np.float32(value), unique=True, trim="0")


def _payload(found: Answer) -> dict[str, Any]:
    asked, bound = found.asked, found.bound
    shown = found.assignment
    return {
        "verdict": found.verdict,
        "arithmetic": "float32, as executed",
        "executions": found.executions,
        "inputs": described(asked.question),
        "moves": "one-level" if asked.any_level else "last-bit",
        "places": len(asked.moves.places),
        "upper": None if bound is None or bound.one is None else ceil_float(bound.one),
        "logits": None if bound is None or bound.two is None else ceil_float(bound.two),
        "checked": found.checked,
        "certificate": None if found.certificate is None else str(found.certificate),
        "assumptions": [*found.assumed],
        "reason": found.reason or None,
        "note": found.note or None,
        "assignment": None if shown is None else {k: v.tolist() for k, v in shown.items()},
        "program": None if shown is None else found.program,
        "seconds": found.seconds,
    }


def export_vnnlib(
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    model: ModelArgument = DEFAULT_MODEL,
    epsilon: Annotated[
        list[str] | None,
        typer.Option(
            help="Whether a probability may move by more than this; may be given several times. By "
            "default just above the stored U, and just below the stored L.",
        ),
    ] = None,
    move: Annotated[
        str, typer.Option(help="Of a byte: last-bit, or one-level, which is shorter to say.")
    ] = "last-bit",
    place: Annotated[
        str | None, typer.Option(help="The only place that may move, as 0,14,14; any otherwise.")
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds, for the list.", min=1)] = 300,
    pixels: PixelsOption = None,
    box: BoxOption = None,
    as_json: JsonOption = False,
) -> Result:
    """Write the last-bit question of a model as VNN-LIB 2.0 instances, as VNN-COMP lays them out.

    A folder with instances.csv, vnnlib and onnx, for any tool that reads two copies of a network.
    """
    from lastbit.queries.export import MOVES, export

    if move not in MOVES:
        raise UsageError(f"{move!r} is no move", where="--move", fix=", ".join(MOVES))
    try:
        at = None if place is None else [int(part) for part in place.split(",")]
    except ValueError:
        raise UsageError(f"{place!r} is no place", where="--place", fix="as 0,14,14") from None
    made = export(
        resolve_model(model, pixels, box),
        output,
        epsilons=epsilon or (),
        move=move,
        place=at,
        timeout=timeout,
    )
    table = Table("query", "epsilon", "expected", "bytes", box=None)
    rows = list[dict[str, Any]]()
    for one in made:
        size = one.query.stat().st_size
        table.add_row(escape(str(one.query)), one.epsilon, one.expected, f"{size:,}")
        rows.append({"query": str(one.query), "model": str(one.model), "epsilon": one.epsilon,
                     "expected": one.expected, "bytes": size})  # fmt: skip
    payload = {"verdict": "written", "instances": rows,
               "list": str(output / "instances.csv")}  # fmt: skip
    return Result(payload, table, as_json, EXIT_OK)
