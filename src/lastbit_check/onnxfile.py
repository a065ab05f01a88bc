"""An ONNX file as plain data: operators, constants, one input, one output. Nothing is computed."""

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lastbit_check.verdict import readable, reading

Tensor = NDArray[np.float32] | NDArray[np.int64]
Attribute = float | int | str | list[int] | Tensor
A = TypeVar("A", int, float, list[int])

# The fields of onnx.proto3 that are read, by number: name, and the value where it is not there. A
# list of such a value stands for a repeated field, a table for a message; the rest is passed over.
Schema = dict[int, tuple[str, Any]]
TENSOR: Schema = {1: ("dims", [0]), 2: ("data_type", 0), 4: ("float_data", [0.0]),
                  7: ("int64_data", [0]), 8: ("name", ""), 9: ("raw_data", b""),
                  13: ("external_data", [b""]), 14: ("data_location", 0)}  # fmt: skip
ATTRIBUTE: Schema = {1: ("name", ""), 2: ("f", 0.0), 3: ("i", 0), 4: ("s", ""), 5: ("t", TENSOR),
                     8: ("ints", [0]), 20: ("type", 0)}  # fmt: skip
NODE: Schema = {1: ("input", [""]), 2: ("output", [""]), 4: ("op_type", ""),
                5: ("attribute", [ATTRIBUTE]), 7: ("domain", "")}  # fmt: skip
SHAPE: Schema = {1: ("dim", [{1: ("dim_value", -1)}])}
TYPE: Schema = {1: ("tensor_type", {1: ("elem_type", 0), 2: ("shape", SHAPE)})}
VALUE: Schema = {1: ("name", ""), 2: ("type", TYPE)}
GRAPH: Schema = {1: ("node", [NODE]), 5: ("initializer", [TENSOR]), 11: ("input", [VALUE]),
                 12: ("output", [VALUE]), 15: ("sparse_initializer", [b""])}  # fmt: skip
OPSET: Schema = {1: ("domain", ""), 2: ("version", 0)}
MODEL: Schema = {7: ("graph", GRAPH), 8: ("opset_import", [OPSET]), 25: ("functions", [b""])}
KINDS = {1: "f", 2: "i", 3: "s", 4: "t", 7: "ints"}  # the field that holds an attribute's value
TYPES = {1: ("float_data", "<f4"), 7: ("int64_data", "<i8")}
DOMAINS = ("", "ai.onnx")


class Operator(NamedTuple):
    """One node of the ONNX graph; ``name`` is that of its only output, "" if there are more."""

    op: str
    inputs: tuple[str, ...]
    name: str
    attributes: dict[str, Attribute]

    def attribute(self, name: str, default: A) -> A:
        """The attribute, which must be of the type of its default."""
        value = self.attributes.get(name, default)
        same = type(value) is type(default)
        readable(same, f"attribute {name!r} of {self.op} is of another type")
        return cast("A", value)


class OnnxGraph(NamedTuple):
    """The graph; ``image`` is its one input, of the form VALUE."""

    operators: list[Operator]
    constants: dict[str, Tensor]
    image: dict[str, Any]
    output_name: str
    opset: int


def read(data: bytes) -> OnnxGraph:
    """The graph in the bytes of an ONNX file. Raises Unreadable with the reason otherwise."""
    with reading("not an ONNX file"):
        model = _message(data, MODEL)
        graph = model["graph"]
        plain = not model["functions"] and not graph["sparse_initializer"]
        readable(plain, "the ONNX file has local functions or sparse tensors")
        versions = [o["version"] for o in model["opset_import"] if o["domain"] in DOMAINS]
        readable(len(versions) == 1, "the ONNX file does not name one operator set")
        constants = {tensor["name"]: _tensor(tensor) for tensor in graph["initializer"]}
        distinct = len(constants) == len(graph["initializer"]) and "" not in constants
        readable(distinct, "a constant of the ONNX file has no name, or two share one")
        inputs = [value for value in graph["input"] if value["name"] not in constants]
        readable(len(inputs) == len(graph["output"]) == 1, "not one input and one output")
        operators = [_operator(node) for node in graph["node"]]
        return OnnxGraph(operators, constants, inputs[0], graph["output"][0]["name"], versions[0])


