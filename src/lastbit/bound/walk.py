"""The checker's walk through a network, observed: how far it is, and what it finds on the way."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from lastbit.bound.norms import Norms
from lastbit.bound.parts import losses, parts
from lastbit_check.certificate import Hints
from lastbit_check.check import Derived, Pass
from lastbit_check.exact import Fix
from lastbit_check.forward import Form, Outcome
from lastbit_check.network import Node

Watch = Callable[[str, int, int], None]


class Kept(Derived):
    """What follows from the hints, and where the bound is lost (`lastbit.bound.parts`).

    The form, the rounding and the norms of every node are empty unless they were asked for.
    """

    parts: dict[str, Fraction]
    nodes: dict[str, dict[str, Fraction]]
    forms: dict[str, Form]
    roundings: dict[str, Fix]
    norms: Norms


class Walk(Pass):
    """A walk that tells ``watch`` after each node, and keeps forms and roundings if asked to.

    ``norms`` are those of the nodes, if they are asked for. ``base`` is the first base and its
    error (units, 1 + groups).
    """

    def __init__(
        self,
        model: bytes,
        hints: Hints,
        *,
        keep: bool = False,
        norms: bool = False,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(model, hints)
        self.norms = Norms() if norms or keep else None
        self.keep, self.watch, self.done = keep, watch, 0
        self.kept: dict[str, Form] = {}
        self.roundings: dict[str, Fix] = {}
        self.base: tuple[Node, Fix] | None = None

    def based(self, node: Node, form: Form) -> Form:
        self.base = self.base or (node, form.error.reshape(-1, form.error.n.shape[3]))
        return super().based(node, form)

    def run(self) -> Kept:
        derived = super().run()
        assert isinstance(derived, Kept)  # what conclude returns
        return derived

    def conclude(self) -> Kept:
        kept = Kept(*super().conclude())
        kept.nodes = losses(self, kept)
        kept.parts = parts(self, kept, kept.nodes)
        kept.forms, kept.roundings, kept.norms = self.kept, self.roundings, self.norms or Norms()
        return kept

    def visit(self, node: Node) -> None:
        super().visit(node)
        if self.keep:
            self.kept[node.name] = self.forms[node.name]
        self.done += 1
        if self.watch:
            self.watch("check", self.done, len(self.nodes) - 1)

    def forward(self, node: Node) -> tuple[Form, Outcome]:
        form, made = super().forward(node)
        if self.keep and node.op != "input":
            self.roundings[node.name] = made.noise
        if self.norms:
            sources = [self.forms[name] for name in node.inputs]
            self.norms.visit(node, self.layers.get(node.name), sources, made.noise)
        return form, made


def derive(model: bytes, hints: Hints, *, keep: bool = False, watch: Watch | None = None) -> Kept:
    """As `lastbit_check.check.derive`; ``keep`` returns the nodes' forms, roundings, norms, too."""
    return Walk(model, hints, keep=keep, watch=watch).run()
