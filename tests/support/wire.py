"""Protocol buffers by hand: trees of fields, so that a test can write what no library writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import onnx

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
Descriptor = Any
MODEL: Descriptor = onnx.ModelProto.DESCRIPTOR


def varint(n: int, bytes_: int = 1) -> bytes:
    """An unsigned integer, in so many bytes at the least; a negative one as 64 bits."""
    n %= 2**64 if n < 0 else 2**80
    found = bytearray()
    while n or len(found) < bytes_:
        found.append(n & 0x7F | 0x80)
        n >>= 7
    found[-1] &= 0x7F
    return bytes(found)


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


@dataclass
class Entry:
    """A field: its number, wire type and content, a list where it is a message.

    ``kind`` is its descriptor (None for a field that ONNX does not have); ``head`` replaces the
    tag, ``size`` is how many bytes the length or the integer takes at the least.
    """

    number: int
    wire: int
    content: int | bytes | list[Entry]
    kind: Descriptor = None
    head: bytes = b""
    size: int = 1

    def to_bytes(self) -> bytes:
        head = self.head or tag(self.number, self.wire)
        content = self.content
        if isinstance(content, int):
            return head + varint(content, self.size)
        inner = content if isinstance(content, bytes) else to_bytes(content)
        return head + (varint(len(inner), self.size) if self.wire == LENGTH else b"") + inner

    def copy(self, **changes: Any) -> Entry:
        content = self.content
        if isinstance(content, list):
            content = [entry.copy() for entry in content]
        return replace(self, **{"content": content, **changes})


def to_bytes(entries: list[Entry]) -> bytes:
    return b"".join(entry.to_bytes() for entry in entries)


def tree(data: bytes, message: Descriptor = MODEL) -> list[Entry]:
    """The fields of a message that is in order, and of those in it."""
    found, at = list[Entry](), 0
    while at < len(data):
        key, at = _read(data, at)
        number, wire = key >> 3, key & 7
        kind = message.fields_by_number.get(number)
        content: Any
        if wire == VARINT:
            content, at = _read(data, at)
        else:
            size, at = _read(data, at) if wire == LENGTH else ({EIGHT: 8, FOUR: 4}[wire], at)
            content, at = data[at : at + size], at + size
            if kind is not None and kind.message_type is not None:
                content = tree(content, kind.message_type)
        found.append(Entry(number, wire, content, kind))
    return found


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def walk(entries: list[Entry]) -> Iterator[tuple[list[Entry], int]]:
    """Every field as a message and a place in it."""
    for k, entry in enumerate(entries):
        yield entries, k
        if isinstance(entry.content, list):
            yield from walk(entry.content)


def inner(entries: list[Entry], *path: str | int) -> list[Entry]:
    """The message at the end of a path of names of fields, each with the number of its place."""
    for name in path:
        name, k = name.split(":") if isinstance(name, str) and ":" in name else (name, 0)
        named = [e for e in entries if e.kind is not None and e.kind.name == name]
        content = named[int(k)].content
        assert isinstance(content, list)
        entries = content
    return entries


def find(entries: list[Entry], name: str, k: int = 0) -> Entry:
    """The field of that name, the k-th of them."""
    return [e for e in entries if e.kind is not None and e.kind.name == name][k]
