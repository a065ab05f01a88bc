"""`lastbit drift`: how far two executions of one image may be apart, and how far they are here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import (
    JsonOption,
    ModelArgument,
    PixelsOption,
    Result,
    watched,
)
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit_check.check import ceil_float

if TYPE_CHECKING:
    from lastbit.audit import Drift

CODES = {"within": EXIT_OK, "refuted": EXIT_REJECTED, "not decided": EXIT_UNDECIDED}


def drift(
    model: ModelArgument = DEFAULT_MODEL,
    pixels: PixelsOption = None,
    images: Annotated[int, typer.Option(min=0, help="Test images to run.")] = 32,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Run what torch.compile makes, too: a minute more.")
    ] = False,
    as_json: JsonOption = False,
) -> Result:
    """Bound how far two allowed executions of the same image may be apart, in any probability.

    Beside it stands the largest difference between the runtimes and settings installed. Exit 0 if
    that is within the bound, 1 if it is not (the bound is refuted), 3 if there is no bound, or one
    of 1, which says nothing.
    """
    from lastbit.audit import measure_drift

    files = resolve_model(model, pixels)
    with watched() as progress:
        found = measure_drift(files, test_images=images, compiled=compiled, progress=progress)
    return Result(_payload(found), _view(found), as_json, CODES[found.verdict])


def _payload(found: Drift) -> dict[str, Any]:
    """The JSON object: numbers that do not exist are null."""
    derived, seen = found.derived, found.observed
    return {
        "verdict": found.verdict,
        "model": {"name": found.name, "sha256": found.sha256},
        "says_nothing": found.says_nothing,
        "bound": ceil_float(derived.upper) if derived else None,
        "logits": _finite(ceil_float(derived.logits)) if derived else None,
        "parts": {name: ceil_float(part) for name, part in found.parts.items()},
        "observed": {
            "value": seen.value,
            "between": list(seen.between),
            "image": seen.image,
            "class": seen.class_index,
        },
        "runtimes": dict(seen.largest),
        "images": found.images,
        "missing": dict(found.missing),
        "refused": str(found.refused) if found.refused else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _view(found: Drift) -> RenderableType:
    head = Table(box=None, show_header=False)
    nothing = ": all that is proved is a bound of 1, which says nothing"
    head.add_row("verdict", found.verdict + nothing * found.says_nothing)
    head.add_row("model", escape(f"{found.name}  {found.sha256}"))
    if found.derived:
        head.add_row("bound", f"{ceil_float(found.derived.upper):.6g}")
        parts = {k.replace("_", " "): v for k, v in found.parts.items()}
        head.add_row("  made of", ", ".join(f"{k} {ceil_float(v):.3g}" for k, v in parts.items()))
    else:
        head.add_row("no bound", escape(str(found.refused)))
    seen = found.observed
    head.add_row("observed", f"{seen.value:.6g} in class {seen.class_index}, image {seen.image}")
    head.add_row("  between", escape(" and ".join(seen.between)))
    head.add_row("images", escape(found.images))
    for name, why in found.missing.items():
        head.add_row("not run", escape(f"{name}: {why}"))
    table = Table("execution", "largest difference from another", box=None)
    for name, value in seen.largest.items():
        table.add_row(escape(name), f"{value:.6g}")
    return Group(head, "", table)
