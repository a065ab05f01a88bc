"""What a sweep has run stands, whatever ends it; and the same command goes on to the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import DataError, LastbitError, OutputError, PlatformError, UsageError
from lastbit.models.shipped import resolve_model
from lastbit.sweep import Local, sweep
from lastbit.sweep.engines import local
from lastbit.sweep.journal import Journal
from lastbit.sweep.run import no_limits
from lastbit_check.question import Move, asking
from soundness.small import certified
from support.swept import BOTH, images_at, random_images, swept

SUBJECT = {"of": "something"}


def numbers(journal: Journal) -> list[int]:
    return [int(record["number"]) for record in journal.records()]


def written(folder: Path, count: int) -> Path:
    journal = Journal(folder, SUBJECT)
    for k in range(count):
        journal.append(number=np.array(k), values=np.arange(k, dtype=np.float32))
    journal.close()
    return folder / "journal"


def test_a_record_that_is_not_whole_is_cut_off(tmp_path: Path) -> None:
    whole = written(tmp_path, 3).read_bytes()
    two = len(written(tmp_path / "two", 2).read_bytes())
    for cut in range(two, len(whole), 9):
        (tmp_path / "journal").write_bytes(whole[:cut])
        journal = Journal(tmp_path, SUBJECT)
        assert numbers(journal) == [0, 1]
        assert journal.path.stat().st_size == two
        journal.append(number=np.array(7))
        assert numbers(journal) == [0, 1, 7]
        journal.close()


@pytest.mark.parametrize("seed", range(3))
def test_what_follows_a_spoilt_record_is_cut_off(tmp_path: Path, seed: int) -> None:
    whole = bytearray(written(tmp_path, 5).read_bytes())
    first = len(written(tmp_path / "one", 1).read_bytes())
    whole[first + int(np.random.default_rng(seed).integers(len(whole) - first))] ^= 4
    (tmp_path / "journal").write_bytes(whole)
    journal = Journal(tmp_path, SUBJECT)
    found = numbers(journal)
    journal.close()
    assert found == [*range(len(found))] and 1 <= len(found) < 5


def test_a_second_sweep_in_a_folder_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SUBJECT)
    with pytest.raises(OutputError, match="another sweep is writing here"):
        Journal(tmp_path, SUBJECT)
    journal.close()
    Journal(tmp_path, SUBJECT).close()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": "lastbit-sweep-journal-1", "of": "another"}']
)
def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, 2)
    (tmp_path / "subject.json").write_bytes(content)
    before = (tmp_path / "journal").read_bytes()
    with pytest.raises(DataError, match="what is there is kept"):
        Journal(tmp_path, SUBJECT)
    assert (tmp_path / "journal").read_bytes() == before
    (tmp_path / "subject.json").unlink()
    with pytest.raises(DataError, match="a journal of nobody knows what"):
        Journal(tmp_path, SUBJECT)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "file" / "folder", SUBJECT)


@pytest.mark.parametrize("allowed", [0, 1, 700, 1500, 4000])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(3, 6))
    right = swept(tmp_path / "right", images, model, limits=no_limits)
    write, left = os.write, [allowed]

    def full(descriptor: int, content: bytes) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        written = write(descriptor, content[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OutputError, match="No space left"):
            swept(tmp_path / "s", images, model, limits=no_limits)
    again = swept(tmp_path / "s", images, model, limits=no_limits)
    assert again.content() == right.content()
    more = again.executions - right.executions
    assert again.resumed <= again.executions
    assert more in (0, 1)  # the image that was begun is run once more


def test_another_change_is_refused(tmp_path: Path) -> None:
    files = resolve_model(certified(tmp_path) / "model.onnx")
    images = images_at(tmp_path / "i.npy", files, random_images(1, 6))
    other = replace(files, question=asking(Move("levels", 2)))
    with pytest.raises(UsageError, match="of the last bit of one place"):
        sweep(other, images, tmp_path / "s", engine=Local(1))
    assert not (tmp_path / "s").exists()


def test_other_images_and_another_runtime_are_refused(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    files = resolve_model(model)
    images = images_at(tmp_path / "i.npy", files, random_images(3, 6))
    first = swept(tmp_path / "s", images, model)
    others = images_at(tmp_path / "o.npy", files, random_images(3, 6, seed=1))
    with pytest.raises(DataError, match=r"images was .* is "):
        swept(tmp_path / "s", others, model)
    with pytest.raises(DataError, match="runtime was onnxruntime"):
        swept(tmp_path / "s", images, model, runtime="reference")
    assert swept(tmp_path / "s", images, model).content() == first.content()


def test_images_that_change_in_the_middle_are_found_out(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    files = resolve_model(model)
    images = images_at(tmp_path / "i.npy", files, random_images(3, 6))

    def change(stage: str, done: int, total: int) -> None:
        with (tmp_path / "i.npy").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x07")

    with pytest.raises(LastbitError, match=r"changed|same bits"):
        sweep(files, images, tmp_path / "s", engine=Local(1), progress=change)


# ---- processes that are ended ---------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from support.swept import BOTH, images_at, resolve_model
from lastbit.data.numpy_files import read_npy
from lastbit.data import image_set
from lastbit.graph import read_onnx
from lastbit.sweep import Local, no_limits, sweep
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    files = resolve_model(folder / "model.onnx")
    network = read_onnx(files.asked)
    images = image_set(read_npy(folder / "i.npy"), network.input_shape, network.question)
    found = sweep(files, images, folder / "s", engine=Local(int(sys.argv[2])), goals=BOTH,
                  limits=no_limits)
    (folder / "sweep.json").write_bytes(found.content())
"""


