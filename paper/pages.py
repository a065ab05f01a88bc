"""docs/map.md: the map of the proof in words, from the same nodes as the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paper.graph import ASSUMPTIONS, CHECKED, CLAIMS, CLASSES, LEMMAS, RULES, Map

HEAD = """\
<!-- Written by `make paper` from marks in proofs/ and src/lastbit_check; change them there. -->

# The map of the proof

What is claimed rests on rules of the checker, these on theorems in Coq and on arguments on paper,
and all of it on what is assumed of a runtime. Every box says in words and in colour what stands
behind it:
"""
PICTURE = """\
![Claims, the rules of the checker, theorems in Coq and assumptions, with lines from each to what it
rests on](map.svg)

A rule is *checked*: a program, `lastbit-check`, computes it anew for each certificate. Why the rule
is right is shown in Coq, in a document, or in both, which its box says at the right; that the
program computes what the rule says is not proved, but tested (docs/trust.md). Lines from claims to
assumptions, and from assumptions to their audit, are left out of the picture.
"""
COQ = """
## Theorems in Coq

What a theorem rests on is read off the text of the proofs. `make proofs` compiles all of it, and
prints the axioms of every theorem here (`proofs/Assumptions.v`); those in the first table are
printed by their own targets.
"""
Row = tuple[str, ...]


def page(made: Map) -> str:
    """The page of a map."""
    classes = "\n".join(f"* **{word}**: {says};" for word, says in CLASSES.items())
    parts = [HEAD, classes[:-1] + ".\n", PICTURE, "## Claims\n"]
    parts += _table(("claim", "", "rules", "theorems", "assumptions"), _claims(made))
    parts += ["\n## Rules of the checker\n"]
    head = ("rule", "what it says", "shown", "theorems", "assumptions", "in `lastbit_check`",
            "rejects as")  # fmt: skip
    parts += [*_table(head, _rules(made)), COQ]
    head = ("theorem", "says", "in `proofs`", "rests on", "assumptions")
    parts += [*_table(head, _lemmas(made)), "\n## Assumptions\n"]
    parts += _table(("name", "says", "rules", "claims"), _assumptions(made))
    return "\n".join(parts) + "\n"


def _claims(made: Map) -> Iterator[Row]:
    for node in made.inside(CLAIMS):
        rests = [made.below(CLAIMS, node.name, k) for k in (RULES, LEMMAS, ASSUMPTIONS)]
        named = "" if node.behind == CHECKED else f"`{node.name}`: "
        yield (named + node.says, node.behind, *(_names(each) for each in rests))


def _rules(made: Map) -> Iterator[Row]:
    for node in made.inside(RULES):
        rule = made.rules[node.name]
        where = ", ".join(rule.sections)
        document = f"[{rule.document}](../{rule.document}) {where}".strip()
        shown = made.argued(node.name).replace("on paper", document)
        yield (f"`{node.name}`", node.says, shown, _names(made.below(RULES, node.name, LEMMAS)),
               _names(made.below(RULES, node.name, ASSUMPTIONS)), _names(rule.modules),
               _names(rule.rejections))  # fmt: skip


def _lemmas(made: Map) -> Iterator[Row]:
    for node in sorted(made.inside(LEMMAS), key=lambda n: made.library.marked[n.name].file):
        rests = [made.below(LEMMAS, node.name, k) for k in (LEMMAS, ASSUMPTIONS)]
        file = made.library.marked[node.name].file
        yield (f"`{node.name}`", node.says, f"`{file}`", *(_names(each) for each in rests))


def _assumptions(made: Map) -> Iterator[Row]:
    for node in made.inside(ASSUMPTIONS):
        above = [made.above(ASSUMPTIONS, node.name, k) for k in (RULES, CLAIMS)]
        name = f"`{_escaped(node.name)}`" + (f" ({node.behind})" if not above[0] else "")
        yield (name, node.says, *(_names(each) for each in above))


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return ["\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{_escaped(name)}`" for name in names)


def _escaped(name: str) -> str:
    return name.replace("|", "\\|")
