"""Reading the operators of a file, one after the other: what a rule is given, and what it makes.

Map: normal-form
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check.network import F32, Node, Part, Sum
from lastbit_check.onnxfile import Attribute, Operator, Tensor
from lastbit_check.operators.seen import Seen
from lastbit_check.verdict import Rejected, require

Made = Seen | Node | Attribute | None
MOST_UNITS = 2**24


@dataclass(frozen=True)
class Rule:
    """What makes it of as many tensors, how many inputs, their ranks; attributes of one value.

    A rule that works ``by_number`` is given nodes, and makes one whose numbers are seen as theirs
    are: it does the same to every number, wherever that stands. Of the outputs, those after the
    first may be there if it has ``spare`` ones: no other operator can read them.
    """

    make: dict[int, Callable[..., Made]]
    inputs: tuple[int, ...] = (1,)
    ranks: tuple[int, ...] = ()
    only: dict[str, Attribute] = field(default_factory=dict[str, Attribute])
    by_number: bool = False
    spare: bool = False


@dataclass
class Reader:
    """The values that operators have made, by the tensor's name: nodes as seen, or constants.

    An operator that only renames or arranges makes no node. ``reads`` says which nodes the operator
    of each other one does. ``batch`` is the number of images, if it is said, ``opset`` the set of
    operators.
    """

    rules: dict[str, Rule]
    opset: int
    batch: int | None = None
    values: dict[str, Seen | Tensor] = field(default_factory=dict[str, Seen | Tensor])
    reads: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def read(self, o: Operator) -> None:
        """One more operator."""
        require(o.name, "model.graph", "with no output")
        require(o.name not in self.values, "model.graph", "no new name")
        require(o.op in self.rules, "model.operator", f"operator {o.op} has no rule")
        rule = self.rules[o.op]
        several = o.outputs == 1 or o.op == "Split" or rule.spare
        require(several, "model.operator", f"of {o.outputs} outputs")
        if o.output and rule.spare:
            return
        require(len(o.inputs) in rule.inputs, "model.operator", f"of {len(o.inputs)} inputs")
        said = {name: o.attributes.get(name, value) for name, value in rule.only.items()}
        other = [f"{name} {v}" for name, v in said.items() if v != rule.only[name]]
        require(not other, "model.operator", f"with {', '.join(other)}")
        given = [name for name in o.inputs if name]
        variable = [name for name in given if not isinstance(self.values.get(name), np.ndarray)]
        sources = [self.seen(name) for name in variable]
        computed = f"of {len(sources)} tensors that are no constants"
        require(len(sources) in rule.make, "model.graph", computed)
        ranks = {x.rank for x in sources}
        fits = not rule.ranks or (len(ranks) < 2 and ranks <= {*rule.ranks})
        require(fits, "model.shape", f"of tensors of {sorted(ranks)} axes")
        made = self._made(rule, o, sources)
        self.keep(o.name, made)
        if isinstance(made, Seen) and made.node.name == o.name:
            self.reads[o.name] = [x.node.name for x in sources]

    def _made(self, rule: Rule, o: Operator, sources: list[Seen]) -> Made:
        make = rule.make[len(sources)]
        if not rule.by_number or not sources:
            return make(self, o, *sources)
        node = make(self, o, *(x.node for x in sources))
        return replace(sources[0], node=node) if isinstance(node, Node) else node

    def keep(self, name: str, made: Made) -> None:
        """Note what a tensor of the file holds."""
        if isinstance(made, Seen):
            not_too_many(made.sizes)
        elif isinstance(made, np.ndarray):
            require(np.all(np.isfinite(made)), "model.weights", "a weight is not finite", name)
        else:
            raise Rejected("model.operator", "not a tensor")
        self.values[name] = made

    def seen(self, name: str) -> Seen:
        """The tensor, of a node's numbers."""
        value = self.values.get(name)
        if not isinstance(value, Seen):
            raise Rejected("model.graph", "a tensor is read before it is made", name)
        return value

    def tensor(self, name: str) -> Tensor:
        """The constant that a tensor is."""
        value = self.values.get(name)
        if value is None or isinstance(value, Seen):
            raise Rejected("model.graph", "a weight is not a constant", name)
        return value

    def floats(self, name: str) -> F32:
        """Likewise, of binary32 numbers."""
        values = self.tensor(name)
        require(values.dtype == np.dtype("<f4"), "model.weights", "a weight is not float32", name)
        return values.astype(np.float32)

    def whole(self, name: str) -> list[int]:
        """Likewise, of whole numbers, as a list."""
        values = self.tensor(name)
        require(values.dtype == np.dtype("<i8"), "model.operands", "no whole numbers", name)
        return values.astype(np.int64).ravel().tolist()


def not_too_many(sizes: Iterable[int]) -> None:
    """Rule model.shape, before so many numbers are made. None is not enough."""
    count = math.prod(sizes)
    require(0 < count < MOST_UNITS, "model.shape", f"of {count} numbers")


def made(o: Operator, op: str, *sources: Node, **parts: Any) -> Node:
    """What ``o`` makes of its sources; the shape is the first one's unless given."""
    names = tuple(source.name for source in sources)
    return replace(Node(o.name, op, names, sources[0].shape), **parts)


def summed(o: Operator, what: Sum, like: Node, **parts: Any) -> Node:
    """A node that is a sum, in the shape of ``like`` unless given."""
    names = tuple(part.source for part in what.parts)
    return replace(Node(o.name, "sum", names, like.shape, what), **parts)


def copy_of(x: Node) -> Sum:
    """The node itself, as a sum of one copy."""
    return Sum((copied(x, x.shape[0]),))


def copied(x: Node, channels: int, **parts: Any) -> Part:
    """Copies of a node's numbers, by a view perhaps, in so many channels."""
    ones = np.ones((channels, 1, 1, 1), np.float32)
    return Part(x.name, ones, groups=channels, moved=x.trailing, copies=True)._replace(**parts)


OF_A_MEAN = 2  # roundings of its quotient, or of its reciprocal and a product


def roundings_before(x: Node) -> NDArray[np.int64]:
    """Of the last factors of a node, one of which may be a mean's (C,)."""
    return sum((f.roundings for f in x.trailing), np.zeros(x.shape[0], np.int64)) + OF_A_MEAN


def taken_in(x: Node) -> Sum:
    """What a constant is added to, or multiplied with: the terms of a sum, or the node itself."""
    return x.sum or copy_of(x)
