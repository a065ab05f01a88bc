"""Write PROOF.md, docs/map.md and docs/map.svg, or say whether they are up to date.

Run as `python -m paper.write [--check]`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lastbit.files import write_whole
from paper.drawing import drawn
from paper.graph import the_map
from paper.pages import page
from paper.values import values

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "paper" / "PROOF.in.md"
COLUMNS = 100
VALUE = re.compile(r"\{\{([\w.]+)\}\}")
WORD = re.compile(r"(?:\$[^$]+\$|`[^`]+`|\[[^]]+\]\([^)]+\)|[^\s$`\[]|[$`\[])+")
KEPT = ("|", "#", "$$", "    ", "<!--")


def pages() -> dict[Path, str]:
    """What is to be written, by path."""
    made = the_map()
    return {
        ROOT / "PROOF.md": filled(TEMPLATE.read_text("utf-8"), values()),
        ROOT / "docs" / "map.md": page(made),
        ROOT / "docs" / "map.svg": drawn(made),
    }


def filled(template: str, known: Mapping[str, str]) -> str:
    """A template with its values, laid out anew.

    Raises ValueError for a value that is not known, or known and not used.
    """
    used = {*VALUE.findall(template)}
    if used != known.keys():
        raise ValueError(f"values that do not fit the template: {sorted(used ^ known.keys())}")
    text = VALUE.sub(lambda match: known[match[1]], template)
    return "\n\n".join(_laid_out(block) for block in _blocks(text)) + "\n"


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, lists, tables, formulas; code that is fenced is one."""
    held = list[str]()
    for block in text.strip("\n").split("\n\n"):
        held.append(block)
        if "\n\n".join(held).count("```") % 2 == 0:
            yield "\n\n".join(held)
            held.clear()


def _laid_out(block: str) -> str:
    """A block in lines of COLUMNS characters at most; formulas and code are not broken."""
    if "```" in block or block.startswith(KEPT):
        return block
    return "\n".join(_lines(part) for part in re.split(r"\n(?=\* )", block))


def _lines(part: str) -> str:
    lead = "* " if part.startswith("* ") else ""
    lines, line = list[str](), ""
    for word in (match[0] for match in WORD.finditer(" ".join(part.removeprefix(lead).split()))):
        longer = f"{line} {word}" if line else word
        if line and len(longer) + len(lead) > COLUMNS:
            lines.append(line)
            line = word
        else:
            line = longer
    return lead + f"\n{' ' * len(lead)}".join([*lines, line])


def main(arguments: list[str]) -> int:
    """Write what is not up to date; with --check, only say so."""
    stale = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)}: {'not up to date' if arguments else 'written'}")
        if not arguments:
            write_whole(path, text.encode())
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
