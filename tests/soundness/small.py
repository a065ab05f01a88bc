"""A small certified network on disk, and ways to write it down changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from lastbit.certificate.write import draft
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.__main__ import main
from lastbit_check.certificate import digest

Fields = dict[str, Any]


def model() -> bytes:
    """Every operator once: a residual block, a gate, batch norm, and a SiLU that is a base."""
    rng = np.random.default_rng(5)
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 6, 6)), 255), "sub", np.float32(0.13))
    x = b.silu(b.conv(x, rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3), stride=2, padding=1))
    x = b.affine(x, "mul", np.float32(2.0**-12))
    y = b.conv(x, rng.normal(size=(3, 1, 3, 3)), padding=1, group=3)
    y = b.silu(
        b.batch_norm(y, rng.uniform(0.5, 1, 3), np.zeros(3), np.zeros(3), rng.uniform(0.5, 1, 3))
    )
    s = b.silu(b.conv(b.mean(y), rng.normal(size=(2, 3, 1, 1)), rng.normal(size=2) * 2.0**-12))
    y = b.gate(
        y, b.sigmoid(b.conv(s, rng.normal(size=(3, 2, 1, 1)), rng.normal(size=3) * 2.0**-12))
    )
    x = b.add(b.conv(y, rng.normal(size=(3, 3, 1, 1)), rng.normal(size=3) * 2.0**-12), x)
    x = b.affine(b.mean(x), "mul", np.float32(2.0**12))
    b.softmax(b.dense(x, rng.normal(size=(3, 3)), rng.normal(size=3)))
    return b.to_bytes()


@cache
def _drafted(data: bytes) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        return draft(data, hints_for(read_onnx(path))).manifest


def certified(folder: Path) -> Path:
    """``folder`` with model.onnx and certificate.json."""
    data = model()
    (folder / "model.onnx").write_bytes(data)
    (folder / "certificate.json").write_bytes(_drafted(data))
    return folder


def verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code of lastbit-check, and the rule where it rejects. Any exception is a failure."""
    capsys.readouterr()
    code = main(["--json", str(folder / "certificate.json")])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    if code == 2:
        assert not printed.out
        assert printed.err
        return 2, ""
    found = json.loads(printed.out)
    assert found["accepted"] == (code == 0)
    return code, found.get("rule", "")


def fields_of(folder: Path) -> Fields:
    return json.loads((folder / "certificate.json").read_text())


def put(folder: Path, fields: Fields, *, seal: bool) -> None:
    """Write the manifest; with ``seal`` the two digests are made to fit the files."""
    if seal:
        fields["model_sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        fields["digest"] = digest(fields)
    (folder / "certificate.json").write_text(json.dumps(fields))


Setter = Callable[[Any], None]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number and string in a manifest with the way to it."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def changed(fields: Fields, path: tuple[Any, ...], value: Any) -> Fields:
    """A copy of the manifest with one leaf replaced."""
    copy = json.loads(json.dumps(fields))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy
