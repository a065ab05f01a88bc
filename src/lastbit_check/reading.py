"""From the operators of a file to the normal form of its network."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from lastbit_check.files.declared import check_declared, image_shape
from lastbit_check.files.operators import legal
from lastbit_check.network import Network, Node, Sum
from lastbit_check.onnxfile import OnnxGraph, Tensor
from lastbit_check.operators import RULES
from lastbit_check.operators.reading import Reader
from lastbit_check.verdict import at, reading, require


def network_of(graph: OnnxGraph) -> Network:
    """The normal form. Raises Rejected (rules model.*) for what is not covered."""
    name, (batch, *shape) = graph.image.name, image_shape(graph.image)
    image, reader = Node(name, "input", (), (shape[0], shape[1], shape[2])), Reader(RULES)
    elements = legal(graph)
    for label, made in {image.name: image, **graph.constants}.items():
        reader.keep(label, made)
    for o in graph.operators:
        with at(o.name), reading(f"operator {o.name!r} of the ONNX file is malformed"):
            reader.read(o)
    check_declared(graph.declared, elements, {k: _dims(v, batch) for k, v in reader.values.items()})
    last = reader.node(graph.output_name)
    nodes = joined(read_by(_distinct(reader), last.name))
    found = [n.name for n in nodes if n.op == "softmax" or {*last.inputs} & {*n.inputs}]
    right = found == [last.name] == [nodes[-1].name] and last.op == "softmax"
    right = right and last.inputs != (image.name,) and nodes[0].name == image.name
    require(right, "model.output", "no single final softmax of logits that nothing else reads")
    return Network((*nodes,))


def _dims(value: Node | Tensor, batch: int | None) -> tuple[int | None, ...]:
    """The sizes of a tensor of the file, whose batch the normal form leaves out."""
    if isinstance(value, Node):
        return (batch, *value.shape[: value.rank - 1])
    return value.shape


def _distinct(reader: Reader) -> list[Node]:
    """Every node once, in file order: what only renames or reshapes makes none of its own."""
    nodes = [made for made in reader.values.values() if isinstance(made, Node)]
    return [*{node.name: node for node in nodes}.values()]


def read_by(nodes: list[Node], last: str) -> list[Node]:
    """Those that ``last`` depends on, and itself."""
    wanted = {last}
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
    return [node for node in nodes if node.name in wanted]


def joined(nodes: list[Node]) -> list[Node]:
    """Sums join the sum that adds a copy of them, if nothing else reads them (docs/bound.md, 2)."""
    found = {node.name: node for node in nodes}
    read = Counter(name for node in nodes for name in node.inputs)
    for node in nodes:
        if node.sum is None:
            continue
        joined_sum = Sum((), node.sum.constants)
        for part in node.sum.parts:
            inner = found[part.source].sum
            if part.copies and inner is not None and read[part.source] == 1:
                for factor in part.factors:
                    inner = inner.scaled(factor)
                del found[part.source]
            else:
                inner = Sum((part,))
            joined_sum = joined_sum.plus(inner)
        inputs = tuple(part.source for part in joined_sum.parts)
        found[node.name] = replace(node, sum=joined_sum, inputs=inputs)
    return [*found.values()]
