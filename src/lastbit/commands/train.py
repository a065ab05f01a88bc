"""`lastbit train`: make a network, with its figures."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lastbit.commands.terminal import JsonOption, Result, watched, write_message
from lastbit.data import load_mnist
from lastbit.errors import UsageError
from lastbit.training import RECIPES, AnyRecipe, read_recipe, train as run_training


def train(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", help="Take the recipe from this recipe.json.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and distortions.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default out/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from its checkpoint.")] = False,
    device: Annotated[str, typer.Option(help="Of PyTorch: cpu, cuda, ...")] = "cpu",
    as_json: JsonOption = False,
) -> Result:
    """Train a network from its recipe: `tight` on its own bound, `plain` in the ordinary way.

    `one` is trained like `tight`; its logits then are so large that softmax saturates. `zero` has
    two first layers that let no last bit through, and is trained after them. `deep` has layers of
    Euclidean gain 1, and all of its nonlinearity at work.
    Writes model.onnx, recipe.json and metrics.json, and a checkpoint after each epoch (`deep`:
    every few minutes). The same recipe gives the same bits on the same machine, with as many
    threads and the same versions.
    """
    recipe = _recipe(name, recipe_file, seed, epochs)
    folder = out or Path("out") / name
    with watched() as progress:
        training, test = (load_mnist(split, progress=progress) for split in ("train", "test"))
        trained = run_training(
            recipe,
            training,
            test,
            folder,
            resume=resume,
            device=device,
            progress=progress,
            report=_Reporter(),
        )
    figures = trained.metrics["accuracy"]
    table = Table("model", "folder", "accuracy", "NLL", box=None)
    nll = "infinite" if figures["nll"] is None else f"{figures['nll']:.4f}"
    table.add_row(escape(recipe.name), escape(str(folder)), f"{figures['test']:.2%}", nll)
    payload = {
        "model": {"name": recipe.name, "sha256": trained.metrics["sha256"]},
        "path": str(trained.files.model),
        "accuracy": figures,
        "nonlinearity": trained.metrics["nonlinearity"],
    }
    return Result(payload, table, as_json)


def _recipe(name: str, file: Path | None, seed: int | None, epochs: int | None) -> AnyRecipe:
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}", fix=f"use one of {', '.join(RECIPES)}")
    recipe = RECIPES[name] if file is None else read_recipe(file)
    if recipe.name != name:
        raise UsageError(f"this recipe is for {recipe.name!r}, not {name!r}", where=str(file))
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    return recipe if epochs is None else recipe.with_epochs(epochs)


class _Reporter:
    """One line on standard error per epoch, with the time left."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.first: float | None = None

    def __call__(self, record: dict[str, float]) -> None:
        if self.first is None:
            self.first = record["epoch"] - record.get("passed", 1.0)
        left = record["epochs"] - record["epoch"]
        seconds = (time.monotonic() - self.start) / (record["epoch"] - self.first) * left
        parts = [
            f"epoch {record['epoch']:.4g}/{record['epochs']:.0f}",
            f"cross-entropy {record['cross_entropy']:.4f}",
            f"accuracy {record['accuracy']:.2%}",
            f"NLL {record['nll']:.4f}",
        ]
        if "gain" in record:
            parts.append(f"gain {record['gain']:.4f}, of which attained {record['attained']:.4f}")
        if "rounding" in record:
            parts.append(f"first layer {record['first_layer']:.4f}")
            parts.append(f"rounding ~{record['rounding']:.4f}")
        minutes, rest = divmod(round(seconds), 60)
        write_message(f"{', '.join(parts)}, {minutes}:{rest:02} left")
