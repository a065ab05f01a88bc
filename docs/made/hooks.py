"""Hooks of mkdocs: what stands beside docs/ becomes pages, what is made is put in."""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "docs")]

from made import formulas, links, operators, rules  # noqa: E402

TABLE = "<!-- made: operators -->"
SHIM, OURS = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"
"""What the theme loads so that search works from files, and our copy of it."""


def on_config(config: Any) -> Any:
    """Navigation has the proof where it is written."""
    config.nav.extend(links.entries())
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand beside docs/."""
    for source, name in links.beside().items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, name, content=links.relinked(text, source, name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Put in what is made, and mend links that leave docs/."""
    name: str = page.file.src_uri
    if name == links.BESIDE["PROOF.md"]:
        markdown, page.meta["formulas"] = formulas.taken(markdown)
    if name in links.BESIDE.values():
        return markdown
    if name.startswith("rules/"):
        markdown = rules.completed(markdown)
    if TABLE in markdown:
        markdown = markdown.replace(TABLE, operators.table())
    return links.relinked(markdown, f"docs/{name}", name)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Put in the formulas that were taken out."""
    return formulas.put(html, page.meta.get("formulas", []))


def on_post_page(output: str, page: Any, config: Any) -> str:  # noqa: ARG001
    """Nothing is loaded from elsewhere."""
    return output.replace(SHIM, posixpath.relpath(OURS, posixpath.dirname(page.url) or "."))


def on_post_template(output: str, template_name: str, config: Any) -> str:  # noqa: ARG001
    """Likewise of the page for what is not found."""
    return output.replace(SHIM, f"/{OURS}")
