"""How a share of a bound is reported: on the test's record, and on a line of its own (-rP, -s)."""

from collections.abc import Callable

Show = Callable[[str, float, str], None]
"""(rule, share of its bound that was reached, how)."""
