"""Where the model lies that a certificate or a witness is about."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from lastbit.errors import UsageError
from lastbit.files import starts_as_json, write_whole
from lastbit.models.shipped import MODEL_FILE, ModelFiles, resolve_model, shipped_models

CERTIFICATE = "certificate.json"
PLACE = "model.json"
"""Beside a certificate: the path of its model, relative to it. Nothing is believed of it."""


def note_place(certificate: Path, model: Path) -> None:
    """Write where the model of a certificate lies, if it is not model.onnx beside it.

    Raises:
        OutputError: the file cannot be written.
    """
    folder, target = certificate.parent.resolve(), model.resolve()
    if target == folder / MODEL_FILE:
        return
    try:
        path = Path(os.path.relpath(target, folder)).as_posix()
    except ValueError:  # on another drive
        path = target.as_posix()
    write_whole(folder / PLACE, (json.dumps({"model": path}, indent=2) + "\n").encode())


def certificate_of(what: str | Path) -> Path:
    """A certificate's file: the one named, the one in a folder, or a shipped model's own.

    A file or a folder goes before a shipped model of that name. What is none of them is returned as
    it is: whoever reads it will say so.
    """
    path = Path(what)
    if path.is_dir():
        return path / CERTIFICATE
    shipped = {files.name: files.certificate for files in shipped_models()}
    return path if path.exists() else shipped.get(str(what), path)


def model_of(file: Path, sha256: str, given: Path | None = None) -> ModelFiles:
    """The model that a certificate or a witness is about.

    The first that has this SHA-256: the one noted beside it; `model.onnx` beside it; `digits.onnx`
    beside its folder `digits`; either of these one folder up, because what is about other moves
    than the last bit has a folder of its own; a shipped one. If none has, the first that there is:
    whoever asked will say what is wrong with it.

    Args:
        file: the certificate or the witness.
        sha256: the model's name there.
        given: what a person says the model is; then nothing is looked for.

    Raises:
        UsageError: there is none, or `given` is no model.
    """
    if given is not None:
        if not given.exists():
            raise UsageError(f"there is no file {str(given)!r}", where="--model")
        return resolve_model(given)
    found: list[ModelFiles] = []
    for path in _places(file):
        if path.is_file() and not starts_as_json(path):
            files = resolve_model(path)
            if files.sha256() == sha256:
                return files
            found.append(files)
    found += [files for files in shipped_models() if files.sha256() == sha256]
    if not found:
        raise UsageError(
            f"the model is not beside it (SHA-256 {sha256[:16]}...)",
            where=str(file),
            fix="say where it is with --model FILE",
        )
    return found[0]


def _places(file: Path) -> Iterator[Path]:
    folder = file.parent
    try:
        noted = json.loads((folder / PLACE).read_bytes())["model"]
    except (OSError, ValueError, KeyError, TypeError):
        noted = None
    if isinstance(noted, str):
        yield (folder.resolve() / noted).resolve()
    for whole in (folder.resolve(), folder.resolve().parent):
        yield whole / MODEL_FILE
        yield whole.with_name(f"{whole.name}.onnx")
