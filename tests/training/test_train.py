"""Trainings from end to end: to the bit, interrupted, resumed, and refused."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lastbit import cli
from lastbit.commands import train as command
from lastbit.errors import MissingExtraError, UsageError
from lastbit.graph import BatchNorm, read_onnx
from lastbit.progress import Progress, silent
from lastbit.training import Recipe, Trained, train
from lastbit.training.checkpoint import CHECKPOINT_FILE, load, save
from training.small import random_mnist, small_recipe

pytestmark = pytest.mark.slow

TIGHT = small_recipe("tight")
TRAINING, TEST = random_mnist(40, 0), random_mnist(10, 1)
STEPS = 2
"""Of an epoch."""


def run(folder: Path, *, resume: bool = False, progress: Progress = silent) -> Trained:
    return train(TIGHT, TRAINING, TEST, folder, resume=resume, progress=progress)


def interrupt_at(start: str, number: int) -> Progress:
    """Progress that presses Ctrl-C once `number` is done of a stage whose name starts so."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage.startswith(start) and done == number:
            raise KeyboardInterrupt

    return progress


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "made" / "by" / "it"
    run(folder)
    return folder


def assert_same(folder: Path, other: Path) -> None:
    """The model, and everything but times in the figures and in the state of training."""
    assert (folder / "model.onnx").read_bytes() == (other / "model.onnx").read_bytes()
    figures, expected = (json.loads((f / "metrics.json").read_bytes()) for f in (folder, other))
    one, two = load(folder), load(other)
    for record in (*figures["history"], *expected["history"], *one.history, *two.history):
        del record["seconds"]
    assert figures == expected
    one.history, two.history = figures["history"], expected["history"]
    tensors, same = flat(vars(one)), flat(vars(two))
    assert tensors.keys() == same.keys()
    for name, value in tensors.items():
        expected = same[name]
        if isinstance(value, torch.Tensor) and isinstance(expected, torch.Tensor):
            assert torch.equal(value, expected), name
        else:
            assert value == expected, name


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """The leaves of nested dictionaries."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [flat(inner, f"{prefix}/{name}") for name, inner in value.items()]
    return {name: leaf for part in parts for name, leaf in part.items()}


def test_a_training_writes_its_files(uninterrupted: Path):
    assert names(uninterrupted) == {"model.onnx", "recipe.json", "metrics.json", CHECKPOINT_FILE}
    assert Recipe.from_json((uninterrupted / "recipe.json").read_bytes()) == TIGHT
    metrics = json.loads((uninterrupted / "metrics.json").read_bytes())
    assert [record["epoch"] for record in metrics["history"]] == [1, 2, 3, 4]
    assert {"first_layer", "rounding", "attained"} <= metrics["history"][0].keys()
    losses = [record["loss"] != record["cross_entropy"] for record in metrics["history"]]
    assert losses == [False, True, True, True]  # the bound comes in after a tenth of all steps
    assert metrics["accuracy"]["test"] in np.arange(11) / 10
    state = load(uninterrupted)
    assert state.averaged == 2 * STEPS
    kept = {name: value for name, value in state.network.items() if name in state.average}
    assert any(not torch.equal(value, state.average[name]) for name, value in kept.items())


@pytest.mark.parametrize(
    "step", [STEPS + 1, 2 * STEPS + 1, 3 * STEPS + 2], ids=["before", "at the freeze", "after"]
)
def test_resumed_is_uninterrupted(uninterrupted: Path, tmp_path: Path, step: int):
    """Batch norm freezes after two epochs. Ctrl-C leaves the last good checkpoint, alone."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt_at("training", step))
    assert names(tmp_path) == {CHECKPOINT_FILE}
    assert load(tmp_path).epoch == (step - 1) // STEPS
    run(tmp_path, resume=True)
    assert_same(tmp_path, uninterrupted)


def test_interrupted_before_the_first_checkpoint(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt_at("training", 1))
    assert names(tmp_path) == set()
    with pytest.raises(UsageError, match="there is no checkpoint to resume"):
        run(tmp_path, resume=True)


def test_interrupted_while_measuring(uninterrupted: Path, tmp_path: Path):
    """The model is written but not measured: it does not appear."""
    shutil.copy(uninterrupted / CHECKPOINT_FILE, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, resume=True, progress=interrupt_at("measuring", len(TEST.images)))
    assert names(tmp_path) == {CHECKPOINT_FILE}
    run(tmp_path, resume=True)
    assert_same(tmp_path, uninterrupted)


