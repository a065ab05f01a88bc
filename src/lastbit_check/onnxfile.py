"""An ONNX file as plain data: operators, constants, one input, one output. Nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lastbit_check import wire
from lastbit_check.verdict import Unreadable
from lastbit_check.wire import Field

Tensor = NDArray[np.float32] | NDArray[np.int64]
Attribute = float | int | str | list[int] | list[float] | Tensor


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


@dataclass
class _Message:
    """The fields of one message by number; a field that may stand once, stands once."""

    found: dict[int, list[Field]] = field(default_factory=dict[int, list[Field]])

    @classmethod
    def of(cls, data: bytes) -> _Message:
        message = cls()
        for entry in wire.fields(data):
            message.found.setdefault(entry[0], []).append(entry)
        return message

    def many(self, number: int) -> list[Field]:
        return self.found.get(number, [])

    def one(self, number: int) -> Field | None:
        entries = self.many(number)
        if len(entries) > 1:
            raise Unreadable(f"ambiguous ONNX file: field {number} stands {len(entries)} times")
        return entries[0] if entries else None

    def text(self, number: int) -> str:
        entry = self.one(number)
        return wire.as_text(entry) if entry else ""

    def integer(self, number: int, default: int = 0) -> int:
        entry = self.one(number)
        return wire.as_int(entry) if entry else default

    def message(self, number: int) -> _Message:
        entry = self.one(number)
        return _Message.of(wire.as_bytes(entry) if entry else b"")

    def messages(self, number: int) -> list[_Message]:
        return [_Message.of(wire.as_bytes(entry)) for entry in self.many(number)]


def read(data: bytes) -> OnnxGraph:
    """The graph in the bytes of an ONNX file. Raises Unreadable with the reason otherwise."""
    model = _Message.of(data)
    graph = model.message(7)
    if not graph.found:
        raise Unreadable("not an ONNX file: it holds no graph")
    if model.many(25) or graph.many(15):
        raise Unreadable("the ONNX file holds local functions or sparse tensors")
    constants: dict[str, Tensor] = {}
    for entry in graph.messages(5):
        name = entry.text(8)
        if name in constants:
            raise Unreadable(f"two constants are named {name!r}")
        constants[name] = _tensor(entry)
    operators: list[Operator] = []
    for entry in graph.messages(1):
        if entry.text(7) not in ("", "ai.onnx"):
            raise Unreadable(f"operator {entry.text(4)} is of the domain {entry.text(7)!r}")
        inputs = tuple(wire.as_text(f) for f in entry.many(1))
        outputs = tuple(wire.as_text(f) for f in entry.many(2))
        attributes = {a.text(1): _attribute(a) for a in entry.messages(5)}
        operators.append(Operator(entry.text(4), inputs, outputs, attributes))
    inputs = [v for v in graph.messages(11) if v.text(1) not in constants]
    outputs = graph.messages(12)
    if len(inputs) != 1 or len(outputs) != 1:
        raise Unreadable(f"one input and one output wanted, not {len(inputs)} and {len(outputs)}")
    kind = inputs[0].message(2).message(1)
    dims = tuple(d.integer(1, -1) for d in kind.message(2).messages(1))
    opsets = [o.integer(2) for o in model.messages(8) if o.text(1) in ("", "ai.onnx")]
    if len(opsets) != 1:
        raise Unreadable("the ONNX file does not name one opset")
    name = inputs[0].text(1)
    return OnnxGraph(operators, constants, name, kind.integer(1), dims, outputs[0].text(1), opsets[0])


def _attribute(message: _Message) -> Attribute:
    kind = message.integer(20)
    entry = message.one({1: 2, 2: 3, 3: 4, 4: 5}.get(kind, 0))
    if kind == 1 and entry:
        return wire.as_float(entry)
    if kind in (1, 2) and not entry:
        return 0  # proto3 leaves a zero out
    if kind == 2 and entry:
        return wire.as_int(entry)
    if kind == 3:
        return wire.as_text(entry) if entry else ""
    if kind == 4 and entry:
        return _tensor(_Message.of(wire.as_bytes(entry)))
    if kind == 7:
        return [v for f in message.many(8) for v in wire.integers(f)]
    raise Unreadable(f"attribute {message.text(1)!r} is of a kind ({kind}) that is not read")


def _tensor(message: _Message) -> Tensor:
    name = message.text(8)
    dims = [v for f in message.many(1) for v in wire.integers(f)]
    kind, raw = message.integer(2), message.one(9)
    if message.many(13) or message.integer(14):
        raise Unreadable(f"tensor {name!r} lies outside the ONNX file: its SHA-256 would not cover it")
    if kind not in (1, 7):
        raise Unreadable(f"tensor {name!r} is of element type {kind}, not float32 or int64")
    if any(d < 0 for d in dims):
        raise Unreadable(f"tensor {name!r} has a negative dimension")
    dtype = "<f4" if kind == 1 else "<i8"
    if raw and (message.many(4) or message.many(7)):
        raise Unreadable(f"tensor {name!r} holds its numbers twice")
    if raw:
        data = wire.as_bytes(raw)
        if len(data) % np.dtype(dtype).itemsize:
            raise Unreadable(f"tensor {name!r} ends inside a number")
        values = np.frombuffer(data, dtype=dtype)
    elif kind == 1:
        packed = b"".join(f[2] for f in message.many(4) if isinstance(f[2], bytes))
        if len(packed) % 4:
            raise Unreadable(f"tensor {name!r} ends inside a number")
        values = np.frombuffer(packed, dtype="<f4")
    else:
        values = np.array([v for f in message.many(7) for v in wire.integers(f)], dtype="<i8")
    size = 1
    for d in dims:
        size *= d
    if values.size != size:
        raise Unreadable(f"tensor {name!r} holds {values.size} numbers, its shape wants {size}")
    return values.reshape(dims)
