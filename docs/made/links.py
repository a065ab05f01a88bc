"""Pages that stand beside docs/, and links between pages as the site needs them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BESIDE = {
    "PROOF.md": "proof.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository that are pages of the site, and what they are called there."""
WRITTEN = {"PROOF.md": "The proof", "docs/map.md": "The map of the proof"}
"""What `make paper` writes: part of the site where it is there."""
HOME = {"README.md": "index.md"}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def beside() -> dict[str, str]:
    """Those that there are."""
    return {file: name for file, name in BESIDE.items() if (ROOT / file).is_file()}


def entries() -> list[dict[str, str]]:
    """What navigation has besides what mkdocs.yml names."""
    return [
        {title: BESIDE.get(file, file.removeprefix("docs/"))}
        for file, title in WRITTEN.items()
        if (ROOT / file).is_file()
    ]


def relinked(text: str, source: str, name: str) -> str:
    """The text of a file of the repository, with the links of the page ``name`` of the site.

    A link to what is no page becomes the file's name: a site that is read offline has no
    repository beside it.
    """
    known = {**HOME, **beside()}

    def linked(found: re.Match[str]) -> str:
        said, target, place = found[1], found[2], found[3] or ""
        if "://" in target:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        page = known.get(file) or (file[5:] if file.startswith("docs/") else "")
        if page:
            return f"[{said}]({posixpath.relpath(page, posixpath.dirname(name) or '.')}{place})"
        return said if file in said else f"{said} (`{file}`)"

    return LINK.sub(linked, text)
