"""What stands in proofs/: the theorems that are marked for the map, and what each rests on.

A mark is a comment in the line above what it is about:

    (* map: what the theorem says *)            above a Theorem, Lemma or Corollary
    (* map: assumes NAME *)                     above a definition that says what is assumed

What a theorem rests on is read off the text: the names in its statement and its proof, and in what
these name, as far as the next mark. A name is that of its own file, or else of a file that this one
imports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROOFS = Path(__file__).parents[1] / "proofs"
GENERATED = "Data.v"
ASSUMES = "assumes "
STATED = ("Theorem", "Lemma", "Corollary")
MARK = re.compile(r"^\(\* map: (.+) \*\)$")
START = re.compile(
    r"^ *(?:#\[[^]]*\] *)?(?:Local +|Global +)?(?:Program +)?"
    r"(Theorem|Lemma|Corollary|Remark|Fact|Definition|Fixpoint|Inductive|Record|Instance|Let) +"
    r"([A-Za-z_][\w']*)",
    re.M,
)
WORD = re.compile(r"[A-Za-z_][\w']*")
IMPORT = re.compile(r"^From Lastbit Require (?:Import |Export )?([\w\s.]+?)\.\s", re.M)


@dataclass(frozen=True)
class Item:
    """What a file defines or proves: its name, its ``words``, and its ``mark``, if it has one."""

    file: str
    kind: str
    name: str
    words: frozenset[str]
    mark: str = ""

    @property
    def assumed(self) -> str:
        """The assumption that it states, if it states one."""
        return self.mark.removeprefix(ASSUMES) if self.mark.startswith(ASSUMES) else ""


def without_comments(text: str) -> str:
    """The text with nested (* comments *) left blank, every line break kept."""
    found, depth = list[str](), 0
    for part in re.split(r"(\(\*|\*\))", text):
        if part == "(*":
            depth += 1
        elif part == "*)" and depth:
            depth -= 1
        else:
            found.append("\n" * part.count("\n") if depth else part)
    return "".join(found)


def items_of(file: str, text: str) -> Iterator[Item]:
    """The items of a file, in their order. Raises ValueError for a mark that is above none."""
    code, lines = without_comments(text), text.splitlines()
    marks = {k + 1: m[1] for k, line in enumerate(lines) if (m := MARK.match(line))}
    starts = list(START.finditer(code))
    ends = [*(start.start() for start in starts[1:]), len(code)]
    for start, end in zip(starts, ends, strict=False):
        at = code.count("\n", 0, start.start(1))
        words = frozenset(WORD.findall(code[start.end() : end]))
        yield Item(file, start[1], start[2], words, marks.pop(at, ""))
    if marks:
        raise ValueError(f"proofs/{file}, line {min(marks)}: a mark that is above nothing")


@dataclass(frozen=True)
class Library:
    """All files of the proofs, by their paths from there."""

    texts: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path = PROOFS) -> Library:
        """From a folder; what is generated is left out."""
        paths = sorted(p for p in folder.rglob("*.v") if p.name != GENERATED)
        return cls({p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in paths})

    @cached_property
    def items(self) -> dict[str, list[Item]]:
        """By name."""
        found = dict[str, list[Item]]()
        for file, text in self.texts.items():
            for item in items_of(file, text):
                found.setdefault(item.name, []).append(item)
        return found

    @cached_property
    def marked(self) -> dict[str, Item]:
        """The theorems of the map. Raises ValueError where a mark is on something else."""
        found = dict[str, Item]()
        for item in (item for each in self.items.values() for item in each if item.mark):
            if item.assumed:
                continue
            if item.kind not in STATED or item.name in found:
                raise ValueError(f"proofs/{item.file}: {item.name} is no theorem, or marked twice")
            found[item.name] = item
        return found

    @cached_property
    def assumed(self) -> frozenset[str]:
        """Names of the assumptions that a definition states."""
        return frozenset(item.assumed for each in self.items.values() for item in each) - {""}

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """The files that each file imports."""
        found = dict[str, set[str]]()
        for file, text in self.texts.items():
            lines = " ".join(IMPORT.findall(without_comments(text)))
            found[file] = {f"{name.replace('.', '/')}.v" for name in lines.split()}
        return found

    @cached_property
    def meant(self) -> dict[Item, list[Item]]:
        """The items that each item names."""
        return {item: [*self._named(item)] for each in self.items.values() for item in each}

    def _named(self, item: Item) -> Iterator[Item]:
        near = {item.file, *self.imports[item.file]}
        for word in item.words & self.items.keys():
            known = [x for x in self.items[word] if x.file in near]
            yield from [x for x in known if x.file == item.file] or known

    def rests_on(self, name: str) -> frozenset[str]:
        """The marked theorems, and the assumptions, that a marked theorem comes to first."""
        start = self.marked[name]
        seen, left, found = {start}, [start], set[str]()
        while left:
            for item in self.meant[left.pop()]:
                if item in seen:
                    continue
                seen.add(item)
                if item.assumed:
                    found.add(item.assumed)
                if item.name in self.marked and item == self.marked[item.name]:
                    found.add(item.name)
                else:
                    left.append(item)
        return frozenset(found)
