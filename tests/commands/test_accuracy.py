"""`lastbit accuracy`: what is certified of the first test images, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from lastbit.cli import main
from lastbit.data import Mnist
from lastbit.errors import UsageError
from lastbit.graph import OnnxBuilder
from lastbit.models import resolve_model
from lastbit.questions.accuracy import certify_accuracy


def brightness(folder: Path) -> Path:
    """Two classes by the mean of the image; a mean of 99/255 is a tie."""
    b = OnnxBuilder()
    x = b.div(b.mean(b.input_bytes((1, 4, 4))), 255)
    b.softmax(b.dense(x, [[0.0], [255.0]], [99.0, 0.0]))
    return b.save(folder / "model.onnx")


def shades(*values: int) -> Mnist:
    images = np.repeat(np.array(values, np.uint8), 16).reshape(-1, 4, 4)
    return Mnist(images, np.array([v > 99 for v in values], np.uint8), "made up")


def test_sure_ones_count_and_ties_and_wrong_ones_do_not(tmp_path: Path) -> None:
    files = resolve_model(brightness(tmp_path))
    images = shades(0, 255, 98, 100, 99, 99)
    found = certify_accuracy(files, images)
    assert found.certified == 4
    assert found.images == 6
    assert not {4, 5} & {*found.by_image}
    wrong = Mnist(images.images, 1 - images.labels, "made up")
    none = certify_accuracy(files, wrong)
    assert none.certified == none.by_bound == 0
    assert certify_accuracy(files, images, images=[1, 4]).images == 2


def test_what_the_bound_for_all_images_leaves_open_its_own_may_decide(tmp_path: Path) -> None:
    """A black image is summed without any rounding, whatever others may suffer."""
    b = OnnxBuilder()
    x = b.mean(b.conv(b.input_bytes((1, 4, 4)), np.full((1, 1, 4, 4), 1e6)))
    b.softmax(b.dense(x, [[1.0], [-1.0]], [0.25, 0.0]))
    files = resolve_model(b.save(tmp_path / "model.onnx"))
    images = Mnist(np.zeros((1, 4, 4), np.uint8), np.zeros(1, np.uint8), "made up")
    found = certify_accuracy(files, images)
    assert (found.by_bound, found.right) == (0, 1)
    assert found.by_image == () or found.undecided == ()


def test_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = resolve_model(brightness(tmp_path))
    with pytest.raises(UsageError, match="do not fit"):
        certify_accuracy(files, Mnist(np.zeros((1, 5, 4), np.uint8), np.zeros(1, np.uint8), ""))
    with pytest.raises(UsageError, match="do not fit"):
        certify_accuracy(files, Mnist(np.zeros((1, 4, 4), np.uint8), np.full(1, 2, np.uint8), ""))


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastbit.commands.accuracy.load_mnist", lambda *_, **__: shades(0, 255, 99))
    path, out = brightness(tmp_path), tmp_path / "accuracy.json"
    assert main(["accuracy", str(path), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found
    assert found["accuracy"]["certified"] == 2 / 3
    assert found["accuracy"]["by_bound"] + len(found["accuracy"]["by_image"]) == 2
    assert main(["accuracy", str(path), "--images", "2"]) == 0
    assert "100.00%" in capsys.readouterr().out
