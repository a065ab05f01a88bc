"""From an ONNX file to a network, by the checker's own reader.

The checker reads the operators, one after the other, and says of each whether it is covered; what
is not is collected, and reported all at once. What it accepts becomes a node each
(`lastbit.operators`). The ONNX library looks at the file first, because it says in more words what
is wrong with one that no program reads.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto

from lastbit.asked import Model, question_of
from lastbit.errors import ModelError, UnsupportedOperatorError
from lastbit.graph.answers import files_of_weights, how_to_import, inputs_of
from lastbit.graph.network import Network
from lastbit.graph.onnx_file import (
    OnnxFile,
    check_nodes,
    check_validity,
    model_error,
    one_reading,
    parse,
    read_onnx_file,
    sizes_in,
)
from lastbit.operators import READERS, Input, Node, Read
from lastbit_check.asked import ENDS, PROBABILITIES, asked as asked_of
from lastbit_check.files.operators import legal
from lastbit_check.network import Node as NormalNode
from lastbit_check.onnxfile import OnnxGraph, Operator
from lastbit_check.operators import FORMS, RULES
from lastbit_check.operators.seen import Seen, of_node, shape_of
from lastbit_check.question import Question
from lastbit_check.reading import form_of, reader_of
from lastbit_check.verdict import Rejected, Unreadable, reading


def read_onnx(path: Model) -> Network:
    """The network of an ONNX file, from the inputs of a question to probabilities.

    The file has one input, [N, ...] with N symbolic or 1, uint8 or float32, and one output:
    probabilities, or logits, of which softmax is the question's.

    Raises:
        ModelError: the file is not a valid ONNX model of that kind, its weights are not finite, or
            two readers may understand it differently (the rules of docs/certificate.md).
        UnsupportedOperatorError: all operators that the checker has no rule for.
    """
    where = Path(path)
    model, content = parse(where)
    _check_interface(model, where)
    unknown = _unknown_operators(model)
    try:
        file = read_onnx_file(where, model, content)
    except ModelError as error:
        if unknown:  # they are what has to be changed first
            raise _unsupported(unknown, where) from error
        raise
    question = question_of(path, file.graph)
    _check_input(file, question)
    if unknown:
        check_nodes(
            file, [index for index in range(len(file.model.graph.node)) if index not in unknown]
        )
    else:
        check_validity(file)
    with one_reading(where):
        graph = asked_of(file.graph, question)
        found = _Reading(file, graph, question)
    of_question = found.unsupported.pop(NOT_IN_THE_FILE, None)
    if of_question and not of_question[0].startswith("Softmax"):
        fix = "one number, or one for each channel"
        raise ModelError(f"the steps to pixels do not fit: {of_question[0]}", where=str(where),
                         fix=fix)  # fmt: skip
    unsupported = unknown | found.unsupported
    if unsupported:
        raise _unsupported(unsupported, where)
    if found.broken:
        raise found.broken
    _check_output(found, file, graph, of_question)
    with one_reading(where):
        form = form_of(graph, found.reader, legal(graph, FORMS))
    nodes = tuple(found.needed())
    logits_out = PROBABILITIES == graph.output_name != file.graph.output_name
    return Network(nodes, nodes[0].shape, nodes[-1].name, file.sha256, form, question, logits_out)


NOT_IN_THE_FILE = -1  # in the place of an operator's number: it is the question's
NOT_COVERED = ("model.operator", "model.graph", "model.shape")
Listed = dict[int, tuple[str, str]]
"""Operators and names of nodes, by position."""


class _Reading:
    """Every operator that the checker covers as a node, and what it does not cover."""

    def __init__(self, file: OnnxFile, graph: OnnxGraph, question: Question) -> None:
        self.path, self.model, self.of_file = file.path, file.model, file.model.graph.node
        self.reader = reader_of(graph)
        image = self.reader.seen(graph.image.name).node
        ends = question.box or (0.0, 255.0)
        self.nodes: dict[str, Node] = {image.name: Input(image.name, image.shape, (), *ends)}
        self.unsupported: Listed = {}
        self.broken: ModelError | None = None
        self.lost = set[str]()
        for operator in graph.operators:
            self._read(operator)

    def _read(self, o: Operator) -> None:
        label = o.name if o.at < 0 else _node_name(self.of_file[o.at], o.at)
        if o.op not in RULES:
            self._lose(o)
            return
        try:
            with reading(f"operator {o.name!r} of the ONNX file is malformed"):
                self.reader.read(o)
        except Rejected as error:
            of_lost = error.rule == "model.graph" and self.lost.intersection(o.inputs)
            self._lose(o)
            if of_lost:
                return
            if error.rule in NOT_COVERED:
                self.unsupported[o.at] = (f"{o.op} {error.message}", label)
            else:
                self.broken = self.broken or model_error(error, self.path, label)
            return
        except Unreadable as error:
            raise ModelError(str(error), where=str(self.path)) from error
        made = self.reader.values.get(o.name)
        if o.op in READERS and isinstance(made, Seen) and made.node.name == o.name:
            values = (self.reader.values.get(name) for name in o.inputs)
            sources = tuple(value for value in values if isinstance(value, Seen))
            self.nodes[o.name] = READERS[o.op](Read(o, sources, made.node, self.reader))

    def _lose(self, o: Operator) -> None:
        """Read on, if possible, as if the operator made an input: to find what else is refused."""
        sizes = self.sizes.get(o.name)
        if sizes is None:
            self.lost.add(o.name)
        else:
            node = NormalNode(o.name, "input", (), shape_of(sizes))
            self.reader.values[o.name] = of_node(node, sizes)

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """What the ONNX library takes the sizes of values for."""
        return sizes_in(self.model)

    def needed(self) -> Iterator[Node]:
        """What the answer depends on: a sigmoid that only makes a SiLU is a part of that."""
        wanted = {[*self.nodes][-1]}
        for node in reversed(self.nodes.values()):
            if node.name in wanted:
                wanted.update(node.inputs)
        return (node for node in self.nodes.values() if node.name in wanted)


def _check_output(
    found: _Reading, file: OnnxFile, graph: OnnxGraph, reason: tuple[str, str] | None
) -> None:
    value = found.reader.values.get(graph.output_name)
    if not isinstance(value, Seen) or value.node.op != "softmax":
        said = f": {reason[0]}" if reason else ""
        raise ModelError(
            f"the model returns neither probabilities by Softmax nor logits{said}",
            where=f"{file.path}, output {file.graph.output_name!r}",
            fix="export the model with its logits, or with their Softmax",
        )


def _unsupported(found: Listed, path: Path) -> UnsupportedOperatorError:
    return UnsupportedOperatorError([found[index] for index in sorted(found)], where=str(path))


def _node_name(node: NodeProto, index: int) -> str:
    """A node's own name, or that of its output where it has none."""
    return node.name or next(iter(node.output), f"number {index}")


