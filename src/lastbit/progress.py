"""How long-running work tells whoever watches how far it is, without knowing who watches."""

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Called by long-running functions; must be cheap and must not raise.

    `stage` names the work in a few words ("ranges", "downloading t10k-images"), `done` out of
    `total` says how much of the stage is complete. A stage ends when `done == total`; a new name
    starts a new stage.
    """

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note that `done` of `total` is complete."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """The `Progress` of a caller who does not watch."""


def counted(progress: Progress, stage: str) -> Callable[[object, object], None]:
    """An observer of nodes that tells how many there have been."""
    done = 0

    def observe(_: object, __: object) -> None:
        nonlocal done
        done += 1
        progress(stage, done, 0)

    return observe
