"""`lastbit models`: the shipped models with their figures."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result
from lastbit.models.shipped import ModelFiles, shipped_folder, shipped_models
from lastbit.models.summary import says_nothing, summarise


def models(as_json: JsonOption = False) -> Result:
    """List the shipped models: SHA-256, accuracy, and the bracket L <= Q <= U."""
    rows = [_row(files) for files in shipped_models()]
    names = ("model", "SHA-256", "accuracy", "certified", "L", "U", "U/L", "any two")
    table = Table(*names, box=None, caption="U/L for one program, and for any two executions")
    for row in rows:
        table.add_row(
            escape(row["name"]),
            row["sha256"][:12],
            _cell(row["accuracy"]["test"], ".2%"),
            _cell(row["accuracy"]["certified"], ".2%"),
            _cell(row["lower"], ".6f"),
            _cell(row["upper"], ".6f"),
            _ratio(row),
            _ratio(row["any-two"]),
        )
    view = table if rows else escape(f"No models in {shipped_folder()}.")
    return Result({"models": rows}, view, as_json)


def _row(files: ModelFiles) -> dict[str, Any]:
    summary = summarise(files)
    return {
        "name": files.name,
        "sha256": summary.sha256,
        "path": str(files.model),
        "accuracy": {
            "test": summary.accuracy,
            "certified": summary.certified,
            "nll": summary.nll,
        },
        "lower": summary.lower,
        "upper": summary.upper,
        "ratio": summary.ratio,
        "any-two": {
            "lower": summary.apart_lower,
            "upper": summary.apart_upper,
            "ratio": summary.apart_ratio,
        },
    }


def _ratio(row: dict[str, Any]) -> str:
    """U/L; none where U says nothing."""
    return "-" if says_nothing(row["lower"], row["upper"]) else _cell(row["ratio"], ".3f")


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
