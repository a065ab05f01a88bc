"""Formulas of a page, between dollars as GitHub shows them, as MathML: browsers need no script."""

from __future__ import annotations

import re

from latex2mathml.converter import convert  # pyright: ignore[reportMissingImports]

FORMULA = re.compile(
    r"(?P<code>^```.*?^```|``.*?``|`[^`]*`)|\$\$(?P<shown>.+?)\$\$|\$(?P<inside>[^$]+?)\$",
    re.M | re.S,
)
PLACE = re.compile(r"@formula-(\d+)@")


def taken(markdown: str) -> tuple[str, list[str]]:
    """The text with a mark in the place of each formula outside of code, and the formulas."""
    found = list[str]()

    def mark(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        how = "block" if match["shown"] else "inline"
        found.append(convert(match["shown"] or match["inside"], display=how))
        return f"@formula-{len(found) - 1}@"

    return FORMULA.sub(mark, markdown), found


def put(html: str, formulas: list[str]) -> str:
    """The page with its formulas where their marks are."""
    return PLACE.sub(lambda match: formulas[int(match[1])], html)
