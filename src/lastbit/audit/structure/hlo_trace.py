"""What is found out about one of XLA's programs while it is traced."""

from __future__ import annotations

from dataclasses import dataclass, field

from lastbit.audit.structure.hlo_text import Module
from lastbit.audit.structure.tracing import Tracing


@dataclass(frozen=True)
class Occurrence:
    """Where a node is computed.

    Attributes:
        node: its name.
        kernel: the computation.
        inside: whether a product is added to something on the way to it.
        added: whether it is itself a product that is added to something in the same kernel. (A
            factor that comes last may be applied by each reader for itself.)
    """

    node: str
    kernel: str
    inside: bool
    added: bool


@dataclass
class HloTrace:
    """A program, traced.

    Attributes:
        occurrences: where every node is computed.
        kernels: how many operations each has.
        contracted: products that are added to something in the same kernel.
    """

    tracing: Tracing
    module: Module
    occurrences: list[Occurrence] = field(default_factory=list[Occurrence])
    kernels: dict[str, int] = field(default_factory=dict[str, int])
    contracted: int = 0

    def unequal(self) -> list[str]:
        """Nodes that are computed in several kernels, not surely to the same bits.

        Of a product that is added to something in its kernel LLVM makes a multiply-add, which does
        not round it, or does not, as the instructions around them allow.
        """
        found = list[str]()
        for name in dict.fromkeys(o.node for o in self.occurrences):
            where = [o for o in self.occurrences if o.node == name]
            node = self.tracing.expected.network.by_name.get(name)
            moves = node is not None and bool(node.trailing) and node.op == "sum"
            if len(where) > 1 and any(o.inside or (o.added and not moves) for o in where):
                kernels = ", ".join(o.kernel for o in where)
                found.append(
                    f"{name} is computed in {kernels}, and a product may be rounded in one and not "
                    "in another: computed-once does not hold"
                )
        return found
