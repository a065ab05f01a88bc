"""Reading the operators of a file, one after the other: what a rule is given, and what it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lastbit_check.network import F32, Node, Part, Sum
from lastbit_check.onnxfile import Attribute, Operator, Tensor
from lastbit_check.verdict import Rejected, require

Made = Node | Attribute | None


@dataclass(frozen=True)
class Rule:
    """What makes it of as many nodes, how many inputs, their ranks; attributes of one value."""

    make: dict[int, Callable[..., Made]]
    inputs: tuple[int, ...] = (1,)
    ranks: tuple[int, ...] = (2, 4)
    only: dict[str, Attribute] = field(default_factory=dict[str, Attribute])


@dataclass
class Reader:
    """The values that operators have made, by the tensor's name: nodes, or constants.

    A renaming operator makes the node that it reads. ``reads`` says which nodes the operator of
    each other one does. ``batch`` is the number of images, if it is said.
    """

    rules: dict[str, Rule]
    batch: int | None = None
    values: dict[str, Node | Tensor] = field(default_factory=dict[str, Node | Tensor])
    reads: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def read(self, o: Operator) -> None:
        """One more operator."""
        require(o.name, "model.graph", "with no output, or several")
        require(o.name not in self.values, "model.graph", "no new name")
        require(o.op in self.rules, "model.operator", f"operator {o.op} has no rule")
        rule = self.rules[o.op]
        require(len(o.inputs) in rule.inputs, "model.operator", f"of {len(o.inputs)} inputs")
        said = {name: o.attributes.get(name, value) for name, value in rule.only.items()}
        other = [f"{name} {v}" for name, v in said.items() if v != rule.only[name]]
        require(not other, "model.operator", f"with {', '.join(other)}")
        given = [name for name in o.inputs if name]
        variable = [name for name in given if not isinstance(self.values.get(name), np.ndarray)]
        sources = [self.node(name) for name in variable]
        require(len(sources) in rule.make, "model.graph", "a constant, or none, is read here")
        ranks = {x.rank for x in sources}
        fits = len(ranks) < 2 and ranks <= {*rule.ranks}
        require(fits, "model.shape", f"of tensors of {sorted(ranks)} axes")
        made = rule.make[len(sources)](self, o, *sources)
        self.keep(o.name, made)
        if isinstance(made, Node) and made.name == o.name:
            self.reads[o.name] = [x.name for x in sources]

    def keep(self, name: str, made: Made) -> None:
        """Note what a tensor of the file holds."""
        if isinstance(made, Node):
            require(0 < math.prod(made.shape) < 2**24, "model.shape", "empty or too large")
        elif isinstance(made, np.ndarray):
            require(np.all(np.isfinite(made)), "model.weights", "a weight is not finite", name)
        else:
            raise Rejected("model.operator", "not a tensor")
        self.values[name] = made

    def node(self, name: str) -> Node:
        """The node that a tensor is."""
        value = self.values.get(name)
        if not isinstance(value, Node):
            raise Rejected("model.graph", "a tensor is read before it is made", name)
        return value

    def tensor(self, name: str) -> Tensor:
        """The constant that a tensor is."""
        value = self.values.get(name)
        if value is None or isinstance(value, Node):
            raise Rejected("model.graph", "a weight is not a constant", name)
        return value

    def floats(self, name: str) -> F32:
        """Likewise, of binary32 numbers."""
        values = self.tensor(name)
        require(values.dtype == np.dtype("<f4"), "model.weights", "a weight is not float32", name)
        return values.astype(np.float32)


def made(o: Operator, op: str, *sources: Node, **parts: Any) -> Node:
    """What ``o`` makes of its sources; shape and rank are the first one's unless given."""
    first, names = sources[0], tuple(source.name for source in sources)
    return replace(Node(o.name, op, names, first.shape, first.rank), **parts)


def summed(o: Operator, what: Sum, like: Node, **parts: Any) -> Node:
    """A node that is a sum, in the shape of ``like`` unless given."""
    names = tuple(part.source for part in what.parts)
    return replace(Node(o.name, "sum", names, like.shape, like.rank, what), **parts)


def copy_of(x: Node) -> Sum:
    """The node itself, as a sum of one copy."""
    channels = x.shape[0]
    ones = np.ones((channels, 1, 1, 1), np.float32)
    return Sum((Part(x.name, ones, groups=channels, moved=x.trailing, copies=True),))


def taken_in(x: Node) -> Sum:
    """What a constant is added to, or multiplied with: the terms of a sum, or the node itself."""
    return x.sum or copy_of(x)
