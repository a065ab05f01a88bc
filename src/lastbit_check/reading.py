"""From the operators of a file to the normal form of its network.

Map: normal-form <- rewritten-sum-scale-hide, computed-once, written_execution,
as_written_execution, ieee_as_written, execution_exists, convolution_ideal, convolution_operands;
argued in docs/bound.md 2
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lastbit_check.files.declared import check_declared, image_sizes
from lastbit_check.files.operators import Elements, legal
from lastbit_check.network import Network, Node, Sum
from lastbit_check.onnxfile import OnnxGraph, Tensor
from lastbit_check.operators import FORMS, RULES
from lastbit_check.operators.linear import of_copied_totals, of_terms
from lastbit_check.operators.reading import Reader
from lastbit_check.operators.seen import Seen, image_shape, of_node
from lastbit_check.verdict import at, reading, require


def network_of(graph: OnnxGraph) -> Network:
    """The normal form. Raises Rejected (rules model.*) for what is not covered."""
    reader, elements = reader_of(graph), legal(graph, FORMS)
    for o in graph.operators:
        with at(o.name), reading(f"operator {o.name!r} of the ONNX file is malformed"):
            reader.read(o)
    return form_of(graph, reader, elements)


def reader_of(graph: OnnxGraph) -> Reader:
    """A reader that has the input and the constants, and no operator yet."""
    name, (batch, sizes) = graph.image.name, image_sizes(graph.image)
    image = of_node(Node(name, "input", (), image_shape(sizes)), sizes)
    reader = Reader(RULES, graph.opset, batch)
    for label, made in {name: image, **graph.constants}.items():
        reader.keep(label, made)
    return reader


def form_of(graph: OnnxGraph, reader: Reader, elements: Elements) -> Network:
    """The normal form of what was read; ``elements`` are the element types of all values."""
    sizes = {name: _dims(value, reader.batch) for name, value in reader.values.items()}
    check_declared(graph.declared, elements, sizes)
    image, last = reader.seen(graph.image.name).node, reader.seen(graph.output_name).node
    nodes = joined(_distinct(reader), reader.reads, last.name)
    found = [n.name for n in nodes if n.op == "softmax" or {*last.inputs} & {*n.inputs}]
    right = found == [last.name] == [nodes[-1].name] and last.op == "softmax"
    right = right and last.inputs != (image.name,) and nodes[0].name == image.name
    require(right, "model.output", "no single final softmax of logits that nothing else reads")
    return Network((*nodes,))


def _dims(value: Seen | Tensor, batch: int | None) -> tuple[int | None, ...]:
    """The sizes of a tensor of the file, whose batch the normal form leaves out."""
    return (batch, *value.sizes) if isinstance(value, Seen) else value.shape


def _distinct(reader: Reader) -> list[Node]:
    """Every node once, in file order: what only renames or reshapes makes none of its own."""
    nodes = [made.node for made in reader.values.values() if isinstance(made, Seen)]
    return [*{node.name: node for node in nodes}.values()]


def joined(nodes: list[Node], reads: Mapping[str, Sequence[str]], last: str) -> list[Node]:
    """Sums join the sum that adds a copy of them, if nothing else reads them (docs/bound.md, 2).

    A total of totals has the terms of these, whoever else reads them.
    Who reads a sum is said by the file: ``reads`` has what the operator of each node does. What
    multiplies an Add by a constant, say, has its terms, but does not read them.
    """
    found, wanted = {node.name: node for node in nodes}, read_by(reads, last)
    read = Counter(name for node in wanted for name in reads.get(node, ()))
    for node in nodes:
        if node.sum is None:
            continue
        joined_sum = Sum((), node.sum.constants)
        for part in node.sum.parts:
            told = "of totals put side by side, which a runtime may make one reduction"
            require(not of_copied_totals(part, node, found), "model.operator", told, node.name)
            inner = found[part.source].sum
            alone = read[part.source] == 1 and part.view is None
            if part.copies and inner is not None and alone:
                for factor in part.factors:
                    inner = inner.scaled(factor)
            else:
                inner = Sum((of_terms(part, node, found[part.source]),))
            joined_sum = joined_sum.plus(inner)
        inputs = tuple(part.source for part in joined_sum.parts)
        found[node.name] = replace(node, sum=joined_sum, inputs=inputs)
    wanted = read_by({name: node.inputs for name, node in found.items()}, last)
    return [node for node in found.values() if node.name in wanted]


def read_by(reads: Mapping[str, Sequence[str]], last: str) -> set[str]:
    """The nodes that ``last`` depends on, and itself."""
    wanted = {last}
    for name in reversed([*reads]):
        if name in wanted:
            wanted.update(reads[name])
    return wanted
