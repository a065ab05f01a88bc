"""Where the checker can reject, and by which rule: read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lastbit_check

CHECKER = Path(lastbit_check.__file__).parent
RULE = {"require": 1, "Rejected": 0}
"""The calls that reject, and which of their arguments is the rule."""


@dataclass(frozen=True)
class Place:
    """A file of the checker, the function in it, the condition, if it is one, and what is said.

    ``rule`` and ``message`` have a "*" for what a format string fills in.
    """

    rule: str
    file: str
    function: str
    condition: str
    message: str


@cache
def places() -> tuple[Place, ...]:
    """Every place at which a rule is named."""
    return tuple(
        place
        for path in sorted(CHECKER.rglob("*.py"))
        if path.name != "verdict.py"
        for place in _inside(ast.parse(path.read_text("utf-8")), _named(path), "")
    )


def _named(path: Path) -> str:
    return f"src/lastbit_check/{path.relative_to(CHECKER).as_posix()}"


def _inside(tree: ast.AST, file: str, function: str) -> Iterator[Place]:
    for node in ast.iter_child_nodes(tree):
        inner = function
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RULE:
            at = RULE[node.func.id]
            condition = ast.unparse(node.args[0]) if at else ""
            rule, message = _text(node.args[at]), _text(node.args[at + 1], strict=False)
            yield Place(rule, file, function, condition, message)
        yield from _inside(node, file, inner)


def _text(said: ast.expr, *, strict: bool = True) -> str:
    parts = said.values if isinstance(said, ast.JoinedStr) else [said]
    literal = all(isinstance(p, ast.Constant | ast.FormattedValue) for p in parts)
    assert literal or not strict, ast.unparse(said)
    return "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in parts)
