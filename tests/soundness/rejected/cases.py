"""What the rules of the checker reject, by rule and name: other modules here register cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Case = Callable[[Path], object]
CASES: list[tuple[str, str, Case]] = []


def case(rule: str) -> Callable[[Case], Case]:
    """Register what ``rule`` rejects."""

    def register(function: Case) -> Case:
        CASES.append((rule, function.__name__, function))
        return function

    return register
