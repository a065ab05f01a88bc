"""Mutants of a file: its bytes, its fields, and what its fields say, changed at random.

A change keeps all of the tree but the way to one place, so that it costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from support.wire import LENGTH, VARINT, Descriptor, Entry, to_bytes, tree

T = TypeVar("T")
Path = tuple[int, ...]
Tree = list[Entry]
Change = Callable[["Spoiler", Tree, Path, Entry], "Tree | None"]
"""From a file and a place in it to the file changed; None where that makes no sense."""


class Spoiler:
    """Mutants of one file, from a seed. ``others`` lend it their parts."""

    def __init__(self, data: bytes, seed: int, others: list[bytes] | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.base = tree(data)
        self.places = [*_places(self.base)]
        self.held: dict[int, bytes] = {}
        self.lent = [e for other in others or [] for _, e in _places(tree(other))]
        self.texts = [text for _, e in self.places if (text := _text_of(e)) is not None]
        for _, entry in self.places:
            self.held[id(entry)] = entry.to_bytes()

    def mutants(self, count: int, changes: list[tuple[Change, float]]) -> Iterator[bytes]:
        """Mutants by one to three changes, each as often as its weight says."""
        weights = np.array([weight for _, weight in changes])
        chosen = self.random.choice(len(changes), size=3 * count, p=weights / weights.sum())
        for k in range(count):
            spoilt = self.base
            for j in range(int(self.random.choice([1, 1, 1, 2, 3]))):
                spoilt = self._changed(spoilt, changes[chosen[3 * k + j]][0])
            data = self.dump(spoilt)
            yield self._spoilt_bytes(data) if self.random.random() < 0.08 else data

    def _changed(self, spoilt: Tree, change: Change) -> Tree:
        for _ in range(20):
            path, _ = self.places[self.random.integers(len(self.places))]
            entry = at(spoilt, path)
            after = change(self, spoilt, path, entry) if entry is not None else None
            if after is not None:
                return after
        return spoilt

    def _spoilt_bytes(self, data: bytes) -> bytes:
        """A bit flipped, a byte lost, made anew or doubled, or the end cut off."""
        place, one = int(self.random.integers(len(data))), bytes([self.random.integers(256)])
        match self.random.integers(5):
            case 0 | 1:
                flipped = data[place] ^ 1 << int(self.random.integers(8))
                return data[:place] + bytes([flipped]) + data[place + 1 :]
            case 2:
                return data[:place] + data[place + 1 :]
            case 3:
                return data[:place] + one + data[place:]
            case _:
                return data[: len(data) - int(self.random.integers(1, 9))]

    def dump(self, entries: Tree) -> bytes:
        return b"".join(self._dumped(entry) for entry in entries)

    def _dumped(self, entry: Entry) -> bytes:
        known = self.held.get(id(entry))
        if known is not None:
            return known
        if isinstance(entry.content, list):
            return replace(entry, content=self.dump(entry.content)).to_bytes()
        return entry.to_bytes()

    def pick(self, *values: T) -> T:
        return values[int(self.random.integers(len(values)))]

    def text(self) -> bytes:
        """Any text of the file."""
        return self.pick(*self.texts) if self.texts else b""


def _places(entries: Tree, before: Path = ()) -> Iterator[tuple[Path, Entry]]:
    for k, entry in enumerate(entries):
        yield (*before, k), entry
        if isinstance(entry.content, list):
            yield from _places(entry.content, (*before, k))


def _text_of(entry: Entry) -> bytes | None:
    if entry.kind is None or entry.kind.type != entry.kind.TYPE_STRING:
        return None
    return entry.content if isinstance(entry.content, bytes) else None


def at(entries: Tree, path: Path) -> Entry | None:
    """The field there, None if an earlier change took it away."""
    for k in path[:-1]:
        inner = entries[k].content if k < len(entries) else None
        if not isinstance(inner, list):
            return None
        entries = inner
    return entries[path[-1]] if path[-1] < len(entries) else None


def put(entries: Tree, path: Path, new: Tree) -> Tree:
    """The tree with other fields in the place of one."""
    k = path[0]
    if len(path) == 1:
        return [*entries[:k], *new, *entries[k + 1 :]]
    inner = entries[k].content
    assert isinstance(inner, list)
    changed = replace(entries[k], content=put(inner, path[1:], new))
    return [*entries[:k], changed, *entries[k + 1 :]]


def siblings(entries: Tree, path: Path) -> Tree:
    """All fields of the message in which the place is."""
    for k in path[:-1]:
        inner = entries[k].content
        assert isinstance(inner, list)
        entries = inner
    return entries


def rearranged(entries: Tree, path: Path, new: Tree) -> Tree:
    """The tree with other fields in the message in which the place is."""
    if len(path) == 1:
        return new
    parent = at(entries, path[:-1])
    assert parent is not None
    return put(entries, path[:-1], [replace(parent, content=new)])


# ---- changes of fields ------------------------------------------------------------------------


def doubled(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A field twice, the second one perhaps with another content."""
    other = _varied(s, entry)
    new = [entry, other] if s.random.random() < 0.5 else [other, entry]
    return put(t, path, new)


