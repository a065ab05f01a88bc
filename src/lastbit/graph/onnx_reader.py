"""From an ONNX file to the normal form.

Three passes: `names` of everything that is the same value under another name (Identity, Cast,
Flatten, ...) and how often each value is used; a table from operator to the function that turns it
into a node, which also joins what belongs together (convolution and batch norm, x * sigmoid(x));
and the end of the graph. What is unsupported is collected, and reported all at once.
"""

from collections import Counter
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto

from lastbit.errors import ModelError, UnsupportedOperatorError
from lastbit.graph.network import Input, Network, Shape, Softmax
from lastbit.graph.onnx_building import Building, LostError, UnsupportedError, Value
from lastbit.graph.onnx_file import (
    OnnxFile,
    check_nodes,
    check_validity,
    one_reading,
    parse,
    read_onnx_file,
)
from lastbit.graph.onnx_operators import ALIASES, OPERATORS
from lastbit_check.files.declared import check_declared
from lastbit_check.files.operators import legal


def read_onnx(path: str | Path) -> Network:
    """The network of an ONNX file, in normal form.

    The file has one input, uint8 [N, C, H, W] with N symbolic or 1, and one output, the result of
    a Softmax over the classes.

    Raises:
        ModelError: the file is not a valid ONNX model of that kind, its weights are not finite, or
            two readers may understand it differently (the rules of docs/certificate.md).
        UnsupportedOperatorError: all operators that have no place in the normal form.
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
    building = _building(file)
    if unknown:
        check_nodes(
            file, [index for index in range(len(file.model.graph.node)) if index not in unknown]
        )
    else:
        check_validity(file)
    try:
        nodes_unsupported = _build(building)
    except ModelError:
        # With unknown operators the file was not checked; they are what the reader must hear of.
        if not unknown:
            raise
        nodes_unsupported = {}
    unsupported = unknown | nodes_unsupported
    if unsupported:
        raise _unsupported(unsupported, path)
    _check_meaning(building)
    return _finish(building)


Listed = dict[int, tuple[str, str]]
"""Operators and names of nodes, by position."""


def _unsupported(found: Listed, path: Path) -> UnsupportedOperatorError:
    return UnsupportedOperatorError([found[index] for index in sorted(found)], where=str(path))


def _node_name(node: NodeProto, index: int) -> str:
    """A node's own name, or that of its output where it has none."""
    return node.name or next(iter(node.output), f"number {index}")


def _unknown_operators(model: ModelProto) -> Listed:
    """Every operator outside the tables."""
    known = ALIASES | OPERATORS.keys() | {"Constant"}
    found: Listed = {}
    for index, node in enumerate(model.graph.node):
        if node.domain not in ("", "ai.onnx"):
            found[index] = (f"{node.domain}.{node.op_type}", _node_name(node, index))
        elif node.op_type not in known:
            found[index] = (node.op_type, _node_name(node, index))
    return found


def _check_meaning(b: Building) -> None:
    """Operands, attributes and declared shapes have one meaning, or the checker refuses them."""
    batch = None if b.batch_is_symbolic else 1
    shapes = {name: (batch, *value.dims) for name, value in b.values.items()}
    with one_reading(b.file.path):
        check_declared(b.file.graph.declared, legal(b.file.graph), shapes)


def _building(file: OnnxFile) -> Building:
    name, shape, symbolic = _image_input(file)
    return Building(
        file=file,
        nodes={name: Input(name, shape)},
        values={name: Value(name, shape, is_bytes=True)},
        uses=_uses(file),
        batch_is_symbolic=symbolic,
    )


def _uses(file: OnnxFile) -> Counter[str]:
    """How many operators read each value, whatever name they read it under."""
    same_as: dict[str, str] = {}
    uses: Counter[str] = Counter()
    for node in file.model.graph.node:
        if node.op_type in ALIASES and node.input and node.output:
            same_as[node.output[0]] = same_as.get(node.input[0], node.input[0])
        else:
            uses.update(same_as.get(name, name) for name in node.input)
    uses.update(same_as.get(output.name, output.name) for output in file.model.graph.output)
    return uses


def _image_input(file: OnnxFile) -> tuple[str, Shape, bool]:
    """Name and (C, H, W) of the one input, and whether its batch axis is symbolic."""
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
    return name, (channels, height, width), sizes[0] is None


def _shown(dims: list[int | None]) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


def _type_name(number: int | None) -> str:
    if number and number not in TensorProto.DataType.values():
        return f"of the unknown type {number}"
    return TensorProto.DataType.Name(number).lower() if number else "no tensor"


def _build(building: Building) -> Listed:
    """Fill `building.nodes`; return what is unsupported in its place, by position."""
    unsupported: Listed = {}
    for index, node in enumerate(building.file.model.graph.node):
        if node.op_type == "Constant":
            continue
        convert = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if convert is None:
            building.lost.update(node.output)
            continue
        try:
            convert(building, node)
        except LostError:
            building.lost.update(node.output)
        except UnsupportedError as reason:
            unsupported[index] = (f"{node.op_type} {reason}", _node_name(node, index))
            building.lost.update(node.output)
    return unsupported


def _finish(building: Building) -> Network:
    file = building.file
    output = file.model.graph.output[0].name
    where = f"{file.path}, output {output!r}"
    last = building.nodes[building.values[output].node] if output in building.values else None
    if not isinstance(last, Softmax):
        raise ModelError(
            "the model does not end in a Softmax",
            where=where,
            fix="export the model with its Softmax: the statement is about probabilities",
        )
    if last.shape[0] < 2:
        raise ModelError("the Softmax has fewer than two classes", where=where)
    read = {name for node in building.nodes.values() for name in node.inputs}
    unused = [name for name in building.nodes if name not in read and name != last.name]
    if unused or last.name in read:
        raise ModelError(
            f"computed but never used: {', '.join(unused)}" if unused else "Softmax is not last",
            where=str(file.path),
            fix="remove what the output does not depend on",
        )
    nodes = tuple(building.nodes.values())
    return Network(nodes, nodes[0].shape, last.name, file.sha256)
