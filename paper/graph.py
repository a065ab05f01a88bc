"""The map of the proof: claims <- rules <- lemmas <- assumptions, from what the sources say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from lastbit.report.words import ASSUMED
from paper.claims import Claim, claims
from paper.coq import Library
from paper.rules import Rule, modules, rules

PROVED, CHECKED, IS_ASSUMED, MEASURED = "proved", "checked", "assumed", "measured"
CLASSES = {
    PROVED: "Coq accepts it (`make proofs`, `make theorem`)",
    CHECKED: "`lastbit-check` computes it anew, in Python",
    IS_ASSUMED: "of the runtime, by a name that certificates list",
    MEASURED: "seen on machines: a run, or an audit",
}
CLAIMS, RULES, LEMMAS, ASSUMPTIONS = range(4)
TITLES = ("claims", "rules of the checker", "theorems in Coq", "assumptions")
THEOREMS_OF_MODELS = ("tight", "zero", "small_number")
WITNESS, AUDIT = "lastbit replay", "lastbit audit"


@dataclass(frozen=True)
class Node:
    """One box: in which column, what stands behind it, its name, and what it says."""

    column: int
    behind: str
    name: str
    says: str


@dataclass(frozen=True)
class Map:
    """Nodes by (column, name), and edges from what is claimed to what it rests on."""

    nodes: dict[tuple[int, str], Node]
    edges: frozenset[tuple[tuple[int, str], tuple[int, str]]]
    rules: dict[str, Rule]
    library: Library

    def below(self, column: int, name: str, into: int) -> list[str]:
        """What a node rests on in a column, by name."""
        return sorted(b[1] for a, b in self.edges if a == (column, name) and b[0] == into)

    def above(self, column: int, name: str, into: int) -> list[str]:
        """What rests on a node."""
        return sorted(a[1] for a, b in self.edges if b == (column, name) and a[0] == into)

    def argued(self, rule: str) -> str:
        """Where it is shown that a rule is right: in Coq, on paper, or in both."""
        said = self.rules[rule]
        if said.definition:
            return "a definition"
        lemmas = bool(self.below(RULES, rule, LEMMAS))
        return " and ".join(["in Coq"] * lemmas + ["on paper"] * bool(said.document))

    def inside(self, column: int) -> list[Node]:
        """The nodes of a column."""
        return [node for node in self.nodes.values() if node.column == column]


Edge = tuple[tuple[int, str], tuple[int, str]]


@cache
def the_map() -> Map:
    """That of the project, as it stands."""
    found = rules([*modules()])
    rule_of_kind = {kind: rule.name for rule in found.values() for kind in rule.kinds}
    return mapped([*claims(rule_of_kind)], found, Library.read(), ASSUMED)


def mapped(
    claimed: Iterable[Claim], found: dict[str, Rule], library: Library, assumed: Mapping[str, str]
) -> Map:
    """A map; ``assumed`` has a sentence for each assumption.

    Raises:
        ValueError: what a claim, a rule or a theorem rests on is not in the map, or nothing rests
            on a theorem that is.
    """
    made = Map({}, frozenset(), found, library)
    parts = (_claims(made, claimed), _rules(made), _lemmas(made), _assumptions(made, assumed))
    edges = [edge for part in parts for edge in part]
    for a, b in edges:
        if b not in made.nodes:
            raise ValueError(f"{a[1]} rests on {b[1]}, which is not in the map")
    alone = sorted(node.name for key, node in made.nodes.items()
                   if node.column == LEMMAS and key not in {b for _, b in edges})  # fmt: skip
    if alone:
        raise ValueError(f"nothing rests on {', '.join(alone)}")
    return Map(made.nodes, frozenset(edges), found, library)


def _claims(made: Map, claimed: Iterable[Claim]) -> Iterator[Edge]:
    for claim in claimed:
        _add(made, Node(CLAIMS, CHECKED, claim.name, claim.said))
        yield from (((CLAIMS, claim.name), (RULES, rule)) for rule in claim.rules)
        yield from (((CLAIMS, claim.name), (ASSUMPTIONS, name)) for name in claim.assumed)
    for name in THEOREMS_OF_MODELS:
        item = made.library.marked[name]
        _add(made, Node(CLAIMS, PROVED, f"theorem {name}", item.mark))
        yield from _of_theorem(made.library, name, (CLAIMS, f"theorem {name}"))
    says = "L, and what every runtime answers: pairs of images are run"
    _add(made, Node(CLAIMS, MEASURED, WITNESS, says))


def _rules(made: Map) -> Iterator[Edge]:
    for rule in made.rules.values():
        _add(made, Node(RULES, CHECKED, rule.name, rule.title))
        for name in rule.rests_on:
            yield (RULES, rule.name), (LEMMAS if name in made.library.marked else ASSUMPTIONS, name)


def _lemmas(made: Map) -> Iterator[Edge]:
    for name, item in made.library.marked.items():
        if name not in THEOREMS_OF_MODELS:
            _add(made, Node(LEMMAS, PROVED, name, item.mark))
            yield from _of_theorem(made.library, name, (LEMMAS, name))


def _of_theorem(library: Library, name: str, node: tuple[int, str]) -> Iterator[Edge]:
    """What a theorem rests on, but for assumptions that those it rests on come to."""
    direct = library.rests_on(name)
    lemmas = direct & library.marked.keys()
    yield from ((node, (LEMMAS, lemma)) for lemma in lemmas)
    further = _assumptions_under(library, lemmas)
    yield from ((node, (ASSUMPTIONS, a)) for a in (direct & library.assumed) - further)


def _assumptions_under(library: Library, names: Iterable[str]) -> set[str]:
    found, seen, left = set[str](), set[str](), [*names]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            direct = library.rests_on(name)
            found |= direct & library.assumed
            left += direct & library.marked.keys()
    return found


def _assumptions(made: Map, assumed: Mapping[str, str]) -> Iterator[Edge]:
    for name, words in assumed.items():
        _add(made, Node(ASSUMPTIONS, IS_ASSUMED, name, words))
        yield (ASSUMPTIONS, name), (ASSUMPTIONS, AUDIT)
    says = "holds runtimes against the assumptions, as far as runs can tell"
    _add(made, Node(ASSUMPTIONS, MEASURED, AUDIT, says))


def _add(made: Map, node: Node) -> None:
    made.nodes[node.column, node.name] = node