def _unknown_operators(model: ModelProto) -> Listed:
    """Every operator outside the table, but for those after the logits."""
    found: Listed = {}
    last = _last(model)
    for index, node in enumerate(model.graph.node):
        if node is last and node.op_type in ENDS:
            continue
        if node.domain not in ("", "ai.onnx"):
            found[index] = (f"{node.domain}.{node.op_type}", _node_name(node, index))
        elif node.op_type not in RULES:
            found[index] = (f"{node.op_type}", _node_name(node, index))
    return found


def _last(model: ModelProto) -> NodeProto | None:
    """What makes the answer, of which there may be copies."""
    made = {name: node for node in model.graph.node for name in node.output}
    last = made.get(model.graph.output[0].name)
    for _ in model.graph.node:
        if last and last.op_type in ("Cast", "Identity") and last.input:
            last = made.get(last.input[0])
    return last


def _check_interface(model: ModelProto, path: Path) -> None:
    """One input, one output and one file: which of several is the answer, no reader can know."""
    sources, made = inputs_of(model), [value.name for value in model.graph.output]
    if len(sources) != 1:
        raise ModelError(
            f"the model has {len(sources)} inputs{_listed(sources)}",
            where=str(path),
            fix="export a model that reads one image, and nothing else",
        )
    if len(made) != 1:
        raise ModelError(
            f"the model has {len(made)} outputs{_listed(made)}",
            where=str(path),
            fix=how_to_import(model, path),
        )
    if outside := files_of_weights(model):
        raise ModelError(
            f"weights lie in files that the model's SHA-256 does not cover{_listed(outside)}",
            where=str(path),
            fix=how_to_import(model, path),
        )
    (answer,), last = model.graph.output, _last(model)
    element = answer.type.tensor_type.elem_type
    if element not in (0, TensorProto.FLOAT) and not (last and last.op_type == "ArgMax"):
        raise ModelError(
            f"the output is {_type_name(element)}, and so neither probabilities nor logits",
            where=f"{path}, output {answer.name!r}",
            fix=how_to_import(model, path, another=True),
        )


def _listed(names: list[str]) -> str:
    return f": {', '.join(names)}" if names else ""


def _check_input(file: OnnxFile, question: Question) -> None:
    """In more words than the checker's: what the one input is, and what is said of it."""
    name, element, dims = file.graph.image
    where = f"{file.path}, input {name!r}"
    fix = "export a model that reads uint8 or float32 [N, ...], N symbolic or 1, other sizes fixed"
    if element not in (TensorProto.UINT8, TensorProto.FLOAT):
        raise ModelError(f"the input is {_type_name(element)}", where=where, fix=fix)
    if element == TensorProto.UINT8 and (question.pixels or question.box):
        raise ModelError(
            "the model reads bytes, and makes its pixels of them itself",
            where=where,
            fix="leave --pixels and --box out",
        )
    if element == TensorProto.FLOAT and not (question.pixels or question.box):
        fix = "say what they are: --pixels unit for bytes / 255, or --box LOW,HIGH"
        raise ModelError("the model reads float32 numbers", where=where, fix=fix)
    sizes = [size if isinstance(size, int) else None for size in dims or ()]
    if len(sizes) < 2 or sizes[0] not in (None, 1) or None in sizes[1:]:
        raise ModelError(f"the input has shape {_shown(sizes)}", where=where, fix=fix)


def _shown(dims: list[int | None]) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


def _type_name(number: int | None) -> str:
    if number and number not in TensorProto.DataType.values():
        return f"of the unknown type {number}"
    return TensorProto.DataType.Name(number).lower() if number else "no tensor"
