"""From an ONNX file to one of a single output, with nothing outside of it.

What is computed stays what it was, operator by operator. What does not bear on the output is left
out: labels made of probabilities, beside them. Weights that lie in another file are put inside.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from lastbit.errors import ModelError, UsageError
from lastbit.graph.answers import files_of_weights, how_to_import, unzipped
from lastbit.graph.onnx_file import parse

LEARNING = "ai.onnx.ml"
LEAST_VERSION = 4  # of the file format: from then on a constant is not an input as well


def single_output(path: Path, keep: str | None) -> tuple[ModelProto, str]:
    """The model that computes one value of a file, and the SHA-256 of what was read.

    Where weights lie in other files, it is that of all files, one after the other.

    Args:
        path: an ONNX file.
        keep: the name of the value; None where the file has one output. Of a ZipMap it is what
            that reads.

    Raises:
        ModelError: not an ONNX file, files of weights are missing, or several outputs.
        UsageError: there is no value of that name.
    """
    model, content = parse(path)
    digest = hashlib.sha256(content)
    for part in files_of_weights(model):
        digest.update(_beside(part, path))
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise ModelError(f"weights in another file: {error}", where=str(path)) from error
    model = onnx.inliner.inline_local_functions(model) if model.functions else model
    if keep is None and len(model.graph.output) != 1:
        names = ", ".join(value.name for value in model.graph.output)
        raise ModelError(f"the model has {len(model.graph.output)} outputs: {names}",
                         where=str(path), fix=how_to_import(model, path))  # fmt: skip
    _tidy(model)
    name = keep or model.graph.output[0].name
    _keep(model, unzipped(model).get(name, name), path)
    _scale_by_operators(model.graph)
    _with_shape(model)
    return model, digest.hexdigest()


def _beside(part: str, path: Path) -> bytes:
    """The content of a file of weights, which lies where the model does, or below."""
    name = PurePosixPath(part)
    if name.is_absolute() or ".." in name.parts or "\\" in part:
        raise ModelError(f"weights in the file {part!r}, which is not beside it", where=str(path),
                         fix="put it beside the model, and export again")  # fmt: skip
    try:
        return (path.parent / name).read_bytes()
    except OSError as error:
        raise ModelError(
            f"the weights are in the file {part!r}, which cannot be read: {error.strerror}",
            where=str(path),
            fix="put it beside the model, under this name",
        ) from error


def _tidy(model: ModelProto) -> None:
    """Without inputs that have a value, and with each set of operators named once."""
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, LEAST_VERSION)
    sets = {entry.domain: entry.version for entry in model.opset_import}
    if all(sets[entry.domain] == entry.version for entry in model.opset_import):
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*each) for each in sets.items())


def _keep(model: ModelProto, name: str, path: Path) -> None:
    """Only what the value depends on."""
    graph = model.graph
    made = {output: node for node in graph.node for output in node.output if output}
    if name not in made:
        known = [value.name for value in graph.output]
        raise UsageError(f"there is no value {name!r} that the model computes",
                         where=str(path), fix=f"its outputs are {', '.join(known)}")  # fmt: skip
    wanted, needed = [name], set[str]()
    while wanted:
        value = wanted.pop()
        if value not in needed:
            needed.add(value)
            wanted += _reads(made[value]) if value in made else []
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    inputs = [value for value in graph.input if value.name in needed]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    values = [value for value in graph.value_info if value.name in needed - {name}]
    told = {value.name: value for value in [*graph.value_info, *graph.output]}
    del graph.input[:], graph.node[:], graph.initializer[:], graph.value_info[:], graph.output[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    graph.value_info.extend(values)
    graph.output.append(told.get(name) or ValueInfoProto(name=name))


def _reads(node: NodeProto) -> list[str]:
    """The values that a node reads, those of the graphs inside it, too."""
    inner = [part for a in node.attribute for part in ([a.g] if a.HasField("g") else a.graphs)]
    return [*node.input, *(name for part in inner for each in part.node for name in _reads(each))]


def _scale_by_operators(graph: GraphProto) -> None:
    """Scaler, which scikit-learn's scalers become, is defined as (x - offset) scale."""
    nodes = list[NodeProto]()
    for node in graph.node:
        if (node.domain, node.op_type) != (LEARNING, "Scaler"):
            nodes.append(node)
            continue
        (x,), (y,) = node.input, node.output
        for name, op, read, made in (("offset", "Sub", x, f"{y}.centred"),
                                     ("scale", "Mul", f"{y}.centred", y)):  # fmt: skip
            values = next((a.floats for a in node.attribute if a.name == name), ())
            constant = f"{y}.{name}"
            graph.initializer.append(
                helper.make_tensor(constant, TensorProto.FLOAT, [len(values)], values)
            )
            nodes.append(helper.make_node(op, [read, constant], [made]))
    del graph.node[:]
    graph.node.extend(nodes)


def _with_shape(model: ModelProto) -> None:
    """The output as the ONNX library infers it, where nothing was said of it."""
    (last,) = model.graph.output
    if not last.HasField("type"):
        known = onnx.shape_inference.infer_shapes(model).graph.output[0]
        no_one_knows = helper.make_tensor_value_info(last.name, TensorProto.FLOAT, [None, None])
        last.CopyFrom(known if known.type.tensor_type.HasField("shape") else no_one_knows)
