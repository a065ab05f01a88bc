"""Pairs of other moves than the last bit: what is one, its file, replay, and the search for it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit.errors import CertificateError, UsageError
from lastbit.graph import Asked
from lastbit.hints import hints_for
from lastbit.runtimes import OnnxRuntime, Reference
from lastbit.witness import Witness, measure_pair, read_witness, replay, write_witness
from lastbit.witness.pairs import changed_pixels, why_no_pair
from lastbit.witness.search import search
from lastbit_check.check import proved
from lastbit_check.question import LAST_BIT, SAME_PROGRAM, Box, Move, Question, asking
from soundness.test_moves import (
    MOVES,
    PLANTED,
    SIDE,
    Coloured,
    largest_change,
    planted,
    read,
)
from support.moves import neighbour

SHAPE = (2, 4, 4)
IMAGE = np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)
ON = [OnnxRuntime(), Reference()]


@pytest.mark.parametrize("name", MOVES)
def test_what_a_move_makes_is_a_pair_of_it(name: str) -> None:
    question = asking(MOVES[name])
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 256, SHAPE, dtype=np.uint8)
        other = neighbour(image, question, seed)
        if (image != other).any():
            assert why_no_pair(image, other, question) == ""
            assert changed_pixels(image, other) == [
                (int(row), int(column)) for row, column in np.argwhere((image != other).any(0))
            ]


def flipped(bit: int, *places: int) -> np.ndarray:
    other = IMAGE.copy()
    other.reshape(-1)[[*places]] ^= np.uint8(1 << bit)
    return other


NO_PAIRS: dict[str, tuple[Move, np.ndarray, str]] = {
    "nothing": (Move("bit", 3), IMAGE, "the same"),
    "another bit": (Move("bit", 3), flipped(2, 5), "does not change by"),
    "two bits": (Move("bit", 3), flipped(3, 5) ^ IMAGE ^ flipped(2, 5), "does not change by"),
    "a place too many": (Move("bit", 3, 2), flipped(3, 5, 6, 7), "in 3 places"),
    "two pixels": (Move("bit", 3, 1, "all"), flipped(3, 5, 22), "in 2 places or pixels"),
    "a level too many": (Move("levels", 1), flipped(1, 5), "does not change by"),
    "outside the mask": (Move("bit", 3, mask=((0, 5),)), flipped(3, 5), "where nothing may"),
    "a mask of another image": (Move("bit", 3, mask=((30, 99),)), flipped(3, 30), "a mask that"),
}


@pytest.mark.parametrize("name", NO_PAIRS)
def test_what_is_no_move_is_no_pair(name: str) -> None:
    move, other, reason = NO_PAIRS[name]
    assert reason in why_no_pair(IMAGE, other, asking(move))


def test_a_pixel_is_all_of_its_channels_or_some() -> None:
    question = asking(Move("bit", 3, 1, "all"))
    assert why_no_pair(IMAGE, flipped(3, 5, 21), question) == ""  # 16 places a channel
    assert why_no_pair(IMAGE, flipped(3, 5), question) == ""


def test_floats_move_in_their_own_last_bit() -> None:
    question = replace(asking(Move(cells=2)), box=Box(0.0, 1.0))
    image = np.full(SHAPE, 0.5, np.float32)
    other = image.copy()
    bits = other.reshape(-1).view(np.uint32)
    bits[:2] ^= np.uint32(1)
    assert why_no_pair(image, other, question) == ""
    bits[0] ^= np.uint32(2)
    assert "does not change by" in why_no_pair(image, other, question)
    most = np.full(SHAPE, 1.0, np.float32)
    beyond = most.copy()
    beyond.reshape(-1).view(np.uint32)[0] ^= np.uint32(1)
    assert "does not change by" in why_no_pair(most, beyond, question)


def coloured(folder: Path, question: Question) -> tuple[Path, tuple[int, ...]]:
    network = read(Coloured(3).b, folder, question)[1]
    return folder / "model.onnx", network.input_shape


@pytest.mark.parametrize("name", ["bit 3", "two pixels by 3 levels", "last bit"])
def test_measure_write_read_replay(tmp_path: Path, name: str) -> None:
    question = asking(MOVES[name]) if name in MOVES else LAST_BIT
    path, shape = coloured(tmp_path, question)
    image = np.random.default_rng(0).integers(20, 230, shape, dtype=np.uint8)
    other = neighbour(image, question, 1)
    witness = measure_pair(Asked(path, question), image, other, 0, on=ON)
    write_witness(tmp_path / "w.json", witness)
    again = read_witness(tmp_path / "w.json")
    assert np.array_equal(again.pair, np.stack([image, other]))
    assert (again.question, again.pixel) == (question, again.changed[0])
    shown = replay(again.asked(path), again, on=ON)
    assert shown.confirmed
    assert shown.changes == witness.runtimes
    assert shown.lower > 0
    with pytest.raises(UsageError, match="other changes"):
        replay(Asked(path, asking(Move("bit", 6))), again, on=ON)
    with pytest.raises(UsageError, match="no pair of images: the two images are the same"):
        replay(again.asked(path), replace(again, other=again.image), on=ON)
    with pytest.raises(UsageError, match="this is no pair of images"):
        measure_pair(Asked(path, question), image, image ^ np.uint8(255), 0, on=ON)


@pytest.fixture(name="content")
def _content(tmp_path: Path) -> dict[str, object]:
    question = asking(Move("bit", 3, 2))
    other = flipped(3, 5, 22)
    witness = Witness("ab" * 32, IMAGE, (1, 1), 0, 0.0, {}, None, question, other)
    write_witness(tmp_path / "w.json", witness)
    assert np.array_equal(read_witness(tmp_path / "w.json").pair, np.stack([IMAGE, other]))
    return json.loads((tmp_path / "w.json").read_text())


SPOILT: dict[str, tuple[str, object]] = {
    "another pixel": ("pixel", [1, 2]),
    "one channel": ("shape", [1, 4, 4]),
    "four sizes": ("shape", [1, 2, 4, 4]),
    "another shape": ("image", "AAAA"),
    "an image that is no text": ("other", 5),
    "the second image too short": ("other", "AAAA"),
    "no second image": ("other", None),
    "the same image": ("other", "image"),
    "a question that is none": ("question", {"name": "moves"}),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_pair_is_not_read(tmp_path: Path, content: dict[str, object], name: str) -> None:
    field, value = SPOILT[name]
    content[field] = content["image"] if value == "image" else value
    (tmp_path / "w.json").write_text(json.dumps(content))
    with pytest.raises(CertificateError, match=field):
        read_witness(tmp_path / "w.json")


def test_of_another_question_the_second_image_is_none_of_its_own(
    tmp_path: Path, content: dict[str, object]
) -> None:
    question = content["question"]
    assert isinstance(question, dict)
    for how in ({"size": 2}, {"cells": 1}, {"mask": [[0, 5]]}, {"by": "levels", "size": 7}):
        content["question"] = {**question, "move": {**question["move"], **how}}
        (tmp_path / "w.json").write_text(json.dumps(content))
        with pytest.raises(CertificateError, match="'other' is not made by such a change"):
            read_witness(tmp_path / "w.json")


def test_where_the_pixel_tells_it_no_second_image_is_read(tmp_path: Path) -> None:
    grey = Witness("ab" * 32, IMAGE[0], (1, 1), 0, 0.0, {}, None, LAST_BIT, IMAGE[0])
    write_witness(tmp_path / "w.json", grey)
    with pytest.raises(CertificateError, match="'other' is told by the pixel"):
        read_witness(tmp_path / "w.json")


# ---- the search ------------------------------------------------------------------------------


def found_of(folder: Path, question: Question, seed: int = 0) -> tuple[float, float]:
    """L and U of a network whose Q is tanh(1/4), but for softmax and a little."""
    weights = np.random.default_rng(seed).uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32)
    weights /= largest_change(weights, question)
    model, network = planted(weights, folder, question)
    path = Asked(folder / "model.onnx", question)
    found = search(path, seconds=60, rounds=1, starts=8, seed=seed)
    assert found.searched
    assert found.patch is None
    one, other = found.witness.pair
    assert why_no_pair(one, other, question) == ""
    claim = proved(model, question, hints_for(network)).claims[SAME_PROGRAM]
    return found.witness.lower, float(claim.upper)


@pytest.mark.parametrize("name", ["two pixels by 3 levels"])
def test_a_search_comes_near_what_is_known(tmp_path: Path, name: str) -> None:
    lower, upper = found_of(tmp_path, asking(PLANTED[name]))
    assert 0.999 * np.tanh(0.25) < lower < upper < 1.002 * np.tanh(0.25)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_so_does_that_for_any_move(tmp_path: Path, name: str) -> None:
    lower, upper = found_of(tmp_path, asking(PLANTED[name]), 1)
    assert 0.99 * np.tanh(0.25) < lower < upper < 1.01 * np.tanh(0.25)


def test_the_last_bit_of_an_image_of_several_channels(tmp_path: Path) -> None:
    lower, upper = found_of(tmp_path, LAST_BIT)
    assert 0.995 * np.tanh(0.25) < lower < upper < 1.01 * np.tanh(0.25)


def test_a_search_goes_on_from_a_pair_of_the_last_bit_and_keeps_what_is_better(
    tmp_path: Path,
) -> None:
    weights = np.array([[[1.0, 0.5], [0.25, 0.125]]], np.float32)
    planted(weights / 8, tmp_path, LAST_BIT)
    path, question = tmp_path / "model.onnx", asking(Move("bit", 3))
    image = np.zeros((1, SIDE, SIDE), np.uint8)
    last = measure_pair(path, image, image ^ (np.arange(4).reshape(1, 2, 2) == 0), 0, on=ON)
    best = search(Asked(path, question), seconds=60, rounds=0, known=last).witness
    assert best.question == question
    assert best.changed == [(0, 0)]
    again = search(Asked(path, question), seconds=60, rounds=0, known=best)
    assert again.witness.lower >= best.lower
    assert last.lower < best.lower


def boxed(folder: Path, channels: int) -> Path:
    """A network that reads float32 numbers."""
    weights = np.random.default_rng(0).normal(size=(2, 4 * channels)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["v"]),
        helper.make_node("Gemm", ["v", "w"], ["z"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])
        for name, sizes in (("x", (channels, 2, 2)), ("z", (2,)))
    ]
    held = [numpy_helper.from_array(weights, "w")]
    graph = helper.make_graph(nodes, "linear", ends[:1], ends[1:], held)
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize("move", [Move(), Move(cells=3), Move(channels="all", mask=((1, 2),))])
def test_floats_of_several_channels_and_places(tmp_path: Path, move: Move) -> None:
    question = replace(asking(move), box=Box(0.0, 1.0))
    path = Asked(boxed(tmp_path, 2), question)
    found = search(path, seconds=0.01, starts=4).witness
    one, other = found.pair
    assert why_no_pair(one, other, question) == ""
    assert 0 < len(found.changed) <= move.cells
    write_witness(tmp_path / "w.json", found)
    assert np.array_equal(read_witness(tmp_path / "w.json").pair, found.pair)
