"""An ONNX file as plain data: operators, constants, one input, one output. Nothing is computed.

What two readers of the file could understand differently is refused by name (rules file.*).

Map: file; a definition
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lastbit_check.files.protobuf import parse
from lastbit_check.files.schema import MODEL, OUTSIDE
from lastbit_check.verdict import reading, require

Tensor = NDArray[np.float32] | NDArray[np.int64]
Attribute = float | int | str | list[int] | list[float] | Tensor
A = TypeVar("A", int, float, list[int])

FLOAT, UINT8, INT64 = 1, 2, 7  # element types, as ONNX numbers them
VALUES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}  # by the type of an attribute
NUMBERS = {FLOAT: ("float_data", "<f4"), INT64: ("int64_data", "<i8")}
ALIAS = "ai.onnx"  # of the domain "", for some readers only
VERSIONS = range(4, 15)  # before 4 a constant is an input as well; 14 is the newest today
OTHER_FORMATS = (b"ORTM", b"TFL3")  # at byte 4 of a flatbuffer: ONNX Runtime's, TensorFlow Lite's
# metadata that is obeyed: by ONNX Runtime, if it is told so; by Windows ML, which scales images
ORDERS = (
    *("ort_config", "tuning_results", "layer_ann"),
    *("Image.BitmapPixelFormat", "Image.ColorSpaceGamma", "Image.NominalPixelRange"),
)
MOST_AXES = 8
BATCH = -(2**62)  # stands for the number of images, among sizes; no number of a file is this one


class Operator(NamedTuple):
    """One node of the ONNX graph, and one of its outputs, whose ``name`` it has.

    That is number ``output`` of ``outputs``; ``at`` is the node's place in the file, -1 if it is
    in none.
    """

    op: str
    inputs: tuple[str, ...]
    name: str
    attributes: dict[str, Attribute]
    output: int = 0
    outputs: int = 1
    at: int = -1

    def operand(self, index: int) -> str:
        """Its name; "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def attribute(self, name: str, default: A) -> A:
        """The attribute, which must be of the type of its default."""
        value = self.attributes.get(name, default)
        same = type(value) is type(default)
        require(same, "model.attribute", f"{name!r} of {self.op} is of another type")
        return cast("A", value)


class Declared(NamedTuple):
    """What the file says of a value: an element type, sizes, names of sizes; None for nothing."""

    name: str
    element: int | None
    dims: tuple[int | str | None, ...] | None


class OnnxGraph(NamedTuple):
    """The graph; ``image`` is its one input, ``declared`` what is said of that and of others."""

    operators: list[Operator]
    constants: dict[str, Tensor]
    image: Declared
    output_name: str
    opset: int
    declared: list[Declared]


def read(data: bytes) -> OnnxGraph:
    """The graph in the bytes of an ONNX file. Raises Rejected (rules file.*) otherwise."""
    # IR version first, as every tool writes it: no text, archive or pickle begins like that
    right = data[:1] == b"\x08" and data[4:8] not in OTHER_FORMATS
    require(right, "file.format", "not an ONNX file, or one of another format as well")
    with reading("not an ONNX file"):
        model = parse(data, MODEL)
        require("graph" in model, "file.missing", "the file has no graph")
        require(model.get("ir_version") in VERSIONS, "file.version", "another version of ONNX")
        _metadata(model)
        return _graph(model["graph"], _opset(model))


def _opset(model: dict[str, Any]) -> int:
    """The version of the operators. Those of other domains may be named; none is read."""
    domains = [entry.get("domain", "") for entry in model["opset_import"]]
    once = len({*domains}) == len(domains) and "" in domains and ALIAS not in domains
    require(once, "file.opset", "the file does not name one set of ONNX operators")
    version = model["opset_import"][domains.index("")].get("version")
    require(version is not None, "file.missing", "the operator set has no version")
    return version


def _graph(graph: dict[str, Any], opset: int) -> OnnxGraph:
    _metadata(graph)
    constants = [(tensor.get("name", ""), _tensor(tensor)) for tensor in graph["initializer"]]
    operators = [o for at, node in enumerate(graph["node"]) for o in _operators(node, at)]
    inputs, outputs = ([_declared(value) for value in graph[end]] for end in ("input", "output"))
    held = {name for name, _ in constants}
    default = [value.name for value in inputs if value.name in held]
    require(not default, "file.interface", f"inputs that have a value in the file: {default}")
    one = len(inputs) == len(outputs) == 1
    said = f"{len(inputs)} inputs and {len(outputs)} outputs, not one of each"
    require(one, "file.interface", said)
    made = [name for node in graph["node"] for name in node["output"] if name]
    names = [inputs[0].name, *(name for name, _ in constants), *made]
    distinct = len({*names}) == len(names) and "" not in names
    require(distinct, "file.names", "two values of one name, or a value that has none")
    others = [_declared(value) for value in graph["value_info"]]
    labels = [node["name"] for node in graph["node"] if node.get("name")]
    distinct = len({*labels}) == len(labels) and len({v.name for v in others}) == len(others)
    require(distinct, "file.names", "two operators of one name, or a value described twice")
    declared = [*inputs, *outputs, *others]
    return OnnxGraph(operators, dict(constants), inputs[0], outputs[0].name, opset, declared)


