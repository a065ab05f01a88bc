"""`import_checkpoint` and `import_onnx`: one ONNX file that lastbit reads, and of what it was made.

That is said in the file's metadata, which nothing obeys.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from lastbit.asked import with_inputs
from lastbit.errors import ModelError, UsageError
from lastbit.files import write_whole
from lastbit.graph import Network, Shape, read_onnx
from lastbit.importing.architecture import Architecture, fitted
from lastbit.importing.checkpoint import read_checkpoint
from lastbit.importing.single import single_output
from lastbit.runtimes.onnx_runtime import session_of

SOURCE, ARCHITECTURE = "lastbit.source.sha256", "lastbit.source.architecture"
"""Keys of the metadata."""
OPSET = 17
STDERR = 2
APART = 2.0**-10
"""Of the largest logit: further apart no two programs are that compute the same network."""


@dataclass(frozen=True)
class Imported:
    """A file that was written.

    Attributes:
        path: the ONNX file.
        sha256: its own, which is the model's name.
        source: the SHA-256 of what it was made of.
        shape: (C, H, W) of what it reads.
        classes: how many it tells apart.
        logits: it returns logits, and softmax is the question's; probabilities otherwise.
        architecture: `LIBRARY:NAME`, of a checkpoint.
        apart: how far logits of PyTorch and of ONNX Runtime were apart at most, on two images.
        pixels: what `--pixels` is for images as the library makes them, of a checkpoint.
    """

    path: Path
    sha256: str
    source: str
    shape: Shape
    classes: int
    logits: bool
    architecture: str | None = None
    apart: float | None = None
    pixels: str | None = None


def import_onnx(source: Path, output: Path, *, keep: str | None = None) -> Imported:
    """Write one output of an ONNX file as a file of its own, which holds all of its weights.

    Args:
        source: an ONNX file.
        output: the file to write.
        keep: which value of it is the answer; None where it has one output.

    Raises:
        ModelError: it cannot be read, has several outputs, or lastbit does not cover it.
        UsageError: there is no such value, or the output is the source.
        OutputError: the file cannot be written.
    """
    _another_file(source, output)
    model, sha256 = single_output(source, keep)
    content, network = _covered(model, {SOURCE: sha256}, source)
    write_whole(output, content)
    return Imported(output, network.sha256, sha256, network.input_shape, network.classes,
                    network.logits_out)  # fmt: skip


def import_checkpoint(
    source: Path, name: str, output: Path, *, size: tuple[int, int] | None = None
) -> Imported:
    """Write an architecture with a checkpoint's weights as an ONNX file: float32 in, logits out.

    PyTorch's exporter folds batch norms into convolutions where it can.

    Args:
        source: a .safetensors file, or a state dict that PyTorch saved.
        name: of the architecture, as `fitted` takes it.
        output: the file to write.
        size: height and width of an image; None for those of the library's own weights.

    Raises:
        ModelError: it cannot be read, is not of that architecture, does not work on images of that
            size, or lastbit does not cover it.
        UsageError: there is no such architecture, or the output is the source.
        MissingExtraError: PyTorch, timm or torchvision is not installed.
        OutputError: the file cannot be written.
    """
    _another_file(source, output)
    checkpoint = read_checkpoint(source)
    made = fitted(name, checkpoint)
    shape = (made.channels, *(size or made.size))
    model, apart = _exported(made, shape, source)
    about = {SOURCE: checkpoint.sha256, ARCHITECTURE: f"{made.name} {made.version}"}
    content, network = _covered(model, about, source)
    write_whole(output, content)
    return Imported(output, network.sha256, checkpoint.sha256, shape, network.classes,
                    network.logits_out, made.name, apart, _pixels(made))  # fmt: skip


def _another_file(source: Path, output: Path) -> None:
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError("this would replace the source", where=f"--output {output}",
                         fix="name another file")  # fmt: skip


def _covered(model: ModelProto, about: Mapping[str, str], source: Path) -> tuple[bytes, Network]:
    """The file's content, with what is said about it; and how lastbit reads it."""
    onnx.helper.set_model_props(model, {**about})
    content = model.SerializeToString(deterministic=True)
    elements = {value.type.tensor_type.elem_type for value in model.graph.input}
    said = "bytes" if TensorProto.FLOAT in elements else None  # any map will do: it is not kept
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        try:
            network = read_onnx(with_inputs(path, said))
        except ModelError as error:
            error.where = error.where.replace(str(path), str(source))
            raise
    return content, network


def _exported(made: Architecture, shape: Shape, source: Path) -> tuple[ModelProto, float]:
    """What PyTorch's exporter writes of it, and how far that is from PyTorch on two images."""
    import torch

    images = torch.from_numpy(np.random.default_rng(0).random((2, *shape), np.float32))
    of_images = f"{made.name} on images of {shape[1]} x {shape[2]}"
    try:
        content = _by_pytorch(made.module, images)
        with torch.inference_mode():
            expected = made.module(images).numpy()
    except Exception as error:  # what a module raises has no base of its own
        said = str(error).partition("\n")[0]
        raise ModelError(f"PyTorch cannot export {of_images}: {said}", where=str(source),
                         fix="name another size with --size, if it is that") from error  # fmt: skip
    found = np.asarray(session_of(content, "all").run(None, {"x": images.numpy()})[0])
    apart = float(np.abs(found - expected).max())
    if not apart <= APART * np.abs(expected).max():
        raise ModelError(f"ONNX Runtime computes something else of the export of {of_images}: "
                         f"logits are {apart:.3g} apart", where=str(source))  # fmt: skip
    return onnx.load_model_from_string(content), apart


def _by_pytorch(module: Any, images: Any) -> bytes:
    """An ONNX file, with nothing printed: the exporter warns of its age."""
    import torch

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), _silence():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(module, (images,), path, dynamo=False, opset_version=OPSET,
                          input_names=["x"], output_names=["logits"],
                          dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}})  # fmt: skip
        return path.read_bytes()


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is printed by PyTorch's exporter in this block.

    Of what it cannot write it prints the graph, from C++ and on standard output, where the result
    of a command belongs. It can be sent to standard error, which nothing buffers.
    """
    import torch

    torch._C._jit_set_onnx_log_output_stream("stderr")
    sys.stderr.flush()
    kept = os.dup(STDERR)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


def _pixels(made: Architecture) -> str:
    """--pixels for images as the library makes them; of other channels nothing is known."""
    if made.channels != len(made.mean):
        return "unit"
    mean, std = (":".join(f"{n:g}" for n in each) for each in (made.mean, made.std))
    return f"mean={mean},std={std}"
