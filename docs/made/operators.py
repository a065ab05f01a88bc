"""The tables of operators: from the tables by which the checker reads them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from types import ModuleType

from lastbit_check.files.operators import OPSETS
from lastbit_check.operators import FORMS, KINDS, OPERATORS


def table() -> str:
    """Operators, the modules that read them, and the kinds of nodes that these make: Markdown."""
    return "\n".join(
        [
            *_table(("operator", "operator sets", "attributes", "read by"), operators()),
            *("## Modules", ""),
            *_table(("module", "reads"), modules()),
            *("## Kinds of nodes", ""),
            *_table(("kind", "assumed of what a runtime computes"), kinds()),
        ]
    )


def operators() -> list[tuple[str, ...]]:
    """Of each operator: its name, the operator sets, its attributes, the module that reads it."""
    return sorted(
        (name, _since(name), _attributes(name), _file(module))
        for module in OPERATORS
        for name in getattr(module, "RULES", {})
    )


def modules() -> list[tuple[str, ...]]:
    """What each module says that it reads, in its first sentence."""
    return [(_file(m), _first(m)) for m in OPERATORS if getattr(m, "RULES", {})]


def kinds() -> list[tuple[str, ...]]:
    """The names under which a certificate lists what is assumed of a kind of node."""
    return [
        (name, ", ".join(f"`{one}`" for one in kind.assumed) or "nothing of its own")
        for name, kind in sorted(KINDS.items())
    ]


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in lines]
    return [*(f"| {' | '.join(row)} |" for row in cells), ""]


def _since(name: str) -> str:
    first = max(OPSETS[0], min(FORMS.get(name, {OPSETS[0]: None})))
    return f"{first} to {OPSETS[-1]}"


def _attributes(name: str) -> str:
    found = dict.fromkeys(a for form in FORMS.get(name, {}).values() for a in form.attributes)
    return ", ".join(f"`{a}`" for a in found) or "none"


def _file(module: ModuleType) -> str:
    return f"`{module.__name__.rpartition('.')[2]}.py`"


def _first(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n\n")[0].replace("\n", " ")
