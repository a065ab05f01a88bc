"""The folder of a sweep: whose it is, and everything that has been run, on disk at once.

`sweep.lock` is locked as long as a sweep writes here, by the operating system, which forgets it
with the process. `subject.json` says of what the sweep is. `journal` is one record after another:
length, SHA-256 and content. What a process was writing when it was ended has a wrong SHA-256 or
none, and is cut off; everything before it stands.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import struct
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.errors import DataError, OutputError
from lastbit.files import write_whole

FORMAT = "lastbit-sweep-journal-1"
HEAD = struct.Struct("<Q32s")
MOST_BYTES = 1 << 31
Record = Mapping[str, NDArray[Any]]


class Journal:
    """What a sweep has done, kept.

    Args:
        folder: made if it is missing.
        subject: what the sweep is of, as JSON.

    Raises:
        OutputError: the folder cannot be written, or another sweep is writing there.
        DataError: it holds a sweep of something else, or something that is none.
    """

    def __init__(self, folder: Path, subject: Mapping[str, Any]) -> None:
        self.path = folder / "journal"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            _begin(folder, subject)
            self._stream = self.path.open("a+b", buffering=0)
        except OSError as error:
            os.close(self._lock)
            raise _unwritable(folder, error) from error
        except BaseException:
            os.close(self._lock)
            raise
        self._close = weakref.finalize(self, _close, self._stream, self._lock)

    def close(self) -> None:
        """Let others write here."""
        self._close()

    def records(self) -> Iterator[Record]:
        """What was written until now; what follows the last whole record is cut off."""
        position = 0
        with self.path.open("rb") as stream:
            while (content := _next(stream)) is not None:
                position += HEAD.size + len(content)
                with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                    yield dict(arrays)
        os.ftruncate(self._stream.fileno(), position)

    def append(self, **arrays: NDArray[Any]) -> None:
        """Write one record.

        Raises:
            OutputError: there is no space; nothing of the record is left then.
        """
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        content = stream.getvalue()
        whole = HEAD.pack(len(content), hashlib.sha256(content).digest()) + content
        end = os.fstat(self._stream.fileno()).st_size
        try:
            while whole:
                whole = whole[os.write(self._stream.fileno(), whole) :]
        except OSError as error:
            os.ftruncate(self._stream.fileno(), end)
            raise OutputError(
                f"the journal cannot be written: {error.strerror}",
                where=str(self.path),
                fix="make space and give the same command again: it goes on from here",
            ) from error


def _next(stream: io.BufferedReader) -> bytes | None:
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length, digest = HEAD.unpack(head)
    content = stream.read(length) if length < MOST_BYTES else b""
    return content if hashlib.sha256(content).digest() == digest else None


def _locked(folder: Path) -> int:
    lock = os.open(folder / "sweep.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise OutputError(
            "another sweep is writing here", where=str(folder), fix="wait for it, or give --out"
        ) from error
    return lock


def _begin(folder: Path, subject: Mapping[str, Any]) -> None:
    """Say of what the sweep is, where nobody has yet; else it has to be the same."""
    wanted = json.loads(json.dumps({"format": FORMAT, **subject}))
    path = folder / "subject.json"
    if not path.exists():
        if (folder / "journal").exists():
            raise DataError("a journal of nobody knows what", where=str(folder), fix=_FIX)
        write_whole(path, (json.dumps(wanted, indent=1) + "\n").encode())
        return
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError("not what a sweep has written", where=str(path), fix=_FIX)
    if found != wanted:
        other = [k for k in sorted(wanted.keys() | found.keys()) if found.get(k) != wanted.get(k)]
        was = "; ".join(f"{k} was {found.get(k)}, is {wanted.get(k)}" for k in other)
        message = f"a sweep of something else was begun here: {was}"
        raise DataError(message, where=str(folder), fix=_FIX)


_FIX = "what is there is kept: give another folder with --out, or remove that one"


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the folder of the sweep cannot be written: {error.strerror}",
        where=str(folder),
        fix="give another one with --out",
    )


def _close(stream: io.FileIO, lock: int) -> None:
    stream.close()
    os.close(lock)