def dropped(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    return put(t, path, [])


def shuffled(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """The fields of a message in another order, those of one number in their own."""
    fields = siblings(t, path)
    numbers = [f.number for f in fields]
    s.random.shuffle(numbers)
    rest = {n: [f for f in fields if f.number == n] for n in numbers}
    return rearranged(t, path, [rest[n].pop(0) for n in numbers])


def swapped(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """Two fields of one number change places: nodes, operands, sizes, tensors."""
    fields = siblings(t, path)
    alike = [k for k, f in enumerate(fields) if f.number == entry.number and k != path[-1]]
    if not alike:
        return None
    k, new = s.pick(*alike), [*fields]
    new[k], new[path[-1]] = new[path[-1]], new[k]
    return rearranged(t, path, new)


def moved(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A field to another place of its message."""
    rest = [*siblings(t, path)]
    del rest[path[-1]]
    rest.insert(int(s.random.integers(len(rest) + 1)), entry)
    return rearranged(t, path, rest)


def varied(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """Another content: a number near by, another text of the file, a bit of the data."""
    if isinstance(entry.content, list):
        return None
    return put(t, path, [_varied(s, entry)])


def _varied(s: Spoiler, entry: Entry) -> Entry:
    content = entry.content
    if isinstance(content, int):
        near = (
            content + 1,
            content - 1,
            0,
            1,
            2,
            3,
            -1,
            2**32 + content,
            2**63,
            2**31,
            content ^ 1,
        )
        return replace(entry, content=s.pick(*near))
    if isinstance(content, list):
        return replace(entry, content=[e for e in content if s.random.random() < 0.9])
    if _text_of(entry) is not None:
        return replace(entry, content=s.pick(s.text(), b"", content + b"x", content[:-1]))
    flipped = bytearray(content)
    if flipped:
        flipped[s.random.integers(len(flipped))] ^= 1 << int(s.random.integers(8))
    return replace(entry, content=bytes(flipped))


def encoded(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """The same in another encoding: longer integers, tags beyond 32 bits, packed or not."""
    match s.random.integers(4):
        case 0:
            return put(t, path, [replace(entry, size=s.pick(2, 3, 10))])
        case 1:
            head = Entry(
                0, VARINT, (entry.number << 3 | entry.wire) + s.pick(2**32, 2**35)
            ).to_bytes()
            return put(t, path, [replace(entry, head=head[1:])])
        case 2 if isinstance(entry.content, int):
            packed = Entry(0, VARINT, entry.content).to_bytes()[1:]
            return put(t, path, [Entry(entry.number, LENGTH, packed)])
        case _ if isinstance(entry.content, bytes) and len(entry.content) >= 8:
            half = len(entry.content) // 8 * 4
            both = [
                replace(entry, content=entry.content[:half]),
                replace(entry, content=entry.content[half:]),
            ]
            return put(t, path, both)
    return None


def retyped(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A field of another number of its message, or of another wire type."""
    message = entry.kind.containing_type if entry.kind is not None else None
    if message is None or s.random.random() < 0.3:
        wire = s.pick(0, 1, 2, 5)
        content = {0: 1, 1: bytes(8), 2: b"", 5: bytes(4)}[wire]
        return put(t, path, [Entry(entry.number, wire, content)])
    return put(t, path, [replace(entry, number=_number(s, message))])


def added(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A field more, of those that its message may have, with nothing or little in it."""
    message = entry.kind.containing_type if entry.kind is not None else None
    if message is None:
        return None
    kind = message.fields_by_number[_number(s, message)]
    if kind.type in (kind.TYPE_STRING, kind.TYPE_BYTES):
        new = Entry(kind.number, LENGTH, s.pick(b"", s.text()), kind)
    elif kind.type == kind.TYPE_FLOAT:
        new = Entry(kind.number, 5, np.float32(s.pick(0, 1, 255)).tobytes(), kind)
    elif kind.message_type is not None:
        new = Entry(kind.number, LENGTH, b"", kind)
    else:
        new = Entry(kind.number, VARINT, s.pick(0, 1, 2, 3, -1), kind)
    return put(t, path, [entry, new] if s.random.random() < 0.7 else [new, entry])


def _number(s: Spoiler, message: Descriptor) -> int:
    return s.pick(*message.fields_by_number)


def lent(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """The same field of another file, in its place or beside it."""
    if not s.lent or entry.kind is None:
        return None
    for _ in range(30):
        other = s.pick(*s.lent)
        if other.kind is entry.kind:
            return put(t, path, [other] if s.random.random() < 0.7 else [entry, other])
    return None


FIELDS: list[tuple[Change, float]] = [
    (doubled, 0.5), (dropped, 0.4), (shuffled, 3.0), (swapped, 1.0), (moved, 2.0), (varied, 2.5),
    (encoded, 0.5), (retyped, 0.5), (added, 0.8), (lent, 1.0),
]  # fmt: skip


def rebuilt(data: bytes) -> bytes:
    """The file from its tree, to know that this loses nothing."""
    return to_bytes(tree(data))
