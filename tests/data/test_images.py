"""Images in every format are the same images; and of what is none there is one clear error."""

from __future__ import annotations

import gzip
import importlib
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit.data import ImageSet, image_set, open_images, stored
from lastbit.data.canonical import idx_header
from lastbit.errors import DataError, LastbitError, MissingExtraError, OutputError
from lastbit_check.question import LAST_BIT, Box, Question

GREY = np.random.default_rng(0).integers(0, 256, (5, 4, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
NUMBERS = Question("last-bit", box=Box(0.0, 1.0))


def idx(path: Path, images: NDArray[np.uint8]) -> None:
    path.write_bytes(idx_header(images.shape) + images.tobytes())


def packed_idx(path: Path, images: NDArray[np.uint8]) -> None:
    path.write_bytes(gzip.compress(idx_header(images.shape) + images.tobytes()))


def npy(path: Path, images: NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.save(file, images)


def npz(path: Path, images: NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, images=images, labels=np.arange(len(images)))


def pngs(path: Path, images: NDArray[np.uint8]) -> None:
    from PIL import Image

    (path / "b").mkdir(parents=True)
    for k, image in enumerate(images):
        colours = image.transpose(1, 2, 0) if image.ndim == 3 else image
        Image.fromarray(colours).save(path / ("b" if k > 2 else "") / f"{k}.png")
    (path / "readme.txt").write_text("no image")


def parquet(path: Path, images: NDArray[np.uint8]) -> None:
    arrow, tables = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))

    tables.write_table(arrow.table({"label": range(len(images)), "image": images.tolist()}), path)


def parquet_of_pngs(path: Path, images: NDArray[np.uint8]) -> None:
    arrow, tables = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))

    folder = path.parent / "made"
    pngs(folder, images)
    contents = [p.read_bytes() for p in sorted(folder.rglob("*.png"))]
    rows = [{"bytes": content, "path": None} for content in contents]
    tables.write_table(arrow.table({"image": rows}), path)


Write = Callable[[Path, NDArray[np.uint8]], None]
FORMATS: list[Write] = [idx, packed_idx, npy, npz, pngs, parquet, parquet_of_pngs]


def needs(write: Write) -> None:
    for module, names in {"PIL": ("png",), "pyarrow": ("parquet",)}.items():
        if any(name in write.__name__ for name in names) and not find_spec(module):
            pytest.skip(f"needs {module}")


def opened(path: Path, shape: tuple[int, int, int], question: Question = LAST_BIT) -> ImageSet:
    return image_set(open_images(str(path)), shape, question)


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("write", FORMATS)
def test_every_format_holds_the_same_images(
    tmp_path: Path, write: Write, images: NDArray[np.uint8]
) -> None:
    needs(write)
    write(tmp_path / "x", images)
    shape = (1, 4, 6) if images.ndim == 3 else (3, 4, 6)
    found = opened(tmp_path / "x", shape)
    npy(tmp_path / "plain.npy", images)
    assert found.sha256 == opened(tmp_path / "plain.npy", shape).sha256
    wanted = images.reshape(5, *shape)
    assert np.array_equal(found.take(range(1, 4)), wanted[1:4])
    assert np.array_equal(found.take([4, 0, 4]), wanted[[4, 0, 4]])
    assert found.take([2]).dtype == np.uint8 and not found.changed()


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i8", ">u4"])
def test_layouts_and_types_make_no_difference(tmp_path: Path, dtype: str) -> None:
    last = np.ascontiguousarray(COLOUR.transpose(0, 2, 3, 1))
    npy(tmp_path / "first", COLOUR)
    npy(tmp_path / "last", last.astype(dtype))
    first, other = (opened(tmp_path / name, (3, 4, 6)) for name in ("first", "last"))
    assert first.sha256 == other.sha256
    assert np.array_equal(first.take(range(5)), other.take(range(5)))


