"""What a check can end in: a report, or a rejection that names its rule and its node."""

from __future__ import annotations


class Rejected(Exception):  # noqa: N818 - it is a verdict
    """A rule does not hold.

    Attributes:
        rule: name of the rule, as listed in ``docs/certificate.md``.
        node: name of the node of the network at which it fails, "" where none is concerned.
    """

    def __init__(self, rule: str, message: str, node: str = "") -> None:
        self.rule = rule
        self.node = node
        self.message = message
        place = f" at node {node!r}" if node else ""
        super().__init__(f"rule {rule}{place}: {message}")


class Unreadable(Exception):  # noqa: N818 - it is a verdict
    """A file cannot be read as what it is said to be (missing, truncated, not the format)."""


def require(condition: object, rule: str, message: str, node: str = "") -> None:
    """Raise :class:`Rejected` unless ``condition`` is exactly true (a NaN comparison is not)."""
    if not bool(condition):
        raise Rejected(rule, message, node)
