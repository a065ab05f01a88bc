"""From a path to a valid ONNX model whose constants are finite NumPy arrays."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper

from lastbit.errors import ModelError

MINIMUM_OPSET = 9
"""From here on every operator that lastbit knows broadcasts as NumPy does."""

_FIRST_BYTE = b"\x08"
"""Every ONNX file that tools write begins with the tag of `ir_version`."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A parsed model.

    Attributes:
        model: with every tensor inside it; not yet checked.
        constants: initializers and `Constant` nodes by tensor name.
        opset: version of the default operator set.
        sha256: see `Network.sha256`.
    """

    path: Path
    model: ModelProto
    constants: dict[str, NDArray[np.generic]]
    opset: int
    sha256: str


def read_onnx_file(path: Path) -> OnnxFile:
    """Read and parse `path`, with the external data that lies in its folder.

    Raises:
        ModelError: not a file, not ONNX, truncated, of an operator set that is too old, with
            external data that is missing or outside the folder, or with a constant that holds a
            NaN or an infinity.
    """
    model, content = _parse(path)
    digest = hashlib.sha256(content)
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            digest.update(_load_external(tensor, path))
    opset = _default_opset(model, path)
    constants: dict[str, NDArray[np.generic]] = {}
    for tensor in model.graph.initializer:
        constants[tensor.name] = _array(tensor, tensor.name, path)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and node.output:
            constants[node.output[0]] = _constant_value(node, path)
    return OnnxFile(path, model, constants, opset, digest.hexdigest())


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
    context.opset_imports = {"": file.opset}
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


def _parse(path: Path) -> tuple[ModelProto, bytes]:
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
        what = "truncated or damaged" if content.startswith(_FIRST_BYTE) else "not an ONNX file"
        raise ModelError(what, where=str(path), fix=fix) from error
    if not model.ir_version or not model.graph.node:
        what = "truncated: it has no graph" if model.ir_version else "not an ONNX file"
        raise ModelError(what, where=str(path), fix=fix)
    return model, content


def _default_opset(model: ModelProto, path: Path) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise ModelError(
            "the file does not say which ONNX operator set it uses, or is truncated",
            where=str(path),
        )
    newest = onnx.defs.onnx_opset_version()
    if not (MINIMUM_OPSET <= versions[0] <= newest):
        raise ModelError(
            f"operator set {versions[0]} is not between {MINIMUM_OPSET} and {newest}",
            where=str(path),
            fix="export the model again with operator set 17",
        )
    return versions[0]


def _tensors(model: ModelProto) -> list[TensorProto]:
    """Every tensor of the top graph that can hold data, in the order of the file."""
    found = list(model.graph.initializer)
    for node in model.graph.node:
        found += [a.t for a in node.attribute if a.type == AttributeProto.TENSOR]
    return found


def _load_external(tensor: TensorProto, path: Path) -> bytes:
    """Move the tensor's data from its file into the tensor, and return it."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    where = f"{path}, tensor {tensor.name!r}"
    folder = path.resolve().parent
    target = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not target.is_relative_to(folder):
        raise ModelError(
            f"external data at {location!r} lies outside the model's folder",
            where=where,
            fix="save the model as one file",
        )
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
        with target.open("rb") as stream:
            stream.seek(offset)
            data = stream.read() if length < 0 else stream.read(length)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read external data at {location!r}: {error}", where=where) from (
            error
        )
    if 0 <= length != len(data):
        raise ModelError(f"external data at {location!r} is truncated", where=where)
    tensor.raw_data = data
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return data


def _array(tensor: TensorProto, name: str, path: Path) -> NDArray[np.generic]:
    where = f"{path}, tensor {name!r}"
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"a tensor cannot be read: {error}", where=where) from error
    return _finite(np.asarray(array), where)


def _finite(array: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "infinite"
        count = int(array.size - np.isfinite(array).sum())
        raise ModelError(
            f"{count} of {array.size} weights are {kind} or not finite",
            where=where,
            fix="train or export the model again; nothing can be proved about such weights",
        )
    return array


def _constant_value(node: NodeProto, path: Path) -> NDArray[np.generic]:
    name = node.output[0]
    where = f"{path}, tensor {name!r}"
    for attribute in node.attribute:
        match attribute.name:
            case "value":
                return _array(attribute.t, name, path)
            case "value_float":
                return _finite(np.array(attribute.f, np.float32), where)
            case "value_floats":
                return _finite(np.array(attribute.floats, np.float32), where)
            case "value_int":
                return np.array(attribute.i, np.int64)
            case "value_ints":
                return np.array(attribute.ints, np.int64)
            case _:
                pass
    raise ModelError("a Constant node has no numeric value", where=where)
