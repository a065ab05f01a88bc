"""What a claim assumes, by name (docs/bound.md, section 2).

Map: assumptions; a definition
"""

from __future__ import annotations

from lastbit_check.network import Network
from lastbit_check.operators import KINDS
from lastbit_check.question import LAST_BIT, SAME_PROGRAM, Question

OF_EVERY_NETWORK = (
    "any-order-binary32",
    "computed-once",
    "exp-relative-2^-20",
    "rewritten-sum-scale-hide",
    "softmax-max-subtracted",
)
STORED = "binary32-values"
OF_ONE_PROGRAM = (STORED, "deterministic")


def assumptions(
    network: Network, executions: str, question: Question = LAST_BIT
) -> tuple[str, ...]:
    """What a claim for these executions assumes, in order: more of the kinds of its nodes.

    Where several cells move, any two executions are linked by a chain of runs, all but one of which
    follow the first as one program would (docs/bound.md, section 3): they store as it does.
    """
    present = {node.op for node in network.nodes}
    of_kinds = {name for op, kind in KINDS.items() if op in present for name in kind.assumed}
    of_one = OF_ONE_PROGRAM * (executions == SAME_PROGRAM)
    linked = (STORED,) * (question.move.cells > 1)
    return tuple(sorted({*OF_EVERY_NETWORK, *of_kinds, *of_one, *linked}))
