"""An ONNX file as plain data: operators, constants, one input, one output. Nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit_check.verdict import Unreadable

Tensor = NDArray[np.float32] | NDArray[np.int64]
Attribute = float | int | str | list[int] | Tensor
DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Operator:
    """One node of the ONNX graph."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class OnnxGraph:
    """The graph: ``input_dims`` holds -1 where a dimension is symbolic."""

    operators: list[Operator]
    constants: dict[str, Tensor]
    input_name: str
    input_type: int
    input_dims: tuple[int, ...]
    output_name: str
    opset: int


class Message:
    """One protocol buffers message: its fields by number. What may stand once, stands once."""

    def __init__(self, data: bytes) -> None:
        self.fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            size = {1: 8, 5: 4}.get(key & 7, 0)
            if key & 7 == 0:
                value, at = _varint(data, at)
            elif key & 7 in (1, 2, 5):
                if key & 7 == 2:
                    size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
                if at > len(data):
                    raise Unreadable(f"truncated ONNX file: {size} bytes wanted before byte {at}")
            else:
                raise Unreadable(f"not an ONNX file: wire type {key & 7} at byte {at}")
            self.fields.setdefault(key >> 3, []).append(value)

    def one(self, number: int, default: int | bytes) -> int | bytes:
        """The field's one value, of the type of ``default``."""
        values = self.fields.get(number, [default])
        if len(values) > 1 or type(values[0]) is not type(default):
            raise Unreadable(
                f"not an ONNX file: field {number} holds {len(values)} values or no such"
            )
        return values[0]

    def integer(self, number: int, default: int = 0) -> int:
        value = self.one(number, default)
        assert isinstance(value, int)
        return value - 2**64 if value >= 2**63 else value

    def bytes(self, number: int) -> bytes:
        value = self.one(number, b"")
        assert isinstance(value, bytes)
        return value

    def text(self, number: int) -> str:
        return _text(self.bytes(number))

    def texts(self, number: int) -> tuple[str, ...]:
        return tuple(_text(v) for v in self.fields.get(number, []))

    def message(self, number: int) -> Message:
        return Message(self.bytes(number))

    def messages(self, number: int) -> list[Message]:
        values = self.fields.get(number, [])
        if not all(isinstance(v, bytes) for v in values):
            raise Unreadable(f"not an ONNX file: field {number} holds no message")
        return [Message(v) for v in values if isinstance(v, bytes)]

    def integers(self, number: int) -> list[int]:
        """A repeated integer field, packed or not."""
        found: list[int] = []
        for value in self.fields.get(number, []):
            at = 0
            while isinstance(value, bytes) and at < len(value):
                n, at = _varint(value, at)
                found.append(n)
            found += [value] if isinstance(value, int) else []
        return [v - 2**64 if v >= 2**63 else v for v in found]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k in range(10):
        if at >= len(data):
            raise Unreadable(f"truncated ONNX file: it ends inside an integer at byte {at}")
        value |= (data[at] & 0x7F) << 7 * k
        at += 1
        if not data[at - 1] & 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise Unreadable(f"not an ONNX file: an integer of more than ten bytes at byte {at}")


def _text(value: int | bytes) -> str:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else ""
    except UnicodeDecodeError as error:
        raise Unreadable(f"not an ONNX file: {error}") from error


def read(data: bytes) -> OnnxGraph:
    """The graph in the bytes of an ONNX file. Raises Unreadable with the reason otherwise."""
    model = Message(data)
    graph = model.message(7)
    if not graph.fields or 25 in model.fields or 15 in graph.fields:
        raise Unreadable("not an ONNX file of one graph, without local functions or sparse tensors")
    tensors = graph.messages(5)
    constants = {t.text(8): _tensor(t) for t in tensors}
    if len(constants) != len(tensors):
        raise Unreadable("two constants share a name")
    operators: list[Operator] = []
    for node in graph.messages(1):
        if node.text(7) not in DOMAINS:
            raise Unreadable(f"operator {node.text(4)} is of the domain {node.text(7)!r}")
        attributes = {a.text(1): _attribute(a) for a in node.messages(5)}
        operators.append(Operator(node.text(4), node.texts(1), node.texts(2), attributes))
    inputs = [v for v in graph.messages(11) if v.text(1) not in constants]
    outputs = graph.messages(12)
    if len(inputs) != 1 or len(outputs) != 1:
        raise Unreadable(f"one input and one output wanted, not {len(inputs)} and {len(outputs)}")
    kind = inputs[0].message(2).message(1)
    dims = tuple(d.integer(1, -1) for d in kind.message(2).messages(1))
    opsets = [o.integer(2) for o in model.messages(8) if o.text(1) in DOMAINS]
    if len(opsets) != 1:
        raise Unreadable("the ONNX file does not name one opset")
    name, output = inputs[0].text(1), outputs[0].text(1)
    return OnnxGraph(operators, constants, name, kind.integer(1), dims, output, opsets[0])


def _attribute(message: Message) -> Attribute:
    kind = message.integer(20)
    if kind == 1:
        return float(np.frombuffer(message.bytes(2) or bytes(4), "<f4")[0])
    if kind == 2:
        return message.integer(3)
    if kind == 3:
        return message.text(4)
    if kind == 4:
        return _tensor(message.message(5))
    if kind == 7:
        return message.integers(8)
    raise Unreadable(f"attribute {message.text(1)!r} is of a kind ({kind}) that is not read")


def _tensor(message: Message) -> Tensor:
    name, dims, kind = message.text(8), message.integers(1), message.integer(2)
    if 13 in message.fields or message.integer(14):
        raise Unreadable(f"tensor {name!r} lies outside the file: its SHA-256 would not cover it")
    if kind not in (1, 7) or min([0, *dims]) < 0:
        raise Unreadable(f"tensor {name!r} is of element type {kind} or of shape {dims}")
    dtype = np.dtype("<f4" if kind == 1 else "<i8")
    data = message.bytes(9)
    if not data and kind == 1:
        data = b"".join(v for v in message.fields.get(4, []) if isinstance(v, bytes))
    elif not data:
        data = np.array(message.integers(7), dtype).tobytes()
    size = int(np.prod(dims, dtype=object)) * dtype.itemsize
    if len(data) != size:
        raise Unreadable(f"tensor {name!r} holds {len(data)} bytes, its shape wants {size}")
    return np.frombuffer(data, dtype).reshape(dims)
