"""From a path to a valid ONNX model whose constants are finite NumPy arrays.

What the file says is read by the checker (`lastbit_check.onnxfile`), which refuses by name what two
readers may understand differently. The ONNX library says what else is wrong, in its own words.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from lastbit.errors import ModelError
from lastbit_check.files.operators import OPSETS
from lastbit_check.onnxfile import OnnxGraph, Tensor, read
from lastbit_check.verdict import Rejected, Unreadable

_FIRST_BYTE = b"\x08"
"""Every ONNX file that tools write begins with the tag of `ir_version`."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A parsed model.

    Attributes:
        model: as the ONNX library reads it; not yet checked.
        graph: as the checker reads it.
        sha256: see `Network.sha256`.
    """

    path: Path
    model: ModelProto
    graph: OnnxGraph
    sha256: str


def parse(path: Path) -> tuple[ModelProto, bytes]:
    """The model as the ONNX library parses it, and the content of the file.

    Raises:
        ModelError: not a file, not ONNX, or truncated.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            "no such model file", where=str(path), fix="give the path of an .onnx file"
        ) from None
    except OSError as error:
        raise ModelError(f"cannot read the model: {error.strerror}", where=str(path)) from error
    fix = "export the model again, or copy the whole file"
    if not content:
        raise ModelError("the model file is empty", where=str(path), fix=fix)
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        what = "not an ONNX file"
        if content.startswith(_FIRST_BYTE):
            what = f"truncated or damaged{_named(content)}"
        raise ModelError(what, where=str(path), fix=fix) from error
    if not model.ir_version or not model.graph.node:
        what = "truncated: it has no graph" if model.ir_version else "not an ONNX file"
        raise ModelError(what, where=str(path), fix=fix)
    return model, content


def _named(content: bytes) -> str:
    """The rule by which the checker refuses what the ONNX library cannot parse."""
    try:
        read(content)
    except Rejected as error:
        return f" (rule {error.rule}: {error.message})"
    except Unreadable:
        pass
    return ""


def read_onnx_file(path: Path, model: ModelProto, content: bytes) -> OnnxFile:
    """The content as the checker reads it.

    Raises:
        ModelError: two readers may understand it differently, it is of an operator set that is not
            covered, or a constant holds a NaN or an infinity.
    """
    with one_reading(path):
        graph = read(content)
    if graph.opset not in OPSETS:
        raise ModelError(
            f"operator set {graph.opset} is not between {OPSETS[0]} and {OPSETS[-1]}",
            where=str(path),
            fix="export the model again with operator set 17",
        )
    for name, tensor in graph.constants.items():
        _finite(tensor, name, path)
    return OnnxFile(path, model, graph, hashlib.sha256(content).hexdigest())


@contextmanager
def one_reading(path: Path) -> Iterator[None]:
    """What the checker refuses in this block is a ModelError that names its rule."""
    try:
        yield
    except Rejected as error:
        raise model_error(error, path) from error
    except Unreadable as error:
        raise ModelError(str(error), where=str(path)) from error


def model_error(error: Rejected, path: Path, operator: str = "") -> ModelError:
    """What the checker refuses, and in which node, if that is said there or known here."""
    name = error.node or operator
    return ModelError(
        f"rule {error.rule}: {error.message}",
        where=f"{path}, node {name!r}" if name else str(path),
        fix="export the model again; docs/certificate.md says what the rules are",
    )


def sizes_in(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """What the ONNX library says of values whose sizes for an image are all known, by name."""
    graph, weights = onnx.GraphProto(), list[onnx.ValueInfoProto]()
    graph.node.extend(model.graph.node)
    for tensor in model.graph.initializer:  # the numbers of a weight say nothing of sizes
        if tensor.data_type == TensorProto.FLOAT:
            kind = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            weights.append(onnx.helper.make_value_info(tensor.name, kind))
        else:
            graph.initializer.append(tensor)
    graph.input.extend([*model.graph.input, *weights])
    small = onnx.ModelProto(ir_version=model.ir_version, graph=graph)
    small.opset_import.extend(model.opset_import)
    try:
        values = onnx.shape_inference.infer_shapes(small).graph.value_info
    except (onnx.shape_inference.InferenceError, ValueError):
        return {}
    found = dict[str, tuple[int, ...]]()
    for value in values:
        kind = value.type.tensor_type
        sizes = tuple(dim.dim_value for dim in kind.shape.dim)[1:]
        if kind.elem_type == TensorProto.FLOAT and sizes and min(sizes) > 0:
            found[value.name] = sizes
    return found


def check_validity(file: OnnxFile) -> None:
    """Let the ONNX library check the model: order of the nodes, attributes, types, shapes.

    Raises:
        ModelError: in the library's own words.
    """
    with _in_our_words(file.path):
        onnx.checker.check_model(file.model, full_check=True)


def check_nodes(file: OnnxFile, indices: Sequence[int]) -> None:
    """As `check_validity`, for some nodes one by one: where others are unknown to the library."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = file.model.ir_version
    context.opset_imports = {"": file.graph.opset}
    with _in_our_words(file.path):
        for index in indices:
            onnx.checker.check_node(file.model.graph.node[index], context)


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        TypeError,
    ) as error:
        said = " ".join(str(error).split())
        raise ModelError(f"not a valid ONNX model: {said}", where=str(path)) from error


def _finite(array: Tensor, name: str, path: Path) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "infinite"
        count = int(array.size - np.isfinite(array).sum())
        raise ModelError(
            f"{count} of {array.size} weights are {kind} or not finite",
            where=f"{path}, tensor {name!r}",
            fix="train or export the model again; nothing can be proved about such weights",
        )
