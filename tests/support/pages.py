"""The pages of the documentation, as what they tell a reader to type.

A fenced block of ``sh`` is typed line by line, one of ``python`` is run, unless a comment directly
above it says that it takes too long: ``<!-- long: why -->``. Whatever stands in code in a sentence
and begins with ``lastbit`` is at least held to exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?:<!-- long: (?P<long>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)
SPAN = re.compile(r"(?<!`)`(lastbit(?:-check)? [^`]+)`(?!`)")
TYPED = re.compile(r"^(?:lastbit|lastbit-check|make|pip|python|git) ", re.M)
INDENTED = re.compile(rf"^(?:    |\t){TYPED.pattern[1:]}", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, and why it is not run, if it is not."""

    page: str
    line: int
    language: str
    code: str
    long: str

    def commands(self) -> list[list[str]]:
        """The words of each command of a block of ``sh``."""
        lines = self.code.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in line.split(" && ")]
        return [words for part in parts if (words := shlex.split(part, comments=True))]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that a reader may follow."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def named(page: Path) -> str:
    """A page as people call it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, section: str = "") -> Iterator[Block]:
    """The fenced blocks of a page, or of one of its sections."""
    text, start = page.read_text("utf-8"), 0
    if section:
        start = text.index(f"## {section}\n")
        text = text[: text.find("\n## ", start)] if "\n## " in text[start:] else text
    for found in FENCE.finditer(text, start):
        line = text.count("\n", 0, found.start()) + 1
        why = found["long"] or ""
        yield Block(named(page), line, found["language"], found["code"], why)


def spans(page: Path) -> Iterator[list[str]]:
    """The words of what stands in code in sentences and begins with ``lastbit``."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    for found in SPAN.finditer(" ".join(prose.split())):
        yield re.split(r"[ =]", found[1].replace("\\|", "|"))
