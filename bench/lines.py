"""How many lines of code a package has: lines that are not blank, comment or docstring.

python bench/lines.py [FOLDER]      default: src/lastbit_check
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

CHECKER = Path(__file__).parents[1] / "src" / "lastbit_check"
NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of_code(source: str) -> int:
    """The lines of ``source`` that hold a token of code; a docstring is none."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            found.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(found)


def count(folder: Path = CHECKER) -> dict[str, int]:
    """Lines of code of every Python file under ``folder``, by its path from there."""
    paths = sorted(folder.rglob("*.py"))
    return {
        path.relative_to(folder).as_posix(): lines_of_code(path.read_text("utf-8"))
        for path in paths
    }


def main() -> None:
    """Print a line for every file, and the sum."""
    found = count(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKER)
    for name, lines in found.items():
        print(f"{lines:6,}  {name}")
    print(f"{sum(found.values()):6,}  lines of code")


if __name__ == "__main__":
    main()