def _declared(value: dict[str, Any]) -> Declared:
    _metadata(value)
    tensor = value.get("type", {}).get("tensor_type", {})
    dims = None
    if "shape" in tensor:
        dims = [dim.get("dim_value", dim.get("dim_param")) for dim in tensor["shape"]["dim"]]
        dims = tuple(None if dim == "" else dim for dim in dims)
    return Declared(value.get("name", ""), tensor.get("elem_type"), dims)


def _operators(node: dict[str, Any], at: int) -> list[Operator]:
    """A node once for each of its outputs. The last of them, and of its inputs, may be left out."""
    _metadata(node)
    op = node.get("op_type", "")
    require(op, "file.missing", "an operator has no type")
    known = not node.get("domain") and not node.get("overload")
    require(known, "file.domain", f"operator {op} is not one of ONNX's own")
    attributes = {a.get("name", ""): _attribute(a) for a in node["attribute"]}
    distinct = len(attributes) == len(node["attribute"]) and "" not in attributes
    require(distinct, "file.attribute", f"an attribute of {op} stands twice, or has no name")
    inputs, outputs = (_without_last(node[end]) for end in ("input", "output"))
    count = len(outputs)
    return [Operator(op, inputs, name, attributes, k, count, at)
            for k, name in enumerate(outputs or ("",))]  # fmt: skip


def _without_last(names: list[str]) -> tuple[str, ...]:
    """Without the empty names at the end, which stand for nothing."""
    while names and not names[-1]:
        names = names[:-1]
    return (*names,)


def _attribute(attribute: dict[str, Any]) -> Attribute:
    """The one value, in the field that the type names; a list may be empty, and then has none.

    Where a number is left out, shape inference takes the operator's default and execution 0.
    """
    name, kind = attribute.get("name", ""), attribute.get("type", 0)
    require(kind in VALUES, "file.attribute", f"{name!r} is of the kind {kind}, which is not read")
    field, given = VALUES[kind], [f for f in VALUES.values() if attribute.get(f, []) != []]
    right = given == [field] or (given == [] and attribute.get(field) == [])
    require(right, "file.attribute", f"{name!r} has the values {given}, and is said to be {field}")
    if field == "ints":
        require(BATCH not in attribute[field], "file.attribute", f"{name!r}: {BATCH}")
    return _tensor(attribute["t"]) if field == "t" else attribute[field]


def _tensor(tensor: dict[str, Any]) -> Tensor:
    _metadata(tensor)
    name, dims, kind = tensor.get("name", ""), tensor["dims"], tensor.get("data_type", 0)
    require(not tensor.get("data_location"), "file.tensor", f"tensor {name!r}: {OUTSIDE}")
    known = kind in NUMBERS and len(dims) <= MOST_AXES
    require(known, "file.tensor", f"tensor {name!r} is of element type {kind}, of {len(dims)} axes")
    field, dtype = NUMBERS[kind]
    fields = ("raw_data", "float_data", "int64_data")
    given = [f for f in fields if tensor.get(f, []) != []]  # raw data of no bytes is given, too
    right = given in (["raw_data"], [field])
    require(right, "file.tensor", f"tensor {name!r} of element type {kind} has {given}")
    raw = tensor["raw_data"] if given == ["raw_data"] else np.array(tensor[field], dtype).tobytes()
    size = math.prod(dims)
    full = len(raw) == size * np.dtype(dtype).itemsize
    require(full, "file.tensor", f"tensor {name!r} has {len(raw)} bytes for {size} numbers")
    values = np.frombuffer(raw, dtype).reshape(dims)
    require(kind != INT64 or BATCH not in values, "file.tensor", f"tensor {name!r}: {BATCH}")
    return values


def _metadata(message: dict[str, Any]) -> None:
    """Metadata is passed over, where no reader can take it for an order or read it two ways."""
    keys = [entry.get("key", "") for entry in message["metadata_props"]]
    right = len({*keys}) == len(keys) and not {*keys} & {*ORDERS}
    require(right, "file.metadata", f"two entries of one name, or one that is obeyed: {keys}")
