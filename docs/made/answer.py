"""README's table of brackets: `python docs/made/answer.py` writes it, from the models' files."""

from __future__ import annotations

import re
from pathlib import Path

from lastbit.models.shipped import ModelFiles, shipped_models
from lastbit.models.summary import ratio, says_nothing, summarise
from lastbit_check.question import ANY_TWO, SAME_PROGRAM

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
START, END = "<!-- made: answer, by docs/made/answer.py -->\n\n", "\n<!-- end -->\n"
HEAD = (
    "| model | accuracy | executions | L | U | U/L | what stands behind it |\n" + "|---" * 7 + "|\n"
)


def table() -> str:
    """Two rows of each shipped model: one program, and any two executions."""
    return HEAD + "".join(row for files in shipped_models() for row in _rows(files))


def _rows(files: ModelFiles) -> list[str]:
    figures = summarise(files)
    claims = (
        (SAME_PROGRAM, "one program", figures.lower, figures.upper),
        (ANY_TWO, "any two", figures.apart_lower, figures.apart_upper),
    )
    accuracy = "-" if figures.accuracy is None else f"{figures.accuracy:.2%}"
    name = f"`{files.name}`"
    found = list[str]()
    for executions, words, lower, upper in claims:
        cells = [name, accuracy, words, _number(lower, 6), _number(upper, 6)]
        nothing = says_nothing(lower, upper)
        cells += ["-" if nothing else _number(ratio(lower, upper), 3)]
        cells += [_behind(files.name, executions, nothing=nothing, upper=upper)]
        found.append(f"| {' | '.join(cells)} |\n")
        name = accuracy = ""
    return found


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _behind(name: str, executions: str, *, nothing: bool, upper: float | None) -> str:
    """In the four words: proved, checked, assumed, measured."""
    if nothing:
        return "L *measured*; U = 1 says nothing"
    if upper is not None and upper >= 1:
        return "L *measured*, and no change is larger"
    theorem = _theorem(name, executions)
    return "L *measured*, U *checked*" + (f"; {theorem}" if theorem else "")


def _theorem(name: str, executions: str) -> str:
    """What Coq has of this claim."""
    if (name, executions) == ("tight", ANY_TWO):
        log = (ROOT / "proofs" / "tight" / "theorem.log").read_text("utf-8")
        found = re.search(r"last_bit_bound tight_network (\S+)", log)
        assert found, "proofs/tight/theorem.log has no bound"
        return f"U ≤ {found[1].rstrip(')')} *proved*"
    return "Q = 0 *proved*" if (name, executions) == ("zero", SAME_PROGRAM) else ""


def written(text: str) -> str:
    """README with its table as it should be."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    assert start and end, "README has no place for the table"
    return before + start + table() + end + after


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