KILLS = 4


def started(folder: Path, processes: int) -> subprocess.Popen[bytes]:
    """A process that sweeps, by itself or with others."""
    (folder / "script.py").write_text(SCRIPT)
    tests = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent / 'src'}:{tests}"}
    command = [sys.executable, folder / "script.py", folder, str(processes)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def killed_at(folder: Path, size: int, processes: int) -> bool:
    """Whether a sweep was ended once its journal was so long, before it was done."""
    process, journal = started(folder, processes), folder / "s" / "journal"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size >= size):
        time.sleep(0.0002)
    process.send_signal(signal.SIGKILL)
    return process.wait() != 0


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "processes"), [(0, 1), (1, 2), (2, 1), (3, 1), (4, 1)])
def test_kill_9_at_random_moments(tmp_path: Path, seed: int, processes: int) -> None:
    """Four moments each, twenty in all, told by how far the journal is."""
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(60, 6, seed))
    right = swept(tmp_path / "right", images, model, limits=no_limits)
    whole = (tmp_path / "right" / "journal").stat().st_size
    moments = np.sort(np.random.default_rng(seed).uniform(0, 0.9, KILLS))
    assert all(killed_at(tmp_path, int(moment * whole), processes) for moment in moments)
    assert not (tmp_path / "sweep.json").exists()
    assert started(tmp_path, processes).wait() == 0
    assert (tmp_path / "sweep.json").read_bytes() == right.content()


@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test has loaded it
def test_kill_9_once(tmp_path: Path) -> None:
    """Like that, but of a process that was forked, in the middle of its first records."""
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(4, 6))
    right = swept(tmp_path / "right", images, model, limits=no_limits)
    seen = 0

    def end(stage: str, done: int, total: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        sweep(
            resolve_model(model), images, tmp_path / "s", engine=Local(1), goals=BOTH,
            limits=no_limits, progress=end,
        )  # fmt: skip

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = swept(tmp_path / "s", images, model, limits=no_limits)
    assert again.content() == right.content() and again.resumed > 0


@pytest.mark.slow
def test_workers_that_are_lost_are_replaced(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(60, 6))
    right = swept(tmp_path / "right", images, model, limits=no_limits)
    killed = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "running neighbours" and len(killed) < 2 and done % 15 == 0:
            child = multiprocessing.active_children()[0]
            os.kill(child.pid or 0, signal.SIGKILL)
            killed.append(child.pid)

    found = sweep(
        resolve_model(model), images, tmp_path / "s", engine=Local(2), goals=BOTH,
        limits=no_limits, progress=progress,
    )  # fmt: skip
    assert len(killed) == 2
    assert found.content() == right.content()


@pytest.mark.slow
def test_workers_that_are_always_lost_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(2, 6))
    monkeypatch.setattr(local, "_prepare", os._exit)
    with pytest.raises(PlatformError, match="before any of them had answered"):
        sweep(resolve_model(model), images, tmp_path / "s", engine=Local(2))


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    certified(tmp_path)
    np.save(tmp_path / "i.npy", random_images(400, 6))
    process = started(tmp_path, 2)
    children: list[str] = []
    start = time.monotonic()
    while len(children) < 3 and time.monotonic() < start + 60:  # two, and multiprocessing's own
        time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 3
    time.sleep(3)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
