"""A model as one file from bytes to probabilities, with what its question has before and after."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lastbit.asked import Asked, Model
from lastbit.errors import UsageError
from lastbit.graph.onnx_reader import read_onnx
from lastbit_check.asked import asked
from lastbit_check.onnxfile import OnnxGraph, Operator, read
from lastbit_check.reading import reader_of


@contextmanager
def bytes_to_probabilities(model: Model) -> Iterator[Path]:
    """A file that reads bytes and returns probabilities: the model's own, if it is one.

    Raises:
        ModelError: the model cannot be read.
        UsageError: its inputs are not made of bytes.
    """
    network = read_onnx(model)
    if network.question.box:
        raise UsageError(
            "the inputs of this model are not made of bytes",
            where=str(model),
            fix="say how with --pixels, for instance --pixels unit",
        )
    if not network.question.pixels and not network.logits_out:
        yield Path(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(model).name
        path.write_bytes(whole_file(Asked(Path(model), network.question)))
        yield path


def whole_file(model: Asked) -> bytes:
    """The model's file with the question's operators in it."""
    proto = onnx.load(model)
    graph = asked(read(model.path.read_bytes()), model.question)
    held = {tensor.name for tensor in proto.graph.initializer}
    nodes = [
        proto.graph.node[o.at] if o.at >= 0 else _node(o) for o in graph.operators if not o.output
    ]
    new = [numpy_helper.from_array(np.array(v), k) for k, v in graph.constants.items()
           if k not in held]  # fmt: skip
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(new)
    _with_ends(proto, graph)
    return proto.SerializeToString(deterministic=True)


def _with_ends(proto: onnx.ModelProto, graph: OnnxGraph) -> None:
    """The graph's input and output, where they are the question's."""
    reader = reader_of(graph)
    for o in graph.operators:
        reader.read(o)
    sizes = [(graph.image.dims or (None,))[0], *reader.seen(graph.output_name).sizes]
    name, element, dims = graph.image
    if proto.graph.input[0].name != name:
        del proto.graph.input[:]
        proto.graph.input.append(helper.make_tensor_value_info(name, element or 0, dims))
    if proto.graph.output[0].name != graph.output_name:
        del proto.graph.output[:]
        proto.graph.output.append(
            helper.make_tensor_value_info(graph.output_name, TensorProto.FLOAT, sizes)
        )


def _node(o: Operator) -> onnx.NodeProto:
    attributes: dict[str, Any] = o.attributes
    return helper.make_node(o.op, [*o.inputs], [o.name], o.name, **attributes)
