"""Changes of what a file says: attributes, names, operators, tensors, versions, descriptions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.checker import ValidationError

from soundness.mutants.mutate import Change, Path, Spoiler, Tree, at, put, rearranged, siblings
from support.wire import LENGTH, VARINT, Entry, tree

NODE, ATTRIBUTE = NodeProto.DESCRIPTOR, AttributeProto.DESCRIPTOR
TENSOR, VALUE = TensorProto.DESCRIPTOR, ValueInfoProto.DESCRIPTOR
NUMBERS = {
    "keepdims": (0, 1, 2, -1, 256), "transA": (0, 1, 2), "transB": (0, 1, 2, 3),
    "axis": (-1, 0, 1, 2, -3),
    "training_mode": (0, 1, 2), "allowzero": (0, 1, 2), "noop_with_empty_axes": (0, 1, 2),
    "group": (0, 1, 2, 3), "to": (0, 1, 2, 7, 10, 11), "saturate": (0, 1, 2), "spatial": (0, 1),
    "seed": (0, 5), "ceil_mode": (0, 1), "broadcast": (0, 1), "storage_order": (0, 1, 2),
    "count_include_pad": (0, 1, 2), "num_outputs": (1, 2, 3), "blocksize": (1, 2),
    "start": (0, 1, -1, 5), "end": (0, 1, -1, 5), "select_last_index": (0, 1),
}  # fmt: skip
LISTS = {
    "axes": ([2, 3], [3, 2], [-1, -2], [2, -1], [1, 2], [2], [2, 3, 3], [-2, 3], [2, 7]),
    "starts": ([0], [1], [-1], [0, 1]), "ends": ([1], [-1], [2**40], [2, 2]),
    "split": ([1, 1], [1, 2], [2, 1]),
    "perm": ([0, 2, 1, 3], [0, 3, 2, 1], [0, 2, 1], [1, 0, 2, 3]),
    "pads": ([0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 1], [0, 1], [-1, 0, 0, 0], [0, 0, 1, 1]),
    "strides": ([1, 1], [2, 2], [1, 2], [1], [2**32 + 1, 1], [0, 1]),
    "dilations": ([1, 1], [2, 2], [1]), "kernel_shape": ([3, 3], [1, 1], [1, 3], [3]),
}  # fmt: skip
FLOATS = {
    "epsilon": (1e-5, 1e-3, 0.5),
    "momentum": (0.9, 0.1),
    "alpha": (1.0, 0.5),
    "beta": (1.0, 0.0),
    "value": (0.0, 0.5),
}
TEXTS = {
    "auto_pad": ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "valid"),
    "mode": ("constant", "reflect", "edge", "wrap", "DCR", "CRD"),
}
OPERATORS = ("Mul", "Add", "Sub", "Div", "Sigmoid", "Identity", "Dropout", "GlobalAveragePool",
             "ReduceMean", "Softmax", "Flatten", "Cast", "MatMul", "Gemm", "Reshape", "Relu",
             "MaxPool", "AveragePool", "ReduceSum", "ReduceMax", "Squeeze", "Unsqueeze",
             "Transpose", "Concat", "Slice", "Pad", "Expand", "Tile", "Gather", "Split",
             "LogSoftmax", "ArgMax", "HardSwish", "HardSigmoid", "LeakyRelu", "Clip",
             "Neg", "Shape")  # fmt: skip


def owner(t: Tree, path: Path, name: str) -> tuple[Path, Entry, Tree] | None:
    """The innermost message of that type around a place, the place itself included; its fields."""
    for length in range(len(path), 0, -1):
        entry = at(t, path[:length])
        if entry is None or entry.kind is None or not isinstance(entry.content, list):
            continue
        if entry.kind.message_type.name == name:
            return path[:length], entry, entry.content
    return None


WINDOW = ("pads", "strides", "auto_pad", "dilations", "kernel_shape", "ceil_mode")
HAVING = {
    b"ReduceMean": ("keepdims", "axes", "noop_with_empty_axes"), b"Softmax": ("axis",),
    b"Gemm": ("transA", "transB", "alpha", "beta"),
    b"Conv": ("pads", "strides", "auto_pad", "group", "dilations", "kernel_shape"),
    b"Reshape": ("allowzero",), b"Cast": ("to", "saturate"),
    b"MaxPool": (*WINDOW, "storage_order"), b"AveragePool": (*WINDOW, "count_include_pad"),
    **dict.fromkeys((b"ReduceSum", b"ReduceMax"), ("keepdims", "axes", "noop_with_empty_axes")),
    **dict.fromkeys((b"Concat", b"Gather", b"LogSoftmax"), ("axis",)),
    b"ArgMax": ("axis", "keepdims", "select_last_index"), b"Shape": ("start", "end"),
    b"Slice": ("starts", "ends", "axes"), b"Split": ("axis", "split", "num_outputs"),
    b"Transpose": ("perm",), b"Pad": ("mode", "pads", "value"), b"LeakyRelu": ("alpha",),
    b"DepthToSpace": ("blocksize", "mode"), b"SpaceToDepth": ("blocksize",),
    b"HardSigmoid": ("alpha", "beta"), b"Squeeze": ("axes",), b"Unsqueeze": ("axes",),
    b"BatchNormalization": ("epsilon", "momentum", "training_mode"), b"Flatten": ("axis",),
}  # fmt: skip
TABLE: dict[str, tuple[object, ...]] = {**NUMBERS, **LISTS, **FLOATS, **TEXTS}


def attributed(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """An attribute more, or another value of one that is there; mostly one that belongs there."""
    found = owner(t, path, "NodeProto")
    if found is None:
        return None
    where, node, fields = found
    op = next((e.content for e in fields if e.number == 4), b"")
    names = HAVING.get(op, ()) if isinstance(op, bytes) else ()
    if not names or s.random.random() < 0.1:
        if s.random.random() < 0.9:
            return None
        names = (*TABLE,)
    name = s.pick(*names)
    made = helper.make_attribute(name, s.pick(*TABLE[name])).SerializeToString()
    new = Entry(5, LENGTH, tree(made, ATTRIBUTE), NODE.fields_by_name["attribute"])
    kept = [e for e in fields if _named(e) != name.encode()]
    return put(t, where, [replace(node, content=[*kept, new])])


def _named(entry: Entry) -> object:
    """The name of an attribute."""
    if entry.kind is None or entry.kind.name != "attribute" or not isinstance(entry.content, list):
        return None
    return next((e.content for e in entry.content if e.number == 1), None)


def typed(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """An attribute of two values, of another type, or by reference."""
    found = owner(t, path, "AttributeProto")
    if found is None:
        return None
    where, attribute, fields = found
    new = (Entry(3, VARINT, s.pick(0, 1, 2)), Entry(2, 5, bytes(4)), Entry(8, VARINT, 1),
           Entry(4, LENGTH, b"x"), Entry(20, VARINT, s.pick(1, 2, 3, 7)), Entry(21, LENGTH, b"x"),
           Entry(13, LENGTH, b"said"))  # fmt: skip
    return put(t, where, [replace(attribute, content=[*fields, s.pick(*new)])])


def renamed(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A name replaced wherever it stands: the same network, unless the new one is another's."""
    if entry.kind is None or entry.kind.name not in ("output", "name", "input"):
        return None
    if not isinstance(entry.content, bytes):
        return None
    new = b"r%d" % s.random.integers(10**6) if s.random.random() < 0.9 else s.text()
    return _replaced(t, entry.content, new)


