"""What a page of docs/rules shows of each rule: where it stands in the code, what it rejects.

The pages say, rule by rule, what it states and why that is right. Code and examples are put in when
the site is built, from the checker's source and from tests/soundness/rejected, which are run: so
what the checker says of an example is what it says today.
"""

from __future__ import annotations

import inspect
import re
import tempfile
import textwrap
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from lastbit_check.verdict import Rejected
from soundness.hostile import (  # noqa: F401
    attributes,
    encoded,
    fields,
    models as hostile_models,
    notation,
    operands,
    tensors,
)
from soundness.rejected import (  # noqa: F401
    arranged,
    at_images,
    certificates,
    models,
    numbers,
    together,
)
from soundness.rejected.cases import CASES, Case
from soundness.rejected.places import Place, places

HEADING = re.compile(r"^## `([^`]+)`$", re.MULTILINE)
MOST_PLACES = 6


def rules() -> list[str]:
    """The name of every rule, in order, as cases show them where the source fills one in."""
    patterns = {place.rule for place in places()}
    shown = {rule for rule, _, _ in CASES}
    return sorted(s for s in shown if any(fnmatchcase(s, pattern) for pattern in patterns))


def headings(page: str) -> list[str]:
    """The rules that a page of docs/rules describes."""
    return HEADING.findall(page)


def completed(page: str) -> str:
    """A page with the code and an example put in behind what it says of each rule."""
    head, *sections = re.split(r"(?m)^(?=## `)", page)
    return head + "".join(f"{s.rstrip()}\n\n{shown(headings(s)[0])}\n" for s in sections)


def shown(rule: str) -> str:
    """Where the rule stands, and an example that it rejects, as Markdown."""
    found = [p for p in places() if fnmatchcase(rule, p.rule)]
    lines = ["**In the code.**", ""]
    lines += [f"* `{p.function}` in `{p.file}`{_why(p)}" for p in found[:MOST_PLACES]]
    if len(found) > MOST_PLACES:
        lines.append(f"* and {len(found) - MOST_PLACES} places more")
    cases = [(name, run) for of, name, run in CASES if of == rule]
    name, run = next((case for case in cases if _source(case[1])), cases[0])
    said = name.replace("_", " ")
    count = f" ({len(cases)} such cases are tested)" if len(cases) > 1 else ""
    lines += ["", f"**It rejects**, for example, *{said}*{count}. The checker says:", ""]
    lines += ["```text", f"REJECTED: {said_of(run)}", "```", "", *_source(run)]
    return "\n".join(lines) + "\n"


def _why(place: Place) -> str:
    """What the code asks for, where it says more than a name, and what it says otherwise."""
    told = place.condition and not place.condition.isidentifier()
    parts = [f"needs `{place.condition}`"] if told else []
    parts += [f'"{place.message.replace("*", "…")}"'] if place.message != "*" else []
    return ": " + ", or says ".join(parts)


@cache
def said_of(run: Case) -> str:
    """What the checker says of a case, cut where it quotes much."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(Path(folder))
        except Rejected as error:
            return textwrap.shorten(str(error).replace(folder, "."), 300, placeholder=" ...")
    raise AssertionError(f"{run.__name__} is not rejected")


def _source(run: Case) -> list[str]:
    """The code of a case, where that is a function by itself."""
    if run.__code__.co_freevars or not run.__name__.isidentifier():
        return []
    code = inspect.getsource(run)
    if not code.startswith("@case("):
        return []
    file = Path(inspect.getfile(run)).name
    return [f"From `tests/soundness/rejected/{file}`:", "", "```python", code.rstrip(), "```", ""]
