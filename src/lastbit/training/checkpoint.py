"""The state of an unfinished training, in one file that is replaced as a whole."""

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lastbit.errors import OutputError, UsageError
from lastbit.files import write_whole
from lastbit.training.recipes import AnyRecipe, recipe_from_json

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass
class Checkpoint:
    """What training goes on from, at the end of an epoch (or, with a `DeepRecipe`, of some steps).

    Random numbers need no state: each epoch's, or step's, come from the seed and its number.

    Attributes:
        epoch: how many epochs, or steps, are complete.
        network, optimizer: state dicts.
        average: the averaged parameters, by name; empty before averaging begins. With a
            `DeepRecipe` the averaged network's state dict.
        averaged: how many steps they are the average of.
        masks: which weights have been kept, by name.
        history: one record for each checkpoint.
    """

    recipe: AnyRecipe
    epoch: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any]
    averaged: int
    masks: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the checkpoint; until it is complete, the one before stays.

    Raises:
        OutputError: the folder is not writable, or the disk is full.
    """
    stream = io.BytesIO()
    torch.save({**vars(checkpoint), "recipe": checkpoint.recipe.to_json()}, stream)
    write_whole(folder / CHECKPOINT_FILE, stream.getvalue())


def load(folder: Path) -> Checkpoint:
    """Read the checkpoint of a folder; no code in it is run.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    fix = "start again without --resume, in another folder"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        recipe = recipe_from_json(content["recipe"])
        return Checkpoint(**{**content, "recipe": recipe})
    except FileNotFoundError as error:
        raise UsageError("there is no checkpoint to resume", where=str(path), fix=fix) from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise UsageError(f"not a checkpoint: {error}", where=str(path), fix=fix) from error


def prepare(folder: Path, *, resume: bool) -> None:
    """Make the folder, and protect a training that it already holds.

    Raises:
        OutputError: it cannot be made.
        UsageError: it holds a checkpoint and `resume` is not asked for.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    if not resume and (folder / CHECKPOINT_FILE).exists():
        raise UsageError(
            "this folder holds a training already",
            where=str(folder),
            fix="go on with --resume, or choose another --out",
        )
