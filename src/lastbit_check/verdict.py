"""What a check can end in: a report, or a rejection that names its rule and its node."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

MOST_SAID = 600  # characters


class Rejected(Exception):  # noqa: N818 - it is a verdict
    """A rule does not hold.

    Attributes:
        rule: name of the rule, as listed in ``docs/certificate.md``.
        node: name of the node of the network at which it fails, "" where none is concerned.
    """

    def __init__(self, rule: str, message: str, node: str = "") -> None:
        self.rule, self.message, self.node = rule, brief(message), brief(node)
        place = f" at node {self.node!r}" if node else ""
        super().__init__(f"rule {rule}{place}: {self.message}")

    def inside(self, part: str) -> Rejected:
        """The same, said of a part of a file."""
        return Rejected(self.rule, f"{part}: {self.message}", self.node)


class Unreadable(Exception):  # noqa: N818 - it is a verdict
    """A file cannot be read as what it is said to be (missing, truncated, not the format)."""

    def __init__(self, message: str) -> None:
        super().__init__(brief(message))


def brief(text: str) -> str:
    """A text with its middle left out if it is long: what it quotes is as long as a file likes."""
    return text if len(text) <= MOST_SAID else f"{text[: MOST_SAID // 2]} ... {text[-99:]}"


def require(condition: object, rule: str, message: str, node: str = "") -> None:
    """Raise :class:`Rejected` unless ``condition`` is exactly true (a NaN comparison is not)."""
    if not bool(condition):
        raise Rejected(rule, message, node)


@contextmanager
def at(node: str) -> Generator[None]:
    """What is rejected in this block, and names no node, is rejected at ``node``."""
    try:
        yield
    except Rejected as error:
        raise Rejected(error.rule, error.message, error.node or node) from error


@contextmanager
def reading(failure: str) -> Generator[None]:
    """A file that makes Python's own functions fail in this block is Unreadable."""
    try:
        yield
    except UnicodeDecodeError as error:  # it quotes all that it was given
        raise Unreadable(f"{failure}: not UTF-8 at byte {error.start}") from error
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Unreadable(f"{failure}: {type(error).__name__}, {error}") from error


def readable(condition: object, message: str) -> None:
    """Raise :class:`Unreadable` unless ``condition`` is true."""
    if not bool(condition):
        raise Unreadable(message)