def _replaced(t: Tree, old: bytes, new: bytes) -> Tree:
    """Every text of the graph that is the old one."""
    found = list[Entry]()
    for before in t:
        entry = before
        if isinstance(entry.content, list):
            inner = _replaced(entry.content, old, new)
            entry = entry if inner is entry.content else replace(entry, content=inner)
        elif (
            entry.content == old
            and entry.kind is not None
            and entry.kind.name in ("input", "output", "name")
        ):
            entry = replace(entry, content=new)
        found.append(entry)
    return found if any(a is not b for a, b in zip(found, t, strict=True)) else t


def operated(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """Another operator, domain or overload."""
    found = owner(t, path, "NodeProto")
    if found is None:
        return None
    where, node, fields = found
    kept = [e for e in fields if e.number != 4]
    match s.random.integers(6):
        case 0:
            fields = [*fields, Entry(7, LENGTH, s.pick(b"", b"ai.onnx", b"x"))]
        case 1:
            fields = [*fields, Entry(8, LENGTH, s.pick(b"", b"x"))]
        case _:
            name = s.pick(*OPERATORS).encode()
            fields = [*kept, Entry(4, LENGTH, name, NODE.fields_by_name["op_type"])]
    return put(t, where, [replace(node, content=fields)])


def inserted(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A node that renames, before one that then reads the new name."""
    found = owner(t, path, "NodeProto")
    if found is None:
        return None
    where, node, fields = found
    inputs = [k for k, e in enumerate(fields) if e.number == 1]
    if not inputs:
        return None
    k, name = s.pick(*inputs), f"i{s.random.integers(10**6)}"
    op = s.pick("Identity", "Dropout", "Cast", "Flatten")
    given: dict[str, Any] = {"to": 1} if op == "Cast" else {}
    read = fields[k].content
    if not isinstance(read, bytes):
        return None
    made = helper.make_node(op, [read.decode(errors="replace")], [name], **given)
    fields = [*fields[:k], replace(fields[k], content=name.encode()), *fields[k + 1 :]]
    return put(
        t, where, [Entry(1, LENGTH, made.SerializeToString()), replace(node, content=fields)]
    )


def weighed(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A tensor of other numbers, another notation, another shape or another type."""
    found = owner(t, path, "TensorProto")
    if found is None:
        return None
    where, tensor, fields = found
    try:
        proto = TensorProto.FromString(s.dump(fields))
        values = numpy_helper.to_array(proto)
    except (DecodeError, ValidationError, ValueError, TypeError, KeyError):
        return None  # an earlier change has spoilt it
    match s.random.integers(8):
        case 0 | 1 if values.dtype == np.float32:
            values = values * s.random.normal(1, 0.3, values.shape).astype(np.float32)
        case 2:
            values = values.reshape(values.shape[::-1])
        case 3:
            values = np.moveaxis(values, 0, -1) if values.ndim else values.reshape(1)
        case 4:
            values = values.astype(s.pick(np.float64, np.int64, np.float32))
        case 0 | 1 | 2 if values.dtype == np.int64 and values.size:
            values = values.copy()
            k = int(s.random.integers(values.size))
            values.flat[k] = s.pick(*range(-3, 5), values.flat[k] + 1, 2**40, -(2**40), -(2**63))
        case 5 if values.ndim:
            values = values[::-1].copy()
        case 6 if values.ndim < 4:
            values = values[None]
        case _:
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            made = helper.make_tensor(proto.name, kind, values.shape, values.ravel().tolist())
            return put(t, where, [replace(tensor, content=tree(made.SerializeToString(), TENSOR))])
    made = numpy_helper.from_array(np.ascontiguousarray(values), proto.name)
    return put(t, where, [replace(tensor, content=tree(made.SerializeToString(), TENSOR))])


def versioned(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """Another IR version, operator set or domain."""
    opsets = [k for k, e in enumerate(t) if e.number == 8]
    match s.random.integers(4):
        case 0 if t and t[0].number == 1:
            return put(t, (0,), [replace(t[0], content=s.pick(3, 4, 7, 8, 9, 10, 11, 13, 14, 15))])
        case 1 | 2 if opsets and isinstance(t[opsets[0]].content, list):
            new = [Entry(2, VARINT, int(s.random.integers(6, 27)))]
            return put(t, (opsets[0],), [replace(t[opsets[0]], content=new)])
        case _:
            domain = s.pick(b"", b"ai.onnx", b"ai.onnx.ml", b"x")
            new = [Entry(1, LENGTH, domain), Entry(2, VARINT, int(s.random.integers(1, 22)))]
            return [*t, Entry(8, LENGTH, new)]
    return None


def described(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """A value with a description more, or a size with a name, or both."""
    found = owner(t, path, "Dimension")
    if found is not None and s.random.random() < 0.6:
        where, dim, fields = found
        name = Entry(2, LENGTH, s.pick(b"N", b"", b"H"))
        size = Entry(1, VARINT, s.pick(0, 1, 2, 3, -1))
        kept = fields if s.random.random() < 0.4 else []
        return put(t, where, [replace(dim, content=[*kept, s.pick(name, size)])])
    sizes = s.random.integers(1, 5, s.random.integers(4)).tolist()
    made = helper.make_tensor_value_info(
        s.text().decode(errors="replace"), s.pick(1, 1, 1, 2, 7), [s.pick(1, "N", None), *sizes]
    )
    return _in_graph(s, t, Entry(13, LENGTH, tree(made.SerializeToString(), VALUE)))


def commented(s: Spoiler, t: Tree, path: Path, entry: Entry) -> Tree | None:
    """Comments, metadata, names of nodes, unused constants: nothing that computes."""
    name = b"c%d" % s.random.integers(10**6)
    pair = [Entry(1, LENGTH, name), Entry(2, LENGTH, b"said")]
    match s.random.integers(5):
        case 0:
            return [*t, Entry(14, LENGTH, pair)]
        case 1:
            return [*t, Entry(6, LENGTH, b"said")]
        case 2:
            array = np.arange(int(s.random.integers(1, 5)), dtype=np.float32)
            tensor = numpy_helper.from_array(array, name.decode())
            return _in_graph(s, t, Entry(5, LENGTH, tensor.SerializeToString()))
        case 3:
            return _in_graph(s, t, Entry(16, LENGTH, pair))
        case _:
            found = owner(t, path, "NodeProto")
            if found is None:
                return None
            where, node, fields = found
            new = s.pick(Entry(9, LENGTH, pair), Entry(6, LENGTH, b"said"), Entry(3, LENGTH, name))
            return put(t, where, [replace(node, content=[*fields, new])])


def _in_graph(s: Spoiler, t: Tree, new: Entry) -> Tree | None:
    """A field more somewhere in the graph."""
    graphs = [k for k, e in enumerate(t) if e.number == 7 and isinstance(e.content, list)]
    if not graphs:
        return None
    fields = siblings(t, (graphs[0], 0))
    k = int(s.random.integers(len(fields) + 1))
    return rearranged(t, (graphs[0], 0), [*fields[:k], new, *fields[k:]])


MEANING: list[tuple[Change, float]] = [
    (attributed, 3.0), (typed, 0.5), (renamed, 3.0), (operated, 1.0), (inserted, 2.0),
    (weighed, 5.0), (versioned, 1.2), (described, 1.2), (commented, 3.0),
]  # fmt: skip
