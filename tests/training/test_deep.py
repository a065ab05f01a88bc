"""`deep` from end to end: what is written computes what was trained; resumed is uninterrupted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from lastbit import cli
from lastbit.commands import train as command
from lastbit.errors import ModelError, UsageError
from lastbit.graph import Silu, read_onnx
from lastbit.models.efficientnet import B0, state_shapes, widths_of
from lastbit.models.export import export_efficientnet
from lastbit.progress import Progress, silent
from lastbit.runtimes import OnnxRuntime
from lastbit.training import DeepRecipe, Trained, train
from lastbit.training.checkpoint import CHECKPOINT_FILE, load
from lastbit.training.deep.attained import attained
from lastbit.training.deep.folded import deep_state
from lastbit.training.deep.network import DeepNetwork
from training.small import random_deep, random_images, random_mnist, small_deep

RECIPE = small_deep()
TRAINING, TEST = random_mnist(20, 0), random_mnist(10, 1)


def run(
    folder: Path, *, resume: bool = False, progress: Progress = silent, recipe: DeepRecipe = RECIPE
) -> Trained:
    return train(recipe, TRAINING, TEST, folder, resume=resume, progress=progress)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deep")
    run(folder)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeepNetwork, Path]:
    """A random network and the file of it."""
    network = random_deep(RECIPE, 3)
    path = tmp_path_factory.mktemp("written") / "model.onnx"
    export_efficientnet(deep_state(network, RECIPE), path, fold_batch_norm=True)
    return network, path


def test_the_file_computes_what_the_network_does(written: tuple[DeepNetwork, Path]):
    network, path = written
    images = random_images(20, 5)
    with torch.no_grad():
        expected = network(torch.as_tensor(images).float() / 255).double().softmax(1).numpy()
    found = OnnxRuntime().probabilities(path, images[:, 0])
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(found, axis=0).max() > 1e-4  # they depend on the image


def test_the_file_is_an_efficientnet_of_the_recipes_widths(written: tuple[DeepNetwork, Path]):
    _, path = written
    network = read_onnx(path)
    assert sum(isinstance(node, Silu) for node in network) == 1 + 1 + 15 * 3 + 2
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    widths = widths_of({name: value.shape for name, value in tensors.items()})
    assert widths == RECIPE.architecture != B0
    for name, shape in state_shapes(widths).items():
        if name in tensors:
            assert tensors[name].shape == shape


def test_weights_outside_of_the_blocks_are_exactly_zero(written: tuple[DeepNetwork, Path]):
    network, path = written
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    for block in network.deep_blocks():
        layout = block.layout
        pairs = [(block.project, layout.project[0])]
        if block.expand is not None and layout.expand is not None:
            pairs.append((block.expand, layout.expand[0]))
        for layer, name in pairs:
            weight = tensors[f"{layout.name}.{name}.weight"][..., 0, 0]
            kept = np.zeros(weight.shape, bool)
            kept[layer.row, layer.column] = True
            assert not weight[~kept].any()
            assert weight[kept].all()
            most = RECIPE.expand_terms if layer is block.expand else 2 * 6 * RECIPE.project_rows
            assert (weight != 0).sum(1).max() <= most


def test_resumed_is_uninterrupted(uninterrupted: Path, tmp_path: Path):
    """Ctrl-C in the second stretch of steps; the checkpoint of the first is gone on from."""

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage.startswith("training") and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_FILE}
    assert load(tmp_path).epoch == RECIPE.checkpoint_steps
    run(tmp_path, resume=True)
    assert (tmp_path / "model.onnx").read_bytes() == (uninterrupted / "model.onnx").read_bytes()
    mine, other = (json.loads((f / "metrics.json").read_bytes()) for f in (tmp_path, uninterrupted))
    for record in (*mine["history"], *other["history"]):
        del record["seconds"]
    assert mine == other
    assert [record["epoch"] for record in mine["history"]] == [1.5, 2.0]


def test_another_recipe_does_not_resume(uninterrupted: Path):
    with pytest.raises(UsageError, match="made by another recipe"):
        run(uninterrupted, resume=True, recipe=replace(RECIPE, reach=0.5))


def test_the_figures_are_written(uninterrupted: Path):
    metrics = json.loads((uninterrupted / "metrics.json").read_bytes())
    nonlinearity = metrics["nonlinearity"]
    assert {kind: len(values) for kind, values in nonlinearity.items()} == {
        "silu": 49, "gate": 16, "residual": 9, "dead": 49,
    }  # fmt: skip
    assert 0 <= metrics["agreement"] < 1e-5
    assert all(record["gain"] > record["attained"] > 0 for record in metrics["history"])
    assert DeepRecipe.from_json((uninterrupted / "recipe.json").read_bytes()) == RECIPE


def test_a_file_of_another_network_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from lastbit.training.deep import folded

    true = folded.deep_state

    def false(network: DeepNetwork, recipe: DeepRecipe) -> folded.State:
        state = true(network, recipe)
        state["classifier.bias"] = state["classifier.bias"] + np.arange(10, dtype=np.float32)
        return state

    monkeypatch.setattr(folded, "deep_state", false)
    with pytest.raises(ModelError, match="from the network's"):
        run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_FILE}


def test_attained_is_the_derivative_by_a_pixel():
    network = random_deep(RECIPE, 4).double()
    pixels = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    found = attained(network, pixels, keep=False)
    logits = network(pixels)
    first, second = logits.topk(2, dim=1).indices.unbind(1)
    each = torch.arange(3)
    for place in (200, 406):
        moved = pixels.clone()
        moved.view(3, -1)[:, place] += 1e-6
        change = (network(moved) - logits).detach() / 1e-6
        assert ((change[each, first] - change[each, second]).abs() <= found * (1 + 1e-4)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (4, 5, 6)}, "do not fit into EfficientNet-B0"),
        ({"widths": (3, 5, 6, 8, 8, 9, 12)}, "do not fit into EfficientNet-B0"),
        ({"widths": (8, 5, 6, 8, 8, 9, 12)}, "do not fall"),
        ({"head": 11}, "head >= the last width"),
        ({"class_terms": 4}, "10 class_terms <= head"),
        ({"reach": 0.0}, "a reach above 0"),
        ({"main_reach": float("nan")}, "a main_reach above 0"),
        ({"temperature": float("inf")}, "a temperature above 0"),
        ({"ratio_every": 0}, "1 <= ratio_every"),
        ({"branch": 1.0}, "0 < branch < 1"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes: dict[str, object], message: str):
    fields = {**json.loads(RECIPE.to_json()), **changes}
    with pytest.raises(UsageError, match=message):
        DeepRecipe.from_json(json.dumps(fields))


def test_the_command_trains_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setattr(
        command, "load_mnist", lambda split, *, progress: TRAINING if split == "train" else TEST
    )
    file = tmp_path / "small.json"
    file.write_text(RECIPE.to_json())
    out = tmp_path / "out"
    options = ["--recipe", str(file), "--epochs", "1", "--out", str(out), "--json"]
    assert cli.main(["train", "deep", *options]) == 0
    printed, told = capsys.readouterr()
    assert json.loads(printed)["model"]["name"] == "deep"
    lines = told.splitlines()
    assert lines[0].startswith("lastbit: epoch 1/1, cross-entropy ")
    assert "of which attained" in lines[-1] and lines[-1].endswith(" 0:00 left")
