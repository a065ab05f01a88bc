"""Writing files whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lastbit.errors import OutputError


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write `content`, or its parts, to `path`, which on any failure, Ctrl-C included, stays as is.

    Raises:
        OutputError: the folder is missing or not writable, or the disk is full.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                for part in [content] if isinstance(content, bytes) else content:
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror}",
            where=str(path),
            fix="choose a folder that exists, is writable and has space",
        ) from error


def starts_as_json(path: Path) -> bool:
    """Whether a file begins as a JSON object does, which no ONNX file can be read as."""
    try:
        with path.open("rb") as stream:
            return stream.read(64).lstrip().startswith(b"{")
    except OSError:
        return False