def test_interrupted_while_a_checkpoint_is_written(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(uninterrupted / CHECKPOINT_FILE, tmp_path)
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(load(tmp_path), tmp_path)
    assert names(tmp_path) == {CHECKPOINT_FILE}
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before


def test_a_finished_training_is_not_overwritten(uninterrupted: Path):
    with pytest.raises(UsageError, match=r"holds a training already.*--resume"):
        run(uninterrupted)


def test_another_recipe_does_not_resume(uninterrupted: Path):
    other = small_recipe("tight", seed=1)
    with pytest.raises(UsageError, match="made by another recipe"):
        train(other, TRAINING, TEST, uninterrupted, resume=True)


@pytest.mark.parametrize("content", [b"", b"nonsense", "cut", "other"])
def test_a_broken_checkpoint_is_refused(uninterrupted: Path, tmp_path: Path, content: bytes | str):
    path = tmp_path / CHECKPOINT_FILE
    match content:
        case "cut":
            path.write_bytes((uninterrupted / CHECKPOINT_FILE).read_bytes()[:-1000])
        case "other":
            torch.save({"network": {}}, path)
        case bytes():
            path.write_bytes(content)
    with pytest.raises(UsageError, match="not a checkpoint") as caught:
        run(tmp_path, resume=True)
    assert caught.value.where == str(path)


def test_there_is_no_such_device(tmp_path: Path):
    with pytest.raises(UsageError, match=r"there is no such device.*--device abacus"):
        train(TIGHT, TRAINING, TEST, tmp_path / "new", device="abacus")
    assert names(tmp_path) == set()


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> object:
        return None if name == "torch" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_missing_pytorch_names_the_extra(tmp_path: Path, without_torch: None):
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train\]") as caught:
        run(tmp_path / "new")
    assert caught.value.extra == "train"
    assert names(tmp_path) == set()


@pytest.fixture
def lastbit_train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`lastbit train` on random images, with a small recipe from a file."""
    data = {"train": random_mnist(50, 2), "test": TEST}
    monkeypatch.setattr(command, "load_mnist", lambda split, *, progress: data[split])

    def call(recipe: Recipe, *options: str) -> int:
        file = tmp_path / "small.json"
        file.write_text(recipe.to_json())
        out = str(tmp_path / "out")
        return cli.main(["train", recipe.name, "--recipe", str(file), "--out", out, *options])

    return call


def test_the_command_trains_plain(lastbit_train, tmp_path: Path, capsys):
    recipe = small_recipe("plain", epochs=3, batch_norm_epochs=3)
    assert lastbit_train(recipe, "--epochs", "1", "--seed", "7", "--json") == 0
    out, err = capsys.readouterr()
    payload = json.loads(out)
    assert payload["model"]["name"] == "plain"
    assert err.startswith("lastbit: epoch 1/1, cross-entropy ") and err.endswith(" 0:00 left\n")
    path = Path(payload["path"])
    assert path == tmp_path / "out" / "model.onnx"
    operators = [node.op_type for node in onnx.load(str(path)).graph.node]
    normed = [node for node in read_onnx(path) if isinstance(node, BatchNorm)]
    assert operators.count("BatchNormalization") == len(normed) == 1 + (3 * 16 - 1) + 1
    assert all(layer.mean.any() for layer in normed)
    written = Recipe.from_json((tmp_path / "out" / "recipe.json").read_bytes())
    assert (written.seed, written.epochs, written.batch_norm_epochs) == (7, 1, 1)


def test_the_command_is_interrupted_and_resumed(
    lastbit_train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    @contextmanager
    def watched() -> Iterator[Progress]:
        yield interrupt_at("training tight", STEPS + 1)

    recipe = small_recipe("tight", epochs=2, batch_norm_epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(command, "watched", watched)
        assert lastbit_train(recipe) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "lastbit: interrupted"
    assert names(tmp_path / "out") == {CHECKPOINT_FILE}

    assert lastbit_train(recipe) == 2
    assert "--resume" in capsys.readouterr().err
    assert lastbit_train(recipe, "--resume", "--epochs", "3") == 2
    assert "made by another recipe" in capsys.readouterr().err

    assert lastbit_train(recipe, "--resume") == 0
    out, err = capsys.readouterr()
    assert "tight" in out and "epoch 2/2" in err and "epoch 1/2" not in err
    assert "rounding ~" in err


def test_the_command_without_pytorch(lastbit_train, without_torch: None, tmp_path: Path, capsys):
    assert lastbit_train(TIGHT) == 2
    assert capsys.readouterr().err == f"lastbit: {MissingExtraError('training', 'train')}\n"
    assert names(tmp_path) == {"small.json"}


def test_the_command_refuses_wrong_names(tmp_path: Path, capsys):
    assert cli.main(["train", "tigt"]) == 2
    assert "there is no recipe 'tigt'; use one of tight, plain, one" in capsys.readouterr().err
    file = tmp_path / "recipe.json"
    file.write_text(TIGHT.to_json())
    assert cli.main(["train", "plain", "--recipe", str(file)]) == 2
    assert "this recipe is for 'tight', not 'plain'" in capsys.readouterr().err
