"""The time that a search may take, and who is told how it goes."""

import time
from collections.abc import Callable

from lastbit.progress import Progress

Report = Callable[[float, tuple[int, int], int, float], None]
"""Told of each new best: its change in float64, (row, column), class, seconds since the start."""


class Budget:
    """Starts to run when it is made.

    Args:
        seconds: how long it lasts.
        progress: is told of whole seconds, as the stage "searching".
    """

    def __init__(self, seconds: float, progress: Progress) -> None:
        self.seconds = seconds
        self._progress = progress
        self._start = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def lasts(self, share: float = 1.0) -> bool:
        """Whether less than this share of it is spent."""
        spent = self.spent
        self._progress("searching", min(int(spent), int(self.seconds)), int(self.seconds))
        return spent < share * self.seconds
