"""witness.json: what is written is read back bit for bit; what is malformed is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.errors import CertificateError, OutputError
from lastbit.witness import Witness, read_witness, write_witness

IMAGE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
WITNESS = Witness("ab" * 32, IMAGE, (3, 27), 7, 0.1, {"onnxruntime 1": 0.1, "torch 2": 1 / 3})


def written(tmp_path: Path) -> dict[str, Any]:
    write_witness(tmp_path / "witness.json", WITNESS)
    return json.loads((tmp_path / "witness.json").read_text())


def test_round_trip(tmp_path: Path):
    content = written(tmp_path)
    assert content["lower"] == (0.1).hex()
    assert content["pixel"] == [3, 27]
    again = read_witness(tmp_path / "witness.json")
    assert (again.image == IMAGE).all()
    assert again.runtimes == WITNESS.runtimes
    assert (again.model_sha256, again.pixel, again.class_index, again.lower) == (
        *("ab" * 32, (3, 27), 7, 0.1),
    )


def test_the_pair_differs_in_one_bit():
    first, second = WITNESS.pair
    assert (first == IMAGE).all()
    changed = np.argwhere(first != second)
    assert changed.tolist() == [[3, 27]]
    assert first[3, 27] ^ second[3, 27] == 1


def test_other_shapes(tmp_path: Path):
    small = Witness("ab" * 32, IMAGE[:4, :6], (3, 5), 0, 0.0, {})
    write_witness(tmp_path / "w.json", small)
    assert read_witness(tmp_path / "w.json").image.shape == (4, 6)


def test_shape_may_be_left_out_for_28_by_28(tmp_path: Path):
    content = written(tmp_path)
    del content["shape"]
    (tmp_path / "w.json").write_text(json.dumps(content))
    assert (read_witness(tmp_path / "w.json").image == IMAGE).all()


MALFORMED: dict[str, tuple[str, Any]] = {
    "hash too short": ("model_sha256", "abc"),
    "hash in capitals": ("model_sha256", "AB" * 32),
    "hash a number": ("model_sha256", 5),
    "image not base64": ("image", "####"),
    "image too short": ("image", "AAAA"),
    "image not ascii": ("image", "é" * 1046),
    "pixel outside": ("pixel", [28, 0]),
    "pixel negative": ("pixel", [-1, 0]),
    "pixel one number": ("pixel", [1]),
    "pixel a float": ("pixel", [1.0, 2]),
    "pixel a bool": ("pixel", [True, 2]),
    "class negative": ("class", -1),
    "class a bool": ("class", True),
    "class a text": ("class", "7"),
    "lower a number": ("lower", 0.1),
    "lower no float": ("lower", "a lot"),
    "lower nan": ("lower", "nan"),
    "lower infinite": ("lower", "inf"),
    "lower too large": ("lower", "0x1p+9999"),
    "lower above one": ("lower", "0x1.1p+0"),
    "lower negative": ("lower", "-0x1p-3"),
    "lower above its runtimes": ("lower", "0x1p-1"),
    "runtimes a list": ("runtimes", []),
    "runtime nan": ("runtimes", {"torch": "nan"}),
    "runtime a number": ("runtimes", {"torch": 1}),
    "shape of three": ("shape", [1, 28, 28]),
    "shape huge": ("shape", [2**40, 28]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_fields_are_named(tmp_path: Path, case: str):
    field, value = MALFORMED[case]
    content = written(tmp_path) | {field: value}
    (tmp_path / "w.json").write_text(json.dumps(content))
    with pytest.raises(CertificateError, match=field) as caught:
        read_witness(tmp_path / "w.json")
    assert str(tmp_path / "w.json") in str(caught.value)


@pytest.mark.parametrize("field", ["model_sha256", "image", "pixel", "class", "lower", "runtimes"])
def test_missing_fields_are_named(tmp_path: Path, field: str):
    content = written(tmp_path)
    del content[field]
    (tmp_path / "w.json").write_text(json.dumps(content))
    with pytest.raises(CertificateError, match=f"'{field}' is missing"):
        read_witness(tmp_path / "w.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"7"])
def test_not_a_witness_at_all(tmp_path: Path, content: bytes):
    (tmp_path / "w.json").write_bytes(content)
    with pytest.raises(CertificateError, match="the witness is not"):
        read_witness(tmp_path / "w.json")


def test_missing_file_and_unwritable_folder(tmp_path: Path):
    with pytest.raises(CertificateError, match="cannot read the witness"):
        read_witness(tmp_path / "none.json")
    with pytest.raises(OutputError, match="cannot write"):
        write_witness(tmp_path / "no" / "w.json", WITNESS)
