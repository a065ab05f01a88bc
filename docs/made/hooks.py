"""Hooks of mkdocs: what stands outside of docs/ becomes pages, what is made is put in.

A page of the repository reads well by itself; in the site, links that leave docs/ name a file:
a site that is read offline has no repository beside it.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "docs")]

from made import operators, rules  # noqa: E402

BESIDE = {
    "PROOF.md": "proof.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
}  # fmt: skip
"""Pages of the repository that the site has, too, and what they are called there."""
HOME = {"README.md": "index.md"}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
TABLE = "<!-- made: operators -->"
SHIM, OURS = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"
"""What the theme loads so that search works from files, and our copy of it."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand beside docs/."""
    for source, name in BESIDE.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text("utf-8")
            files.append(File.generated(config, name, content=_relinked(text, source, name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Put in what is made, and mend links that leave docs/."""
    name: str = page.file.src_uri
    if name in BESIDE.values():
        return markdown
    if name.startswith("rules/"):
        markdown = rules.completed(markdown)
    if TABLE in markdown:
        markdown = markdown.replace(TABLE, operators.table())
    return _relinked(markdown, f"docs/{name}", name)


def on_post_page(output: str, page: Any, config: Any) -> str:  # noqa: ARG001
    """Nothing is loaded from elsewhere."""
    return output.replace(SHIM, posixpath.relpath(OURS, posixpath.dirname(page.url) or "."))


def on_post_template(output: str, template_name: str, config: Any) -> str:  # noqa: ARG001
    """Likewise of the page for what is not found."""
    return output.replace(SHIM, f"/{OURS}")


def _relinked(text: str, source: str, name: str) -> str:
    """The text of a file of the repository, with links as the page ``name`` of the site needs."""

    def linked(found: re.Match[str]) -> str:
        said, target, place = found[1], found[2], found[3] or ""
        if "://" in target:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        page = HOME.get(file) or BESIDE.get(file) or (file[5:] if file.startswith("docs/") else "")
        if page:
            return f"[{said}]({posixpath.relpath(page, posixpath.dirname(name) or '.')}{place})"
        return said if file in said else f"{said} (`{file}`)"

    return LINK.sub(linked, text)
