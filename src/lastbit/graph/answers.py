"""What has to be said of a file with several outputs, or with its weights in other files."""

from __future__ import annotations

import shlex
from pathlib import Path

from onnx import ModelProto, TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

LABELS = (TensorProto.INT64, TensorProto.INT32, TensorProto.STRING)
"""Element types of outputs that name a class."""


def inputs_of(model: ModelProto) -> list[str]:
    """Names of the inputs that have no value in the file."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in held]


def files_of_weights(model: ModelProto) -> list[str]:
    """Names of the files beside it that hold weights, each once."""
    outside = (ExternalDataInfo(t) for t in model.graph.initializer if uses_external_data(t))
    return list(dict.fromkeys(data.location for data in outside))


def unzipped(model: ModelProto) -> dict[str, str]:
    """What each ZipMap reads, by what it makes.

    It makes dictionaries of the probabilities of the images, which no runtime computes with.
    """
    return {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "ZipMap"}


def answer_of(model: ModelProto) -> str | None:
    """The one output that can be probabilities or logits, beside labels; None if no one is."""
    found = [value.name for value in model.graph.output
             if value.type.tensor_type.elem_type not in LABELS]  # fmt: skip
    return found[0] if len(found) == 1 else None


def how_to_import(model: ModelProto, path: Path, *, another: bool = False) -> str:
    """What to do, as a command: make one file of it, of one output and with all weights.

    The output is ``another`` value than the one that the file has.
    """
    said = f"lastbit import {shlex.quote(str(path))}"
    if another or len(model.graph.output) != 1:
        name = None if another else answer_of(model)
        said += f" --keep {'NAME' if name is None else shlex.quote(name)}"
    return f"make one file of it: {said} --output {shlex.quote(f'{path.stem}-one{path.suffix}')}"