def test_the_sha256_is_that_of_the_numbers(tmp_path: Path) -> None:
    npy(tmp_path / "a", GREY)
    changed = GREY.copy()
    changed[3, 2, 1] ^= 1
    npy(tmp_path / "b", changed)
    npy(tmp_path / "c", GREY.reshape(5, 6, 4))
    npy(tmp_path / "d", GREY[:4])
    found = [opened(tmp_path / name, (1, 4, 6)).sha256 for name in "abd"]
    found.append(opened(tmp_path / "c", (1, 6, 4)).sha256)
    assert len({*found}) == 4
    shorter = image_set(open_images(str(tmp_path / "a")), (1, 4, 6), LAST_BIT, first=4)
    assert shorter.sha256 == found[2] and len(shorter) == 4


def test_names_and_order_of_pngs_are_those_of_their_paths(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    pngs(tmp_path / "x", GREY)
    found = opened(tmp_path / "x", (1, 4, 6))
    assert [found.name_of(k) for k in range(5)] == [
        "0.png", "1.png", "2.png", "b/3.png", "b/4.png"
    ]  # fmt: skip
    (single,) = opened(tmp_path / "x" / "1.png", (1, 4, 6)).take([0])
    assert np.array_equal(single[0], GREY[1])


def test_float32_numbers_are_read_bit_by_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).uniform(0, 1, (3, 1, 2, 2)).astype(np.float32)
    numbers[0, 0, 0, 0] = -0.0
    npy(tmp_path / "x", numbers)
    found = opened(tmp_path / "x", (1, 2, 2), NUMBERS)
    assert found.take(range(3)).tobytes() == numbers.tobytes()


def bent(change: Callable[[NDArray[np.float32]], None]) -> NDArray[np.float32]:
    numbers = np.full((3, 4, 6), 0.5, np.float32)
    change(numbers)
    return numbers


