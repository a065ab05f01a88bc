"""`lastbit prove --images`: brackets at given images, their certificate, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.cli import main
from lastbit_check.__main__ import main as check
from soundness.small import model


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a network and five images."""
    (tmp_path / "model.onnx").write_bytes(model())
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "five.npy", images)
    return tmp_path


def proved(here: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    given = ["prove", str(here / "model.onnx"), "--images", str(here / "five.npy"), "--json"]
    code = main([*given, "--out", str(here / "out"), *more])
    return code, json.loads(capsys.readouterr().out)


def test_each_image_has_a_bracket_that_the_checker_accepts(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = proved(here, capsys)
    assert code == 0 and said["verdict"] == "proved" and len(said["images"]) == 5
    for one in said["images"]:
        assert 0 <= one["lower"] <= one["upper"] < 1
        assert 0 <= one["drift"]["seen"] <= one["drift"]["bound"]
    certificate = here / "out" / "certificate.json"
    assert said["certificate"] == str(certificate)
    for some, number in (([], 5), (["--sample", "2", "--seed", "3"], 2)):
        assert check([str(certificate), str(here / "model.onnx"), *some]) == 0
        assert f"ACCEPTED for {number} of 5 images" in capsys.readouterr().out
        named = ["--model", str(here / "model.onnx"), *some]
        assert main(["check", str(certificate), *named, "--json"]) == 0
        same = json.loads(capsys.readouterr().out)
        assert same["accepted"] and len(same["checked"]) == number and same["of"] == 5
        assert same["upper"] == max(said["images"][k]["upper"] for k in same["checked"])


@pytest.mark.slow
def test_a_sample_is_the_same_each_time(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [[one["number"] for one in proved(here, capsys, "--sample", "3")[1]["images"]]
               for _ in range(2)]  # fmt: skip
    assert numbers[0] == numbers[1] and len({*numbers[0]}) == 3


@pytest.mark.parametrize("more", [["--levels", "2"], ["--places", "2"], ["--bit", "7"]])
@pytest.mark.first_is_quick
def test_other_changes(here: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    code, said = proved(here, capsys, *more)
    assert code == 0
    for one in said["images"]:
        assert (one["lower"] is None) == ("--places" in more)
        assert (one["lower"] or 0) <= one["upper"]


@pytest.mark.slow
def test_people_see_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["prove", str(here / "model.onnx"), "--images", str(here / "five.npy")]
    assert main([*given, "--out", str(here / "out")]) == 0
    out = capsys.readouterr().out
    assert "The largest U" in out and "no two executions differ by more than" in out


@pytest.mark.slow
def test_other_images_are_rejected(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proved(here, capsys)
    images = np.load(here / "out" / "images.npy")
    images[3, 0, 2, 2] ^= 1
    np.save(here / "other.npy", images)
    certificate = str(here / "out" / "certificate.json")
    others = [certificate, str(here / "model.onnx"), "--images", str(here / "other.npy")]
    assert check(others) == 1
    assert "rule images.sha256" in capsys.readouterr().out
    (here / "text.npy").write_text("no array")
    assert check([*others[:3], str(here / "text.npy")]) == 2
    assert check([*others[:3], str(here / "none.npy")]) == 2
    assert check([*others[:2], "--sample", "6"]) == 2
    named = ["check", certificate, "--model", str(here / "model.onnx")]
    assert main([*named, "--images", str(here / "other.npy")]) == 1
    assert "images.sha256" in capsys.readouterr().out
    assert main([*named, "--images", str(here / "none.npy")]) == 2
    assert main(["check", "zero", "--sample", "1"]) == 2
    assert "about all images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--images", "/nowhere"], ["--sample", "0"], ["--sample", "6"], ["--seed", "-1"]]
)
def test_bad_input_is_one_clear_error(
    here: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    code, said = proved(here, capsys, *more)
    assert code == 2 and said["verdict"] == "error"
    assert not (here / "out").exists()


def test_a_sample_is_of_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", str(here / "model.onnx"), "--sample", "3"]) == 2
    assert "--sample is of --images" in capsys.readouterr().err
