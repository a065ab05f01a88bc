"""A model as it is given in Python: its files, a path, or the name of a shipped one."""

from __future__ import annotations

import os
from dataclasses import replace

from lastbit.asked import Asked
from lastbit.models.shipped import ModelFiles, resolve_model
from lastbit_check.question import Question

Given = str | os.PathLike[str] | ModelFiles
"""A name, a path, an `Asked`, or the files of a model."""


def files_of(model: Given, question: Question | None = None) -> ModelFiles:
    """The files of a model, with what is asked of it.

    Args:
        model: what `lastbit.models.shipped.resolve_model` takes, or its files.
        question: what is asked; if nothing is said, what goes with the model, else the last bit of
            its bytes, or of its float32 numbers.

    Raises:
        UsageError: there is no such model.
    """
    if not isinstance(model, ModelFiles):
        said = model.question if isinstance(model, Asked) else None
        model = replace(resolve_model(os.fspath(model)), question=said)
    return model if question is None else replace(model, question=question)
