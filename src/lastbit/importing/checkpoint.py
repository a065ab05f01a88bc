"""A checkpoint: tensors by name, from a safetensors file or from what PyTorch saves."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.errors import MissingExtraError, ModelError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".tar")
WITHIN = ("state_dict", "model_state_dict", "model")
"""Under which of these names training scripts keep the state dict, beside epochs and optimizers."""
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and wrapping modules put before every name."""
FIX = "save it again: torch.save(model.state_dict(), FILE), or safetensors.torch.save_file"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors by name.

    Attributes:
        path: where they are from.
        tensors: PyTorch's, on the CPU, under the names that the module without wrappers has.
        sha256: of the file.
    """

    path: Path
    tensors: Mapping[str, Any]
    sha256: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a .safetensors file, or a state dict that PyTorch saved; no code in it is run.

    Raises:
        ModelError: it cannot be read, or holds anything but tensors by name.
        MissingExtraError: PyTorch or safetensors is not installed.
    """
    content = read_content(path)
    found = _safetensors(content, path) if path.suffix == ".safetensors" else _saved(content, path)
    return Checkpoint(path, _unwrapped(found), hashlib.sha256(content).hexdigest())


def read_content(path: Path) -> bytes:
    """The bytes of a file. Raises ModelError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _safetensors(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        import safetensors
        from safetensors.torch import load
    except ImportError as error:
        raise MissingExtraError("reading safetensors", "import") from error
    try:
        return load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"not a safetensors file: {error}", where=str(path), fix=FIX) from error


def _saved(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("reading what PyTorch saved", "import") from error
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        said = "not what PyTorch saved, or more than tensors: nothing else is read, because it runs"
        raise ModelError(f"{said} as a program", where=str(path), fix=FIX) from error
    if isinstance(found, dict):
        found = next((found[name] for name in WITHIN if isinstance(found.get(name), dict)), found)
    if not isinstance(found, dict) or not found:
        kind = type(found).__name__
        raise ModelError(f"holds no tensors by name, but {kind}", where=str(path), fix=FIX)
    others = [str(name) for name, value in found.items() if not isinstance(value, torch.Tensor)]
    if others:
        said = f"holds what is no tensor, under the names {', '.join(others)}"
        raise ModelError(said, where=str(path), fix=FIX)
    return found


def _unwrapped(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Under names without what wrappers put before all of them."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors
