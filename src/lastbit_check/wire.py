"""The protocol buffers wire format, as much of it as an ONNX file uses."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lastbit_check.verdict import Unreadable

Field = tuple[int, int, int | bytes]  # number, wire type, value


def fields(data: bytes) -> Iterator[Field]:
    """The fields of one message, in file order. Raises Unreadable where the bytes end too soon."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = _take(data, at, size)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = _take(data, at, size)
        else:
            raise Unreadable(f"not an ONNX file: wire type {kind} at byte {at}")
        if number == 0:
            raise Unreadable(f"not an ONNX file: field number 0 at byte {at}")
        yield number, kind, value


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise Unreadable(f"truncated ONNX file: {size} bytes wanted at byte {at}")
    return data[at : at + size], at + size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at position ``at`` and the position after it."""
    value = 0
    for k in range(10):
        if at >= len(data):
            raise Unreadable(f"truncated ONNX file: it ends inside an integer at byte {at}")
        value |= (data[at] & 0x7F) << 7 * k
        at += 1
        if not data[at - 1] & 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise Unreadable(f"not an ONNX file: an integer of more than ten bytes at byte {at}")


def signed(value: int) -> int:
    """A varint read as a 64-bit two's complement integer."""
    return value - 2**64 if value >= 2**63 else value


def as_int(field: Field) -> int:
    """The signed integer in a varint field."""
    if not isinstance(field[2], int):
        raise Unreadable(f"not an ONNX file: field {field[0]} is no integer")
    return signed(field[2])


def as_bytes(field: Field) -> bytes:
    """The bytes of a length-delimited field."""
    if not isinstance(field[2], bytes) or field[1] != 2:
        raise Unreadable(f"not an ONNX file: field {field[0]} holds no bytes")
    return field[2]


def as_text(field: Field) -> str:
    """The text of a length-delimited field."""
    try:
        return as_bytes(field).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not an ONNX file: field {field[0]} is no UTF-8 text") from error


def as_float(field: Field) -> float:
    """The float32 in a fixed 32-bit field."""
    if not isinstance(field[2], bytes) or field[1] != 5:
        raise Unreadable(f"not an ONNX file: field {field[0]} is no float")
    return float(struct.unpack("<f", field[2])[0])


def integers(field: Field) -> list[int]:
    """A repeated integer field, packed or not."""
    if isinstance(field[2], int):
        return [signed(field[2])]
    found, at = [], 0
    while at < len(field[2]):
        value, at = varint(field[2], at)
        found.append(signed(value))
    return found
