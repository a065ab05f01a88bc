"""`lastbit accuracy`: what is certified of the first test images, and what is said of it."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from lastbit.cli import main
from lastbit.data import LabelledImages, read_labelled
from lastbit.data.canonical import idx_header
from lastbit.errors import DataError, UsageError
from lastbit.graph import OnnxBuilder
from lastbit.models import resolve_model
from lastbit.questions.accuracy import HOPELESS, certify_accuracy
from lastbit_check.__main__ import main as check
from support.digits import digits


def brightness(folder: Path) -> Path:
    """Two classes by the mean of the image; a mean of 99/255 is a tie."""
    b = OnnxBuilder()
    x = b.div(b.mean(b.input_bytes((1, 4, 4))), 255)
    b.softmax(b.dense(x, [[0.0], [255.0]], [99.0, 0.0]))
    return b.save(folder / "model.onnx")


def shades(*values: int) -> LabelledImages:
    images = np.repeat(np.array(values, np.uint8), 16).reshape(-1, 4, 4)
    return LabelledImages(images, np.array([v > 99 for v in values], np.uint8), "made up")


def test_sure_ones_count_and_ties_and_wrong_ones_do_not(tmp_path: Path) -> None:
    files = resolve_model(brightness(tmp_path))
    images = shades(0, 255, 98, 100, 99, 99)
    found = certify_accuracy(files, images)
    assert found.certified == 4
    assert found.images == 6
    assert not {4, 5} & {*found.by_image}
    wrong = LabelledImages(images.images, 1 - images.labels, "made up")
    none = certify_accuracy(files, wrong)
    assert none.certified == none.by_bound == 0
    assert certify_accuracy(files, images, images=[1, 4]).images == 2


def bright(folder: Path, weight: float) -> Path:
    """A black image is summed without any rounding, whatever others may suffer."""
    b = OnnxBuilder()
    x = b.mean(b.conv(b.input_bytes((1, 4, 4)), np.full((1, 1, 4, 4), weight)))
    b.softmax(b.dense(x, [[1.0], [-1.0]], [0.25, 0.0]))
    return b.save(folder / "model.onnx")


def black(count: int) -> LabelledImages:
    return LabelledImages(np.zeros((count, 4, 4), np.uint8), np.zeros(count, np.uint8), "made up")


def test_what_the_bound_for_all_images_leaves_open_others_may_decide(tmp_path: Path) -> None:
    """That of the drift for one image; or that at it, where the drift of all is too large."""
    found = certify_accuracy(resolve_model(bright(tmp_path, 1e4)), black(1))
    assert found.change is not None and 0.25 < found.change < HOPELESS
    assert (found.right, found.by_bound, found.by_image, found.at_image) == (1, 0, (0,), ())
    found = certify_accuracy(resolve_model(bright(tmp_path, 1e6)), black(1))
    assert found.change is not None and found.change > HOPELESS
    assert (found.right, found.by_bound, found.by_image, found.at_image) == (1, 0, (), (0,))
    assert found.certified == 1 and found.undecided == () and found.steady == 1


def test_a_change_of_the_last_bit_counts_on_its_own(tmp_path: Path) -> None:
    """The mean is 98.94, and 99 if the one pixel that is even becomes odd; 98.97 is in between."""
    b = OnnxBuilder()
    x = b.div(b.mean(b.input_bytes((1, 4, 4))), 255)
    b.softmax(b.dense(x, [[0.0], [255.0]], [98.97, 0.0]))
    files, images = resolve_model(b.save(tmp_path / "model.onnx")), shades(99, 98, 100)
    images.images[0, 0, 0] = 98
    right = LabelledImages(images.images, np.array([0, 0, 1], np.uint8), "made up")
    found = certify_accuracy(files, right)
    assert found.certified == 3 and found.undecided == ()
    assert found.steady == 2 and found.unsteady == (0,)


def test_a_sample_is_drawn_where_each_image_is_looked_at_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the bound at its images has a certificate that the checker accepts."""
    monkeypatch.setattr("lastbit.questions.accuracy.SAMPLE", 3)
    path, data = bright(tmp_path, 1e6), tmp_path / "black.npz"
    np.savez(data, images=black(5).images, labels=black(5).labels)
    given = ["accuracy", str(path), "--data", str(data), "--processes", "1"]
    out = tmp_path / "certificate"
    assert main([*given, "--certificate", str(out), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)["accuracy"]
    assert "3 of 5 images are looked at" in said.err and "bound at an image takes" in said.err
    assert found["images"] == len(found["at_image"]) == 3 and found["certified"] == 1
    assert found["sample"] == {"of": 5, "seed": 0}
    assert check([str(out / "certificate.json"), str(path)]) == 0
    assert "ACCEPTED for 3 of 3 images" in capsys.readouterr().out
    assert main([*given, "--sample", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["images"] == 5
    assert main([*given, "--sample", "6"]) == 2
    assert "a number from 1 to 5" in capsys.readouterr().err


def test_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = resolve_model(brightness(tmp_path))
    with pytest.raises(UsageError, match="do not fit"):
        certify_accuracy(
            files, LabelledImages(np.zeros((1, 5, 4), np.uint8), np.zeros(1, np.uint8), "")
        )
    with pytest.raises(UsageError, match="do not fit"):
        certify_accuracy(
            files, LabelledImages(np.zeros((1, 4, 4), np.uint8), np.full(1, 2, np.uint8), "")
        )


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastbit.commands.accuracy.load_mnist", lambda *_, **__: shades(0, 255, 99))
    path, out = brightness(tmp_path), tmp_path / "accuracy.json"
    data = ("--data", "mnist")
    assert main(["accuracy", str(path), *data, "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == found
    assert found["accuracy"]["certified"] == 2 / 3
    assert found["accuracy"]["by_bound"] + len(found["accuracy"]["by_image"]) == 2
    assert (found["verdict"], found["data"]) == ("certified", "mnist")
    assert main(["accuracy", str(path), *data, "--images", "2"]) == 0
    assert "100.00%" in capsys.readouterr().out


def test_whose_images_is_asked_of_a_model_that_is_not_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of MNIST are nothing to it, even if they fit."""
    assert main(["accuracy", str(brightness(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert "--data FILE" in said and "--data mnist" in said and said.count("\n") == 1


def idx(array: np.ndarray) -> bytes:
    return idx_header(array.shape) + array.tobytes()


def test_a_person_s_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An .npz, or two IDX files, gzipped or not; what they hold is the same."""
    path, mine = brightness(tmp_path), shades(0, 255, 99)
    np.savez(tmp_path / "mine.npz", images=mine.images, labels=mine.labels)
    (tmp_path / "images").write_bytes(idx(mine.images))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(mine.labels)))
    for given in (
        ["--data", str(tmp_path / "mine.npz")],
        ["--data", str(tmp_path / "images"), "--labels", str(tmp_path / "labels.gz")],
    ):
        assert main(["accuracy", str(path), *given, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["data"] == given[1]
        assert found["accuracy"]["certified"] == 2 / 3


@pytest.mark.parametrize("more", [[], ["--bit", "0"]])
def test_a_model_that_reads_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """What is said of its inputs is in the narrow network's file, and not put before it again."""
    digits(tmp_path)
    data = ["--pixels", "unit", "--data", str(tmp_path / "digits.npz")]
    assert main(["accuracy", str(tmp_path / "digits.onnx"), *data, *more, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["certified"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "labels"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, int)}, "belong together"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(2, int)}, "not bytes"),
        ({"images": np.full((2, 4, 4), 256), "labels": np.zeros(2, int)}, "not bytes"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(2)}, "labels are not"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, -1])}, "labels are not"),
        ({"images": np.array([None]), "labels": np.zeros(1, int)}, "not such an .npz"),
    ],
)
def test_images_that_are_none_are_refused(tmp_path: Path, content: dict, said: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=said) as caught:
        read_labelled(tmp_path / "a.npz")
    assert caught.value.where == str(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03", b"\x1f\x8bno", b"\0\0\x0d\x01" + bytes(8)]
)
def test_files_that_are_no_images_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    for labels in (None, tmp_path / "a", tmp_path / "nowhere"):
        with pytest.raises(DataError):
            read_labelled(tmp_path / "a", labels)


def test_without_a_bound_nothing_is_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 3, as of `prove`, `drift` and `audit`."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 4, 4)), "mul", np.float32(2.0**117))
    x = b.affine(b.mean(x), "mul", np.float32(2.0**-127))
    b.softmax(b.dense(x, [[-1.0], [1.0]]))
    path = b.save(tmp_path / "model.onnx")
    mine = shades(0, 255)
    np.savez(tmp_path / "mine.npz", images=mine.images, labels=mine.labels)
    arguments = ["accuracy", str(path), "--data", str(tmp_path / "mine.npz")]
    assert main([*arguments, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["accuracy"]["test"]) == ("not decided", 0.5)
    assert "finite.values" in found["refused"]
    assert main(arguments) == 3
    assert "no bound" in capsys.readouterr().out
