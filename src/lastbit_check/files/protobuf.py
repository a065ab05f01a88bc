"""Protocol buffers, read in the one way in which all readers agree.

What libraries differ in is refused by name: they pass over fields that they do not know and fields
of another wire type, cut numbers to size, merge a message that stands twice, take the last of two
numbers or the first, and may or may not look at the encoding of text.

Map: file
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lastbit_check.verdict import Rejected, require

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # wire types; 3 and 4 are those of groups
INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)


class Field(NamedTuple):
    """A field of a message.

    ``kind`` is float, str, bytes, the range of an integer, or a Message. It is None where the field
    is refused, and ``why`` says why. A field of ``many`` is repeated.
    """

    name: str
    kind: Any
    many: bool = False
    why: str = "it is not read"


class Message(NamedTuple):
    """The fields of a message by number. At most one of those in ``oneof`` stands."""

    name: str
    fields: dict[int, Field]
    oneof: tuple[str, ...] = ()


def parse(data: bytes, message: Message) -> dict[str, Any]:
    """The fields by name: a list for a repeated one, nothing for one that does not stand.

    Raises:
        Rejected: rules file.* for what two readers may understand differently.
    """
    found: dict[str, Any] = {field.name: [] for field in message.fields.values() if field.many}
    packed = set[str]()
    for number, wire, raw in fields(data):
        field = message.fields.get(number)
        if field is None:
            raise Rejected("file.unknown", f"{message.name} has no field {number}")
        kind, name = field.kind, field.name
        try:
            if kind is None:
                raise Rejected("file.field", field.why)
            if not field.many:
                require(name not in found, "file.repeated", "it stands twice")
                found[name] = _value(kind, wire, raw)
            elif wire == LENGTH and (kind is float or isinstance(kind, range)):
                require(name not in packed and not found[name], "file.packed", "it is in parts")
                packed.add(name)
                found[name] = _unpacked(kind, raw)
            else:
                require(name not in packed, "file.packed", "it is in parts")
                found[name].append(_value(kind, wire, raw))
        except Rejected as error:
            raise error.inside(name) from error
    given = [name for name in message.oneof if name in found]
    require(len(given) < 2, "file.oneof", "two members of a oneof")
    return found


def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and content of each field: an unsigned integer, or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not (number > 0 and tag < 2**32):
            raise Rejected("file.tag", f"the field number {number}, before byte {at}")
        if wire == VARINT:
            value, at = varint(data, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            size, at = varint(data, at)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if wire == EIGHT_BYTES else 4
        else:
            raise Rejected("file.wire", f"field {number} is of wire type {wire}, before byte {at}")
        if not size <= len(data) - at:
            raise Rejected("file.truncated", f"field {number} has not its {size} bytes")
        yield number, wire, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned integer of at most 64 bits at byte ``at``, and where it ends.

    Seven bits a byte, the lowest first; all bytes but the last one have the eighth bit set.
    """
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if (byte == 0 and shift > 7) or value >= 2**64:
                raise Rejected("file.varint", f"not the shortest, or too large, at byte {at}")
            return value, at + shift // 7
    require(len(data) - at >= 10, "file.truncated", "an integer is cut off")
    raise Rejected("file.varint", f"an integer of more than ten bytes, at byte {at}")


def _value(kind: Any, wire: int, raw: Any) -> Any:
    """What stands in one field."""
    needed = FOUR_BYTES if kind is float else VARINT if isinstance(kind, range) else LENGTH
    if wire != needed:
        raise Rejected("file.wire", f"it is of wire type {wire}")
    if isinstance(kind, range):
        return _integer(kind, raw)
    if kind is float:
        return struct.unpack("<f", raw)[0]
    if kind is str:
        return _text(raw)
    return parse(raw, kind) if isinstance(kind, Message) else raw


def _unpacked(kind: Any, raw: bytes) -> list[Any]:
    """The numbers of a repeated field that stand all in one."""
    if kind is float:
        require(len(raw) % 4 == 0, "file.truncated", "it ends inside a number")
        return np.frombuffer(raw, "<f4").tolist()
    found, at = list[int](), 0
    while at < len(raw):
        value, at = varint(raw, at)
        found.append(_integer(kind, value))
    return found


def _integer(kind: range, raw: int) -> int:
    """The signed number that 64 bits stand for; others may be cut to 32 bits, or passed over."""
    value = raw - 2**64 if raw >= 2**63 else raw
    if value not in kind:
        raise Rejected("file.range", f"it is {value}")
    return value


def _text(raw: bytes) -> str:
    """Text ends at a NUL for some readers; not all of them check that it is UTF-8."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("file.text", "it is not UTF-8") from error
    require("\0" not in text, "file.text", "it holds a NUL")
    return text
