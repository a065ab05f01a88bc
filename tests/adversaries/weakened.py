"""A rule made wrong on purpose, from the checker's own source, to see that an adversary notices."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def weakened(function: Callable[..., Any], right: str, wrong: str) -> Callable[..., Any]:
    """``function`` with one piece of its source replaced, which must be there exactly once."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, (function.__qualname__, right)
    names: dict[str, Any] = {}
    exec(source.replace(right, wrong), function.__globals__, names)
    return names[function.__name__]
