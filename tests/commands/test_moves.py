"""What a person says may change: --bit, --levels, --places, --channels and --mask, all the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands.test_inputs import model
from lastbit.cli import main
from lastbit.errors import EXIT_USAGE
from lastbit.graph import OnnxBuilder
from lastbit.models.moves import Said, folder_name, moving
from lastbit.runtimes import OnnxRuntime
from lastbit_check.question import LAST_BIT, Move

SHAPE = (2, 3, 4)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """A small network that reads two channels."""
    random, b = np.random.default_rng(0), OnnxBuilder()
    x = b.div(b.input_bytes(SHAPE), 255)
    x = b.silu(b.conv(x, random.normal(size=(3, 2, 3, 3)), random.normal(size=3)))
    b.softmax(b.dense(b.mean(x), random.normal(size=(3, 3))))
    return b.save(tmp_path / "small.onnx")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """A command's JSON object."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


MOVES = {
    "bit": (["--bit", "5"], "one place (one channel of a pixel), in bit 5", "bit-5"),
    "levels": (
        ["--levels", "9", "--places", "3"],
        "up to 3 places (one channel of a pixel), by up to 9 grey levels",
        "levels-9-places-3",
    ),
    "pixels": (
        ["--places", "2", "--channels", "all"],
        "up to 2 pixels (any or all of its channels), in the last bit",
        "bit-0-places-2-all-channels",
    ),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.first_is_quick
def test_from_the_search_to_the_check(
    path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    options, text, folder = MOVES[name]
    found = said(capsys, "search", str(path), *options, "--seconds", "2", "--starts", "4")
    proof = said(capsys, "prove", str(path), *options)
    assert found["change"] == proof["change"]
    assert isinstance(proof["change"], dict)
    assert proof["change"]["text"] == text
    assert proof["verdict"] == "proved"
    assert proof["certificate"] == str(path.with_suffix("") / folder / "certificate.json")
    lower, upper = proof["lower"], proof["upper"]
    assert isinstance(lower, dict)
    assert isinstance(upper, dict)
    assert 0 < lower["same-program"] <= upper["same-program"] < 1
    home = path.with_suffix("") / folder
    for file in ("certificate.json", "witness.json"):
        again = said(capsys, "replay", str(home / file))
        assert again["verdict"] == "confirmed"
        assert again["change"] == proof["change"]
    assert main(["check", str(home)]) == 0
    (home / "model.json").unlink()  # the model is one folder up
    assert main(["check", str(home)]) == 0
    capsys.readouterr()
    assert main(["prove", str(path), *options]) == 0
    assert text in capsys.readouterr().out


def mask(folder: Path, values: object, name: str = "mask.npy") -> str:
    np.save(folder / name, np.asarray(values))
    return str(folder / name)


def test_masks_of_pixels_and_of_places(tmp_path: Path) -> None:
    plane = np.zeros(SHAPE[1:], np.uint8)
    plane[0, 1:3] = 7
    Image.fromarray(plane * 30).save(tmp_path / "mask.png")
    masks = [Path(mask(tmp_path, plane != 0)), tmp_path / "mask.png"]
    for file in masks:
        every = moving(Said(mask=file), LAST_BIT, SHAPE)
        assert every.move == Move(mask=((1, 3), (13, 15)))
        whole = moving(Said(mask=file, channels="all"), LAST_BIT, SHAPE)
        assert whole.move == Move(channels="all", mask=((1, 3),))
    one = np.zeros(SHAPE, np.int64)
    one[1, 2, 3] = -1
    assert moving(Said(mask=Path(mask(tmp_path, one))), LAST_BIT, SHAPE).move.mask == ((23, 24),)
    assert moving(Said(mask=Path(mask(tmp_path, one == one))), LAST_BIT, SHAPE) == LAST_BIT
    assert moving(Said(bit=0, places=1, channels="one"), LAST_BIT, SHAPE) == LAST_BIT


def test_what_is_about_one_move_has_one_folder() -> None:
    moves = [Move("bit", 1), Move("levels", 1), Move(cells=2), Move(channels="all"),
             Move(mask=((0, 2),)), Move(mask=((0, 3),))]  # fmt: skip
    names = {folder_name(moving(Said(), LAST_BIT, SHAPE))}
    names |= {folder_name(LAST_BIT.__class__("moves", move)) for move in moves}
    assert len(names) == 7
    assert "" in names


BAD: dict[str, tuple[list[str], str]] = {
    "bit 8": (["--bit", "8"], "a byte has no bit 8"),
    "bit -1": (["--bit", "-1"], "a byte has no bit -1"),
    "no level": (["--levels", "0"], "0 grey levels"),
    "256 levels": (["--levels", "256"], "256 grey levels"),
    "both": (["--bit", "1", "--levels", "2"], "two things of one byte"),
    "no place": (["--places", "0"], "something has to change"),
    "25 places": (["--places", "25"], "25 places are to change at once, and there are 24"),
    "13 pixels": (["--places", "13", "--channels", "all"], "13 pixels are to change at once"),
    "channels": (["--channels", "two"], "--channels 'two' is not known"),
    "no mask": (["--mask", "{0}/none.npy"], "the mask cannot be read"),
    "a mask of text": (["--mask", "{0}/mask.txt"], "a mask is an array or a picture"),
    "no array": (["--mask", "{0}/bad.npy"], "this is no such file"),
    "no picture": (["--mask", "{0}/bad.png"], "mask"),
    "another shape": (["--mask", "{0}/wide.npy"], "a mask of shape (4, 3) does not fit"),
    "channels of pixels": (
        ["--mask", "{0}/deep.npy", "--channels", "all"], "make it of shape (3, 4)"),
    "real numbers": (["--mask", "{0}/real.npy"], "a mask holds integers or truth values"),
    "an empty mask": (["--mask", "{0}/empty.npy"], "lets nothing change"),
    "more than the mask": (["--mask", "{0}/three.npy", "--places", "7"], "and there are 6 that"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense_is_said_once(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    mask(tmp_path, np.ones((4, 3), np.uint8), "wide.npy")
    mask(tmp_path, np.ones(SHAPE, np.uint8), "deep.npy")
    mask(tmp_path, np.ones(SHAPE), "real.npy")
    mask(tmp_path, np.zeros(SHAPE, np.uint8), "empty.npy")
    mask(tmp_path, np.arange(12).reshape(3, 4) < 3, "three.npy")
    options, message = BAD[name]
    for command in ("prove", "search"):
        code = main([command, str(path), *(option.format(tmp_path) for option in options)])
        shown = capsys.readouterr()
        assert (code, shown.out) == (EXIT_USAGE, "")
        assert message in " ".join(shown.err.split())


@pytest.mark.parametrize("options", [["--bit", "1"], ["--levels", "2"]])
def test_numbers_have_no_bits_to_choose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["prove", str(model(tmp_path)), "--box", "0,1", *options]) == EXIT_USAGE
    assert "which have no bits or grey levels to choose" in capsys.readouterr().err


def test_numbers_of_several_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, options = str(model(tmp_path)), ["--box", "0,1", "--places", "2", "--bit", "0"]
    said(capsys, "search", file, *options, "--seconds", "0.2", "--starts", "4")
    one = said(capsys, "prove", file, "--box", "0,1")["upper"]
    two = said(capsys, "prove", file, *options)["upper"]
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert one["same-program"] < two["same-program"] <= 2 * one["same-program"]


def test_accuracy_counts_what_no_change_moves(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), dtype=np.uint8)
    labels = OnnxRuntime().probabilities(path, images).argmax(axis=1)
    np.savez(tmp_path / "own.npz", images=images, labels=labels.astype(np.uint8))
    counted, still = list[int](), set[float]()
    for options in ([], ["--bit", "0"], ["--bit", "7"], ["--levels", "255", "--places", "24"]):
        main(["accuracy", str(path), "--data", str(tmp_path / "own.npz"), *options, "--json"])
        found = json.loads(capsys.readouterr().out)
        counted.append(round(found["moves"]["certified"] * 12))
        still.add(found["accuracy"]["certified"])
        assert len(found["moves"]["undecided"]) == 12 - counted[-1]
        assert "deterministic" in found["moves"]["assumptions"]
        assert "deterministic" not in found["assumptions"]
    assert still == {1.0}
    assert counted[0] == counted[1] >= counted[2] > counted[3] == 0