def _operator(node: dict[str, Any]) -> Operator:
    op, attributes = node["op_type"], {a["name"]: _attribute(a) for a in node["attribute"]}
    known = node["domain"] in DOMAINS and len(attributes) == len(node["attribute"])
    readable(known, f"operator {op} is of another domain, or an attribute stands twice")
    name = node["output"][0] if len(node["output"]) == 1 else ""
    return Operator(op, tuple(node["input"]), name, attributes)


def _attribute(attribute: dict[str, Any]) -> Attribute:
    known = attribute["type"] in KINDS
    readable(known, f"attribute {attribute['name']!r} is of a kind that is not read")
    field = KINDS[attribute["type"]]
    return _tensor(attribute[field]) if field == "t" else attribute[field]


def _tensor(tensor: dict[str, Any]) -> Tensor:
    name, dims, kind = tensor["name"], tensor["dims"], tensor["data_type"]
    inside = not tensor["external_data"] and not tensor["data_location"]
    readable(inside, f"tensor {name!r} lies outside: the file's SHA-256 would not cover it")
    known = kind in TYPES and min([0, *dims]) >= 0
    readable(known, f"tensor {name!r} is of element type {kind} or of shape {dims}")
    field, dtype = TYPES[kind]
    raw = tensor["raw_data"]
    values = np.frombuffer(raw, dtype) if raw else np.array(tensor[field], dtype)
    full = values.size == math.prod(dims)
    readable(full, f"tensor {name!r} holds {values.size} numbers, not those of shape {dims}")
    return values.reshape(dims)


def _message(data: bytes, schema: Schema) -> dict[str, Any]:
    """The fields of a protocol buffers message that ``schema`` names, by name."""
    found: dict[int, list[Any]] = {number: [] for number in schema}
    for number, value in _fields(data):
        if number in schema:
            found[number].append(value)
    return {name: _formed(name, found[number], form) for number, (name, form) in schema.items()}


def _formed(name: str, values: list[Any], form: Any) -> Any:
    """The values of a field as its schema describes it. What may stand once, stands once."""
    if isinstance(form, list):
        return [_formed(name, [v], form[0]) for value in values for v in _unpacked(value, form[0])]
    none = b"" if isinstance(form, str | dict) else form
    value = values[0] if values else none
    if len(values) > 1 or type(value) is not type(none):
        raise ValueError(f"field {name} stands {len(values)} times or is of another type")
    if isinstance(form, dict):
        return _message(value, cast("Schema", form))
    return value.decode("utf-8") if isinstance(form, str) else value


def _unpacked(value: int | float | bytes, form: Any) -> list[Any]:
    """The numbers of a repeated field, which may stand one by one or all in one."""
    if not isinstance(value, bytes) or not isinstance(form, int | float):
        return [value]
    if isinstance(form, float):
        return np.frombuffer(value, "<f4").tolist()
    found, at = list[int](), 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Number and value of each field, but for those of eight bytes: none of them is read."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at) if key & 7 in (0, 2) else ({1: 8, 5: 4}.get(key & 7, -1), at)
        if key & 7 == 0:
            yield key >> 3, value
            continue
        if not 0 <= value <= len(data) - at:
            raise ValueError(f"truncated, or of wire type {key & 7}, at byte {at}")
        if key & 7 == 2:
            yield key >> 3, data[at : at + value]
        elif key & 7 == 5:
            yield key >> 3, struct.unpack("<f", data[at : at + value])[0]
        at += value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The signed integer of 64 bits at byte ``at``, and where it ends."""
    value = 0
    for k in range(at, min(at + 10, len(data))):
        value |= (data[k] & 0x7F) << 7 * (k - at)
        if data[k] < 0x80:
            return (value + 2**63) % 2**64 - 2**63, k + 1
    raise ValueError(f"truncated, or an integer of more than ten bytes, at byte {at}")
