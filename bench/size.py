"""How large the checker is, in statements: the kernel, each operator, each refinement, the rest.

    python bench/size.py [FOLDER]      default: src/lastbit_check

A statement is one of Python's abstract syntax (`ast.stmt`), whatever lines it takes; docstrings are
none. So neither long lines nor comments change the figure. The kernel is what every certificate
for all images goes through; an operator, a refinement or the bound by norms matters to the networks
and hints that use it, the bound at an image to norms and to certificates for given images.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

CHECKER = Path(__file__).parents[1] / "src" / "lastbit_check"
PARTS = {
    "operators": "each operator",
    "refine": "each refinement",
    "around": "each file of the bound at an image",
    "norms": "each file of the bound by norms",
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def statements(source: str) -> int:
    """The statements of ``source``; a docstring is none."""
    nodes = list(ast.walk(ast.parse(source)))
    documented = sum(
        isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
        for node in nodes
    )
    return sum(isinstance(node, ast.stmt) for node in nodes) - documented


def count(folder: Path = CHECKER) -> dict[str, int]:
    """Statements of every Python file under ``folder``, by its path from there."""
    paths = sorted(folder.rglob("*.py"))
    return {
        path.relative_to(folder).as_posix(): statements(path.read_text("utf-8")) for path in paths
    }


def kernel(found: Mapping[str, int]) -> int:
    """What every certificate goes through: nothing that is of some only."""
    return sum(n for name, n in found.items() if name.split("/")[0] not in PARTS)


def main() -> None:
    """Print the table."""
    found = count(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKER)
    table = Table("file", "statements", box=None)
    for name, n in found.items():
        table.add_row(name, f"{n:,}")
    table.add_row("kernel", f"{kernel(found):,}")
    for part, label in PARTS.items():
        sizes = [n for name, n in found.items() if name.startswith(f"{part}/")]
        table.add_row(f"{part}/: {label} at most", f"{max(sizes, default=0):,}")
    table.add_row("all", f"{sum(found.values()):,}")
    Console().print(table)


if __name__ == "__main__":
    main()
