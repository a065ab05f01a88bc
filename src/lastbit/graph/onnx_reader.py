"""From an ONNX file to a network, by the checker's own reader.

The checker reads the operators, one after the other, and says of each whether it is covered; what
is not is collected, and reported all at once. What it accepts becomes a node each
(`lastbit.operators`). The ONNX library looks at the file first, because it says in more words what
is wrong with one that no program reads.
"""

from collections.abc import Iterator
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto

from lastbit.errors import ModelError, UnsupportedOperatorError
from lastbit.graph.network import Network
from lastbit.graph.onnx_file import (
    OnnxFile,
    check_nodes,
    check_validity,
    one_reading,
    parse,
    read_onnx_file,
)
from lastbit.operators import READERS, Input, Node, Read
from lastbit.operators.base import Shape
from lastbit_check.files.operators import legal
from lastbit_check.network import Node as NormalNode
from lastbit_check.onnxfile import Operator
from lastbit_check.operators import FORMS, RULES
from lastbit_check.reading import form_of, reader_of
from lastbit_check.verdict import Rejected, Unreadable, reading


def read_onnx(path: str | Path) -> Network:
    """The network of an ONNX file.

    The file has one input, uint8 [N, C, H, W] with N symbolic or 1, and one output, the result of
    a Softmax over the classes.

    Raises:
        ModelError: the file is not a valid ONNX model of that kind, its weights are not finite, or
            two readers may understand it differently (the rules of docs/certificate.md).
        UnsupportedOperatorError: all operators that the checker has no rule for.
    """
    path = Path(path)
    model, content = parse(path)
    unknown = _unknown_operators(model)
    try:
        file = read_onnx_file(path, model, content)
    except ModelError as error:
        if unknown:  # they are what has to be changed first
            raise _unsupported(unknown, path) from error
        raise
    name, shape = _image_input(file)
    if unknown:
        check_nodes(
            file, [index for index in range(len(file.model.graph.node)) if index not in unknown]
        )
    else:
        check_validity(file)
    found = _Reading(file, name, shape)
    unsupported = unknown | found.unsupported
    if unsupported:
        raise _unsupported(unsupported, path)
    _check_output(found, file)
    with one_reading(path):
        form = form_of(file.graph, found.reader, legal(file.graph, FORMS))
    nodes = tuple(found.needed())
    return Network(nodes, shape, nodes[-1].name, file.sha256, form)


NOT_COVERED = ("model.operator", "model.graph", "model.shape")
Listed = dict[int, tuple[str, str]]
"""Operators and names of nodes, by position."""


class _Reading:
    """Every operator that the checker covers as a node, and what it does not cover."""

    def __init__(self, file: OnnxFile, image: str, shape: Shape) -> None:
        self.path = file.path
        self.nodes: dict[str, Node] = {image: Input(image, shape, ())}
        self.unsupported: Listed = {}
        self.lost = set[str]()
        self.reader = reader_of(file.graph)
        for index, operator in enumerate(file.graph.operators):
            self._read(index, operator, file.model.graph.node[index])

    def _read(self, index: int, o: Operator, node: NodeProto) -> None:
        if o.op not in RULES:
            self.lost.update(node.output)
            return
        try:
            with reading(f"operator {o.name!r} of the ONNX file is malformed"):
                self.reader.read(o)
        except Rejected as error:
            self.lost.update(node.output)
            if error.rule == "model.graph" and self.lost.intersection(o.inputs):
                return
            if error.rule not in NOT_COVERED:
                with one_reading(self.path, _node_name(node, index)):
                    raise
            self.unsupported[index] = (f"{o.op} {error.message}", _node_name(node, index))
            return
        except Unreadable as error:
            raise ModelError(str(error), where=str(self.path)) from error
        made = self.reader.values[o.name]
        if o.op in READERS and isinstance(made, NormalNode):
            values = (self.reader.values[name] for name in o.inputs if name)
            names = tuple(value.name for value in values if isinstance(value, NormalNode))
            self.nodes[o.name] = READERS[o.op](Read(o, names, made, self.reader))

    def needed(self) -> Iterator[Node]:
        """What the answer depends on: a sigmoid that only makes a SiLU is a part of that."""
        wanted = {[*self.nodes][-1]}
        for node in reversed(self.nodes.values()):
            if node.name in wanted:
                wanted.update(node.inputs)
        return (node for node in self.nodes.values() if node.name in wanted)


def _check_output(found: _Reading, file: OnnxFile) -> None:
    output = file.graph.output_name
    where = f"{file.path}, output {output!r}"
    value = found.reader.values.get(output)
    if not isinstance(value, NormalNode) or value.op != "softmax":
        raise ModelError(
            "the model does not end in a Softmax",
            where=where,
            fix="export the model with its Softmax: the statement is about probabilities",
        )


def _unsupported(found: Listed, path: Path) -> UnsupportedOperatorError:
    return UnsupportedOperatorError([found[index] for index in sorted(found)], where=str(path))


def _node_name(node: NodeProto, index: int) -> str:
    """A node's own name, or that of its output where it has none."""
    return node.name or next(iter(node.output), f"number {index}")


def _unknown_operators(model: ModelProto) -> Listed:
    """Every operator outside the table."""
    found: Listed = {}
    for index, node in enumerate(model.graph.node):
        if node.domain not in ("", "ai.onnx"):
            found[index] = (f"{node.domain}.{node.op_type}", _node_name(node, index))
        elif node.op_type not in RULES:
            found[index] = (node.op_type, _node_name(node, index))
    return found


def _image_input(file: OnnxFile) -> tuple[str, Shape]:
    """Name and (C, H, W) of the one input."""
    name, element, dims = file.graph.image
    fix = "export a model that reads uint8 [N, C, H, W] and divides by 255 itself"
    where = f"{file.path}, input {name!r}"
    if element != TensorProto.UINT8:
        raise ModelError(f"the input is {_type_name(element)}, not uint8", where=where, fix=fix)
    sizes = [size if isinstance(size, int) else None for size in dims or ()]
    if len(sizes) != 4 or sizes[0] not in (None, 1):
        raise ModelError(f"the input has shape {_shown(sizes)}", where=where, fix=fix)
    _, channels, height, width = sizes
    if not (channels and height and width):
        raise ModelError(f"the input has shape {_shown(sizes)}", where=where, fix=fix)
    return name, (channels, height, width)


def _shown(dims: list[int | None]) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


def _type_name(number: int | None) -> str:
    if number and number not in TensorProto.DataType.values():
        return f"of the unknown type {number}"
    return TensorProto.DataType.Name(number).lower() if number else "no tensor"
