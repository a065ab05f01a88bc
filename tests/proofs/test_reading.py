"""Coq's reader of ONNX files refuses what two readers could understand differently.

It reads a small file, and the same file with one thing changed, all inside Coq. Run `make proofs`
first; without it, or without Coq, the tests are skipped.
"""

import re
import runpy
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from support.theorems import PROOFS, Trial

WRITE = runpy.run_path(str(PROOFS / "zero/write.py"))

pytestmark = pytest.mark.skipif(
    shutil.which("coqc") is None or not (PROOFS / "onnx/Onnx.vo").exists(),
    reason="coqc is not installed, or make proofs was not run",
)


def varint(n: int) -> bytes:
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def number(field: int, n: int) -> bytes:
    return varint(field << 3) + varint(n)


def chunk(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """The first ``old`` replaced by ``new``, which is as long."""
    assert len(old) == len(new)

    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


def after(more: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + more


OPSET = number(2, 17)
CHANGES = {
    "the version twice": after(number(1, 8)),
    "another opset": after(chunk(8, number(2, 17))),
    "an older opset": replaced(OPSET, number(2, 12)),
    "an opset in which axes are an input": replaced(OPSET, number(2, 18)),
    "a second graph": after(chunk(7, b"")),
    "a local function": after(chunk(25, chunk(1, b"Conv"))),
    "metadata": after(chunk(14, chunk(1, b"a") + chunk(2, b"b"))),
    "a field that ONNX does not have": after(number(100, 1)),
    "a tag of more than 32 bits": after(varint((2**29 + 2) << 3 | 2) + b"\0"),
    "an integer that is not the shortest": after(varint(5 << 3) + b"\x81\0"),
    "a field of another kind": after(chunk(5, b"1")),
    "an end in the middle of a field": after(b"\x1a\x05ab"),
    "a group": after(varint(20 << 3 | 3) + varint(20 << 3 | 4)),
    "keepdims 0": replaced(b"keepdims\x18\x01", b"keepdims\x18\x00"),
    "keepdims 2": replaced(b"keepdims\x18\x01", b"keepdims\x18\x02"),
    "an attribute of another name": replaced(b"keepdims", b"keepdimz"),
    "an operator of another name": replaced(b"Softmax", b"Hardmax"),
}


def model() -> bytes:
    """A division, a convolution, SiLU, a mean over axes, a dense layer."""
    b, rng = OnnxBuilder(), np.random.default_rng(3)
    x = b.div(b.input_bytes((1, 3, 3)), 255)
    x = b.silu(b.conv(x, rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2)))
    b.softmax(b.dense(b.mean(x, reduce=True), rng.normal(size=(2, 2)), rng.normal(size=2)))
    return b.to_bytes()


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Whether Coq reads the file (""), and with each change."""
    files = {"": model()} | {what: change(model()) for what, change in CHANGES.items()}
    text = WRITE["HEADER"] + "From Lastbit Require Import onnx.Onnx.\n"
    for k, data in enumerate(files.values()):
        literals = WRITE["literals"](data).removeprefix(WRITE["HEADER"])
        text += f"Module File{k}.\n{literals}End File{k}.\n"
        text += f"Eval vm_compute in if read File{k}.file then true else false.\n"
    made = Trial("zero", tmp_path_factory.mktemp("reading"))
    (made.folder / "Files.v").write_text(text)
    ran = made.coqc(made.folder / "Files.v")
    assert ran.returncode == 0, ran.stderr
    return dict(zip(files, re.findall(r"= (true|false)", ran.stdout), strict=True))


def test_the_file_is_read(verdicts: dict[str, str]) -> None:
    assert verdicts[""] == "true"


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_refused(what: str, verdicts: dict[str, str]) -> None:
    assert verdicts[what] == "false"
