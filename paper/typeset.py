"""PROOF.md as a PDF: its formulas by pandoc's reader, its pages by typst. No network is used.

    python -m paper.typeset [FILE.pdf]     default: build/PROOF.pdf

Both programs come in wheels (extra `paper`); nothing of TeX is needed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lastbit.errors import LastbitError, UsageError
from lastbit.files import write_whole

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
MAP = "docs/map.svg"
PAIRED = (
    (r"\\[bB]igg?[lr](\\[lr]Vert)(?![A-Za-z])", r"\1"),
    (r"\\[bB]igg?l(?![A-Za-z])", r"\\left"),
    (r"\\[bB]igg?r(?![A-Za-z])", r"\\right"),
    (r"(?<!\\left)\\lvert(?![A-Za-z])", r"\\left\\lvert"),
    (r"(?<!\\right)\\rvert(?![A-Za-z])", r"\\right\\rvert"),
)
"""Delimiters of TeX, as pandoc takes them for pairs."""
LANDSCAPE = """
#page(flipped: true, margin: 1cm)[
  == The map of the proof
  #image("{map}", width: 100%, height: 92%, fit: "contain")
]
"""


def source(text: str) -> str:
    """PROOF.md in typst's language, with the map as its last page."""
    try:
        import pypandoc
    except ImportError as error:
        raise _missing("pypandoc-binary") from error
    for pattern, paired in PAIRED:
        text = re.sub(pattern, paired, text)
    options = ["--wrap=preserve", "--fail-if-warnings"]  # a formula that is not read is one
    body = pypandoc.convert_text(text, "typst", "gfm", extra_args=options)
    style = (Path(__file__).parent / "style.typ").read_text("utf-8")
    return style + body + LANDSCAPE.format(map=f"/{MAP}")


def typeset(text: str, output: Path) -> None:
    """Write the PDF. Raises LastbitError where the extra `paper` is not installed."""
    try:
        import typst
    except ImportError as error:
        raise _missing("typst") from error
    output.parent.mkdir(parents=True, exist_ok=True)
    BUILD.mkdir(exist_ok=True)
    made = BUILD / "PROOF.typ"
    write_whole(made, source(text).encode())
    write_whole(output, typst.compile(made, root=ROOT))


def _missing(package: str) -> LastbitError:
    return UsageError(
        f"{package} is not installed",
        where="make paper",
        fix="python -m pip install --editable '.[paper]'",
    )


def main(arguments: list[str]) -> int:
    """Write the PDF; the exit status."""
    output = Path(arguments[0]) if arguments else BUILD / "PROOF.pdf"
    try:
        typeset((ROOT / "PROOF.md").read_text("utf-8"), output.resolve())
    except LastbitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{output}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
