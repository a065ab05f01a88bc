"""A page laid out: one file of HTML that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from lastbit.errors import MissingExtraError
from lastbit.report.contents import Bracket, Map, Page
from lastbit.report.given import DECIDED, ImagesPage
from lastbit.report.words import ASSUMED, PARTS

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = files("lastbit.report") / "templates"
EXTRA = "report"


def available() -> bool:
    """Whether the packages of the extra are installed."""
    return importlib.util.find_spec("jinja2") is not None


def render(page: Page | ImagesPage) -> str:
    """The page as HTML.

    Its policy forbids every connection, and every style and script but its own two.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    style, script = _text("part.css") + _text("page.css"), _text("page.js")
    name = "images.html" if isinstance(page, ImagesPage) else "page.html"
    template = _environment().get_template(name)
    return template.render(
        page=page,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def render_part(
    brackets: Sequence[Bracket],
    assumptions: Mapping[str, Sequence[str]],
    *,
    verdict: str,
    model: str,
    advice: str = "",
) -> str:
    """The bracket and the assumptions alone, for a notebook.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    template = _environment().get_template("part.html")
    return template.render(
        brackets=brackets,
        assumptions=assumptions,
        verdict=verdict,
        model=model,
        advice=advice,
        style=_text("part.css"),
    )


def render_rows(
    model: str,
    verdict: str,
    said: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[str | float | None]],
) -> str:
    """What is found of some images, for a notebook: sentences, and a table.

    Cells are text, numbers, data URIs of pictures, or None for what was not run.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    template = _environment().get_template("rows.html")
    return template.render(
        model=model, verdict=verdict, said=said, heads=heads, rows=rows, style=_text("part.css")
    )


@cache
def _environment() -> Environment:
    if not available():
        raise MissingExtraError("a page for people", EXTRA)
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    from lastbit.report import numbers, pictures

    made = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        number=numbers.number,
        shortened=numbers.shortened,
        percent=numbers.percent,
        heat=pictures.heat,
        pair_of=pictures.pair_of,
        graph_of=pictures.graph_of,
        axis_end=pictures.axis_end,
        listed=_listed,
        assumed=ASSUMED,
        decided=DECIDED,
        parts=PARTS,
    )
    return made


def _listed(map_: Map) -> str:
    """A map's numbers as JSON, row by row; null where there is no place."""
    rows = [[v if math.isfinite(v) else None for v in row] for row in map_.values.tolist()]
    return json.dumps(rows, separators=(",", ":"))


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
