"""The fixture that reports shares."""

from collections.abc import Callable

import pytest

from adversaries.shown import Show


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Show:
    def report(rule: str, share: float, how: str) -> None:
        record_property(rule, f"{share:.6f} ({how})")
        print(f"{rule}: {share:.4%} of the bound reached, {how}")

    return report
