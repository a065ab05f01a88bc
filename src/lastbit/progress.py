"""How long-running work tells whoever watches how far it is, without knowing who watches."""

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
