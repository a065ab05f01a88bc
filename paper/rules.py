"""What stands in the checker: its rules, as its modules mark them, and what they reject.

A module of the checker ends its docstring with a paragraph of the form

    Map: NAME <- LEMMA, ASSUMPTION, ...; argued in PROOF.md 3.2, 3.5

which names the rule, the theorems of proofs/ that say why it is right, what it assumes of a
runtime, and the sections of a document where what is not in Coq is argued on paper. `a definition`
stands in the place of the last where a rule says what is meant, and there is nothing to prove.
Where several modules make one rule, one has the whole line, and the others `Map: NAME`. What is
assumed of a kind of node (`KINDS`) need not be said once more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lastbit_check
from lastbit_check.operators import KINDS, OPERATORS

CHECKER = Path(lastbit_check.__file__).parent
PARAGRAPH = re.compile(r"^Map: (.+?)(?:\n\n|\Z)", re.M | re.S)
LINE = re.compile(
    r"(?P<name>[\w-]+)(?: <- (?P<deps>[^;, ]+(?:, [^;, ]+)*))?"
    r"(?:; (?:argued in (?P<document>[\w./]+\.md)(?P<sections>(?:,? [\d.]+)*)"
    r"|(?P<definition>a definition)))?"
)
REJECTS = {"require": 1, "Rejected": 0}


@dataclass(frozen=True)
class Rule:
    """A rule of the checker.

    Attributes:
        name: as its modules mark it.
        title: what it is, from the first line of a module.
        modules: that make it, the one that has the whole line first.
        rests_on: theorems and assumptions, by name.
        document: where its argument is, on paper; empty if it is nowhere but in Coq.
        sections: of that document.
        definition: whether there is nothing to prove.
        kinds: the kinds of nodes that it is about.
        rejections: the names under which it rejects.
    """

    name: str
    title: str
    modules: tuple[str, ...]
    rests_on: tuple[str, ...]
    document: str
    sections: tuple[str, ...]
    definition: bool
    kinds: tuple[str, ...]
    rejections: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """What one module says of itself: ``line`` is its mark, if it has one."""

    path: str
    title: str
    line: str
    rejections: frozenset[str]
    kinds: frozenset[str]


def modules(folder: Path = CHECKER) -> Iterator[Module]:
    """Those of the checker, but for what only makes it a package or a program."""
    kinds = {f"{m.__name__.replace('.', '/')}.py": frozenset(getattr(m, "KINDS", ()))
             for m in OPERATORS}  # fmt: skip
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        text = ast.get_docstring(tree) or ""
        mark = PARAGRAPH.search(text)
        line = " ".join(mark[1].split()) if mark else ""
        yield Module(name, text.partition("\n")[0].rstrip("."), line, rejected_in(tree),
                     kinds.get(f"{folder.name}/{name}", frozenset()))  # fmt: skip


def rejected_in(tree: ast.AST) -> frozenset[str]:
    """The names of what a module rejects, "*" for what is filled in."""
    found = set[str]()
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            place = REJECTS.get(call.func.id)
            if place is not None and len(call.args) > place:
                found.add(_text(call.args[place]))
    return frozenset(found - {""})


def _text(said: ast.expr) -> str:
    if isinstance(said, ast.Constant):
        return str(said.value)
    values = said.values if isinstance(said, ast.JoinedStr) else ()
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in values)


def rules(found: list[Module]) -> dict[str, Rule]:
    """By name. Raises ValueError for a mark that cannot be read, or a rule without a whole line."""
    marked = dict[str, list[tuple[Module, re.Match[str]]]]()
    for module in found:
        if module.line:
            match = LINE.fullmatch(module.line)
            if match is None:
                raise ValueError(f"lastbit_check/{module.path}: no line of the map: {module.line}")
            marked.setdefault(match["name"], []).append((module, match))
    return {name: _rule(name, each) for name, each in marked.items()}


def _rule(name: str, each: list[tuple[Module, re.Match[str]]]) -> Rule:
    whole = [pair for pair in each if pair[1][0] != name]
    if len(whole) != 1:
        raise ValueError(f"the rule {name} needs one whole line, and has {len(whole)}")
    ((main, match),) = whole
    made_of = [main, *(module for module, _ in each if module is not main)]
    deps = match["deps"].split(", ") if match["deps"] else []
    kinds = sorted({kind for module in made_of for kind in module.kinds})
    of_kinds = [name for kind in kinds for name in KINDS[kind].assumed]
    return Rule(
        name,
        main.title,
        tuple(module.path for module in made_of),
        tuple(dict.fromkeys([*deps, *of_kinds])),
        match["document"] or "",
        tuple((match["sections"] or "").replace(",", "").split()),
        match["definition"] is not None,
        tuple(kinds),
        tuple(sorted({r for module in made_of for r in module.rejections})),
    )


def unmarked(found: list[Module]) -> list[str]:
    """Modules that reject something, or have a kind of node, and no mark."""
    return [m.path for m in found if not m.line and (m.rejections or m.kinds)]