WRONG: dict[str, tuple[NDArray[np.generic], Question, str]] = {
    "size": (np.zeros((5, 6, 4), np.uint8), LAST_BIT, "do not fit a network that reads"),
    "axes": (np.zeros((5, 2, 4, 6), np.uint8), LAST_BIT, "do not fit"),
    "vector": (np.zeros(5, np.uint8), LAST_BIT, "do not fit"),
    "type": (np.zeros((5, 4, 6)), LAST_BIT, "float64 are not bytes"),
    "bool": (np.zeros((5, 4, 6), bool), LAST_BIT, "bool are not bytes"),
    "range": (np.full((5, 4, 6), 256), LAST_BIT, "image 0 holds numbers outside 0 to 255"),
    "negative": (np.full((5, 4, 6), -1), LAST_BIT, "outside 0 to 255"),
    "none": (np.zeros((0, 4, 6), np.uint8), LAST_BIT, "no images"),
    "bytes": (GREY, NUMBERS, "uint8 are not float32"),
    "double": (np.zeros((5, 4, 6)), NUMBERS, "float64 are not float32"),
    "nan": (bent(lambda x: x[1].fill(np.nan)), NUMBERS, "image 1 holds NaN"),
    "infinite": (bent(lambda x: x[2].fill(np.inf)), NUMBERS, "image 2 holds numbers outside"),
    "box": (bent(lambda x: x[2].fill(1.5)), NUMBERS, "outside 0 to 1; .*--box"),
    "text": (np.full((5, 4, 6), "1"), LAST_BIT, "are not bytes"),
    "structured": (np.zeros(5, [("a", "u1")]), LAST_BIT, "holds no images"),
    "order": (np.asfortranarray(GREY), LAST_BIT, "Fortran"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_error(tmp_path: Path, case: str) -> None:
    images, question, message = WRONG[case]
    npy(tmp_path / "x", images)
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path / "x", (1, 4, 6), question)
    assert "\n" not in str(caught.value)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(DataError, match="holds no images"):
        open_images(str(tmp_path / "x.npy"))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("seed", range(4))
def test_a_spoilt_file_is_an_error_or_other_images(tmp_path: Path, write: Write, seed: int) -> None:
    """Cut off, it is an error; with a byte changed, an error or images, but nothing else."""
    needs(write)
    write(tmp_path / "x", GREY)
    path = tmp_path / "x"
    path = path / "1.png" if path.is_dir() else path
    content = path.read_bytes()
    random = np.random.default_rng(seed)
    for _ in range(20):
        spoilt = bytearray(content)
        spoilt[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        path.write_bytes(spoilt)
        try:
            assert len(opened(tmp_path / "x", (1, 4, 6))) == 5
        except LastbitError as error:
            assert "\n" not in str(error) and "x" in error.where
    path.write_bytes(cut(content))
    with pytest.raises(DataError):
        opened(tmp_path / "x", (1, 4, 6)).take(range(5))


def test_pngs_of_another_kind_are_named(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pngs(tmp_path / "x", GREY)
    image.fromarray(GREY[0]).convert("RGBA").save(tmp_path / "x" / "2.png")
    with pytest.raises(DataError, match=r"mode RGBA .*2\.png"):
        open_images(str(tmp_path / "x"))
    image.fromarray(np.zeros((4, 7), np.uint8)).save(tmp_path / "x" / "2.png")
    with pytest.raises(DataError, match="one size and type"):
        open_images(str(tmp_path / "x"))


def test_no_images_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no PNGs in this folder"):
        open_images(str(tmp_path))
    with pytest.raises(DataError, match="No such file"):
        open_images(str(tmp_path / "none"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="not an IDX file"):
        open_images(str(tmp_path / "text"))
    (tmp_path / "long").write_bytes(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3))
    with pytest.raises(DataError, match="not an IDX file"):
        open_images(str(tmp_path / "long"))
    npz_of_two = tmp_path / "two"
    with npz_of_two.open("wb") as file:
        np.savez(file, a=GREY, b=GREY)
    with pytest.raises(DataError, match="no array is called `images`; there are a, b"):
        open_images(str(npz_of_two))


def test_a_parquet_file_without_images_is_an_error(tmp_path: Path) -> None:
    arrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    tables.write_table(arrow.table({"label": [1, 2]}), tmp_path / "x")
    with pytest.raises(DataError, match="no column of images; there are label"):
        open_images(str(tmp_path / "x"))
    tables.write_table(arrow.table({"image": ["a", "b"]}), tmp_path / "y")
    with pytest.raises(DataError, match="row 0"):
        open_images(str(tmp_path / "y"))
    tables.write_table(arrow.table({"image": [[[1, 2], [3]]]}), tmp_path / "z")
    with pytest.raises(DataError, match="row 0"):
        open_images(str(tmp_path / "z"))


@pytest.mark.parametrize(("module", "extra"), [("PIL.Image", "png"), ("pyarrow", "parquet")])
def test_what_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    usual = importlib.import_module

    def without(name: str, *rest: str) -> object:
        if name == module:
            raise ImportError
        return usual(name, *rest)

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"")
    (tmp_path / "y").write_bytes(b"PAR1")
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=rf"pip install .*\[{extra}\]"):
        open_images(str(tmp_path / ("x" if extra == "png" else "y")))


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    idx(tmp_path / "x", GREY)
    found = opened(tmp_path / "x", (1, 4, 6))
    with (tmp_path / "x").open("r+b") as file:
        file.truncate(40)
    with pytest.raises(DataError, match="shorter"):
        found.take([4])
    with pytest.raises(DataError, match="shorter"):
        found.changed()


def test_no_space_for_what_is_unpacked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self) -> None:
            self.closed = False

        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            self.closed = True

    full = Full()
    monkeypatch.setattr(stored.tempfile, "TemporaryFile", lambda: full)
    packed_idx(tmp_path / "x", GREY)
    with pytest.raises(OutputError, match=r"No space left .*TMPDIR"):
        open_images(str(tmp_path / "x"))
    assert full.closed


def test_mnist_by_name_is_mnist(mnist_test) -> None:
    found = image_set(open_images("test"), (1, 28, 28), LAST_BIT)
    assert len(found) == 10_000
    assert np.array_equal(found.take([9_999])[0, 0], mnist_test.images[9_999])
