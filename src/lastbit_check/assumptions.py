"""What a claim assumes, by name (docs/bound.md, section 2)."""

from __future__ import annotations

from lastbit_check.network import Network
from lastbit_check.operators import KINDS
from lastbit_check.question import SAME_PROGRAM

OF_EVERY_NETWORK = (
    "any-order-binary32",
    "computed-once",
    "exp-relative-2^-20",
    "rewritten-sum-scale-hide",
    "softmax-max-subtracted",
)
STORED = "binary32-values"
OF_ONE_PROGRAM = (STORED, "deterministic")


def assumptions(network: Network, executions: str) -> tuple[str, ...]:
    """What a claim for these executions assumes, in order: more of the kinds of its nodes."""
    present = {node.op for node in network.nodes}
    of_kinds = {name for op, kind in KINDS.items() if op in present for name in kind.assumed}
    of_one = OF_ONE_PROGRAM * (executions == SAME_PROGRAM)
    return tuple(sorted({*OF_EVERY_NETWORK, *of_kinds, *of_one}))
