"""Seeds of random cases: `make quick` takes the first ones, `make test` all."""

from typing import Any

import pytest


def seeds(quick: int, every: int) -> list[Any]:
    """0, 1, ...; those from `quick` on are marked as slow."""
    slow = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(quick, every)]
    return [*range(quick), *slow]
