"""Fixtures for all tests."""

import os

import pytest

from lastbit.data import LabelledImages, load_mnist
from lastbit.errors import DataError


@pytest.fixture(scope="session")
def mnist_test() -> LabelledImages:
    """The 10,000 test images. Where no source is reachable, tests that need them are skipped;
    under CI they fail, so that a green run means that they ran."""
    try:
        return load_mnist("test")
    except DataError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of many cases of one kind, the first is quick, and the others are slow."""
    seen = set[str]()
    for item in items:
        if item.get_closest_marker("first_is_quick") is None:
            continue
        kind = item.nodeid.split("[")[0]
        if kind in seen:
            item.add_marker(pytest.mark.slow)
        seen.add(kind)
