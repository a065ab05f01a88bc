"""The command line: `lastbit`.

Commands live in `lastbit.commands`; this file assembles them and decides how every run ends.
Standard output carries the result alone, so `lastbit prove --json | jq` always works.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from lastbit import __version__
from lastbit.commands import (
    accuracy,
    audit,
    check,
    data,
    doctor,
    drift,
    explain,
    importing,
    models,
    prove,
    replay,
    report,
    search,
    sweep,
    train,
    vnnlib,
)
from lastbit.commands.terminal import Result, write_json, write_message, write_result
from lastbit.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    LastbitError,
    OutputError,
    UsageError,
)

EPILOG = (
    "Exit codes: 0 proved or accepted, 1 refuted or rejected, 2 usage or bad input, "
    "3 not decided (or all that is proved is U = 1, which says nothing), 130 interrupted, "
    "141 standard output was closed."
)

app = typer.Typer(
    name="lastbit",
    help="How far can the last bit of one pixel move a network's answer? A proved bracket.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(prove.prove)
app.command()(check.check)
app.command()(replay.replay)
app.command()(report.report)
app.command()(search.search)
app.command()(audit.audit)
app.command()(drift.drift)
app.command()(accuracy.accuracy)
app.command()(sweep.sweep)
app.command()(data.data)
app.command("import")(importing.import_model)
app.command()(models.models)
app.command()(train.train)
app.command()(doctor.doctor)
app.command()(explain.explain)
app.command()(vnnlib.vnnlib)
app.command("export-vnnlib")(vnnlib.export_vnnlib)

# The base of Typer's usage errors has no public name: BadParameter < UsageError < ClickException.
_ParseError: type[Exception] = typer.BadParameter.__mro__[2]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lastbit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises what a person can cause."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _silence_stdout()
        write_message(f"standard output cannot be written: {error.strerror}")
        return OutputError.exit_code
    return code


def _run(arguments: list[str]) -> int:
    """Run one command; raises OSError only where standard output fails."""
    try:
        outcome = app(arguments, prog_name="lastbit", standalone_mode=False)
    except LastbitError as error:
        return _fail(error, as_json="--json" in arguments)
    except _ParseError as error:
        if not arguments:  # Typer has printed the help
            return UsageError.exit_code
        return _fail(_wrong_usage(error), as_json="--json" in arguments)
    except OSError as error:
        problem = OutputError(error.strerror or str(error), where=f"{error.filename or ''}")
        return _fail(problem, as_json="--json" in arguments)
    except (KeyboardInterrupt, typer.Abort):
        outcome = EXIT_INTERRUPTED
    except SystemExit as error:
        # Only the libraries below exit by themselves, with 1, when a pipe breaks under them.
        outcome = EXIT_BROKEN_PIPE if error.code == 1 else error.code
    if isinstance(outcome, Result):
        write_result(outcome)
        return outcome.exit_code
    if outcome == EXIT_INTERRUPTED:
        write_message("interrupted")
    return outcome if isinstance(outcome, int) else EXIT_OK


def _wrong_usage(error: Exception) -> UsageError:
    """What Typer has to say of the arguments; its text names the option."""
    message: str = getattr(error, "format_message", lambda: str(error))()
    command = getattr(getattr(error, "ctx", None), "command_path", "lastbit")
    return UsageError(message.rstrip("."), fix=f"see `{command} --help`")


def _fail(error: LastbitError, *, as_json: bool) -> int:
    write_message(str(error))
    if as_json:
        description = {
            "kind": type(error).__name__,
            "message": error.message,
            "where": error.where,
            "fix": error.fix,
        }
        write_json({"verdict": "error", "error": description, "exit_code": error.exit_code})
    return error.exit_code


def _silence_stdout() -> None:
    """Point standard output at nothing, so that Python's own last flush cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
