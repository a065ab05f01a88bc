"""What a file computes of constants: exactly, or not at all; never of the number of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lastbit_check.onnxfile import BATCH, Operator
from lastbit_check.operators import RULES
from lastbit_check.operators.reading import Reader
from lastbit_check.verdict import Rejected


def made(op: str, *constants: Any, **attributes: Any) -> Any:
    reader, names = Reader(RULES, 17), [f"c{k}" for k in range(len(constants))]
    for name, value in zip(names, constants, strict=True):
        array = np.asarray(value)
        reader.keep(name, array.astype("<f4" if array.dtype.kind == "f" else "<i8"))
    reader.read(Operator(op, (*names,), "made", attributes))
    return reader.tensor("made")


@pytest.mark.parametrize(
    ("op", "given", "expected"),
    [
        ("Add", (3, [4, 5]), [7, 8]),
        ("Sub", (3, 5), -2),
        ("Mul", ([2, 3], -4), [-8, -12]),
        ("Div", (7, 2), 3),
        ("Div", (7.0, 2.0), 3.5),
        ("Ceil", (3.5,), 4.0),
        ("Floor", (-3.5,), -4.0),
        ("Clip", (-2.0, 0.0), 0.0),
        ("Shape", ([[1, 2, 3]],), [1, 3]),
        ("Reshape", ([1, 2, 3, 4], [-1, 2]), [[1, 2], [3, 4]]),
        ("Transpose", ([[1, 2], [3, 4]],), [[1, 3], [2, 4]]),
        ("Slice", ([[1, 2], [3, 4]], [-1], [-(2**63) + 1], [0], [-1]), [[3, 4], [1, 2]]),
    ],
)
def test_constants_of_constants(op: str, given: tuple, expected: Any) -> None:
    found = made(op, *given)
    assert np.array_equal(found, expected)
    assert found.dtype.kind == np.asarray(expected).dtype.kind


@pytest.mark.parametrize(
    ("op", "given"),
    [
        ("Add", (BATCH, 1)),
        ("Mul", ([BATCH, 3], 2)),
        ("Div", (BATCH, 2)),
        ("Add", (-(2**63), 1)),
        ("Div", (7, 0)),
        ("Div", (-7, 2)),
        ("Div", (7.0, 3.0)),
        ("Mul", (0.5, 3.0)),
        ("Add", (2.0, 1)),
        ("Reshape", ([1, 2, 3], [2, -1])),
        ("Reshape", ([1, 2, 3, 4], [-1, -1])),
    ],
)
def test_what_rounds_or_counts_images_is_refused(op: str, given: tuple) -> None:
    with pytest.raises(Rejected):
        made(op, *given)


def test_a_cast_changes_no_whole_number() -> None:
    assert made("Cast", 3, to=1).dtype == np.float32
    assert made("Cast", 3.0, to=7).dtype == np.int64
    assert np.array_equal(made("Cast", [3.5, -3.5], to=7), [3, -3])
    for value, to in ((2**24 + 1, 1), (2.0**25, 7), (BATCH, 1), (3, 11)):
        with pytest.raises(Rejected):
            made("Cast", value, to=to)
