"""Files that two readers may understand differently: the checker and lastbit refuse them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lastbit.errors import ModelError
from lastbit.graph import read_onnx
from lastbit_check.onnxfile import read
from lastbit_check.reading import network_of
from lastbit_check.verdict import Rejected
from soundness.hostile import (  # noqa: F401
    attributes,
    encoded,
    fields,
    models,
    operands,
    tensors,
)
from soundness.hostile.table import HOSTILE, good

Make = Callable[[], bytes]
ROWS = [(rule, name, make) for name, (rule, make) in HOSTILE.items()]
NAMED = pytest.mark.parametrize(
    ("rule", "name", "make"), ROWS, ids=[f"{r}-{n}" for r, n, _ in ROWS]
)


@pytest.mark.parametrize("opset", range(13, 26))
def test_the_good_file_is_read_by_all(tmp_path: Path, opset: int) -> None:
    data = good(opset)
    assert network_of(read(data)).nodes[-1].shape == (3, 1, 1)
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert read_onnx(path).classes == 3
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": np.zeros((2, 1, 6, 5), np.uint8)})
    assert np.asarray(found).shape == (2, 3)


@NAMED
def test_the_checker_refuses_it_by_name(rule: str, name: str, make: Make) -> None:
    with pytest.raises(Rejected) as caught:
        network_of(read(make()))
    assert caught.value.rule == rule, str(caught.value)


@NAMED
def test_lastbit_refuses_it(rule: str, name: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make())
    with pytest.raises(ModelError) as caught:
        read_onnx(path)
    assert str(path) in str(caught.value)


def test_there_are_many() -> None:
    assert len(HOSTILE) > 250
