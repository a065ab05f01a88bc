"""What every node of the normal form is on a few images, and by which operations it may be made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lastbit.audit.assumptions import allowed_anywhere, allowed_of, curve_kind
from lastbit.audit.exact import ExactNodes, columns, operands
from lastbit.audit.reference import FUNCTIONS, FunctionName, reference
from lastbit.audit.sums import TINY, Float64Array, Known
from lastbit.graph import ByteArray
from lastbit_check.derive.frame import Frame
from lastbit_check.network import Exact, Factor, Network, Node, Part, made_of, product

INSIDE: dict[str, FunctionName] = {"silu": "sigmoid", "hardswish": "hardsigmoid"}
"""The curve that a product with what it reads makes another one of."""
PRODUCTS = ("gate", "quotient")
FOLDED = ("leakyrelu", "line", "power", "reciprocal")
"""Curves of which nothing is assumed, with constants that may be folded into what they read."""
MOST_SETS = 32
EVALUATED = 2.0**-44
"""Relative to a sum's magnitudes: what evaluating the rewritten graph in float64 may add."""


@dataclass(frozen=True)
class Want:
    """A node on the images (N, C, H, W): its value, its terms' magnitudes, how far one may be."""

    value: Float64Array
    size: Float64Array
    slack: Float64Array


@dataclass(frozen=True)
class Expected:
    """The nodes of a network on some images.

    Attributes:
        network: in the checker's normal form.
        nodes: their exact functions.
        values: of every node, and of the sigmoid inside of every SiLU or HardSwish, by name.
        options: of every node, which of its factors may be missing; none is the first option.
        readable: by the atoms of a tensor, which linear (True) or other nodes it may be.
        same: nodes that go by the name of another one, which they equal.
    """

    network: Network
    nodes: ExactNodes
    values: dict[str, Want]
    options: dict[str, list[tuple[Factor, ...]]]
    readable: dict[tuple[frozenset[str], bool], list[str]]
    same: dict[str, str]

    def candidates(self, atoms: frozenset[str], *, linear: bool) -> Iterator[tuple[str, int]]:
        """Nodes that a tensor of these atoms may be, and with how much missing.

        A sum that takes another one's terms in, while that is read elsewhere too, may as well read
        that one.
        """
        for some in self._taken_in(atoms) if linear else [atoms]:
            for name in self.readable.get((some, linear), ()):
                yield from ((name, k) for k in range(len(self.options.get(name, [()]))))
        if linear and len(atoms) == 1:
            yield from ((name, 0) for name in atoms)  # times 1, plus 0, the mean of one place

    def _taken_in(self, atoms: frozenset[str]) -> list[frozenset[str]]:
        """These atoms, and what is left of them if some sums are replaced by what they read."""
        found = [atoms]
        for some in found:
            for name in some:
                node = self.network.by_name.get(name)
                if node is not None and node.op == "sum" and len(found) < MOST_SETS:
                    read = {self.same.get(source, source) for source in node.inputs}
                    for new in (some - {name} | read, some | read):
                        found += [new] * (new not in found)
        return found

    def read_by(self, name: str) -> frozenset[str]:
        """The nodes whose last factors may be applied in a node: those that it reads, if any."""
        node = self.network.by_name.get(name)
        if node is None or node.op not in ("sum", *PRODUCTS):
            return frozenset()
        return frozenset(self.same.get(source, source) for source in node.inputs)

    def of(self, name: str, missing: int) -> Want:
        """A node, or what is left of it without some factors."""
        want, factors = self.values[name], self.options.get(name, [()])[missing]
        if not factors:
            return want
        scale = product(factors, want.value.shape[1]).astype(np.float64)[None, :, None, None]
        return Want(want.value / scale, want.size / np.abs(scale), want.slack / np.abs(scale))


def inside_of(function: FunctionName, name: str) -> str:
    """What the sigmoid inside of a SiLU or HardSwish that reads ``name`` is called."""
    return f"{function}({name})"


def expectations(frame: Frame, images: ByteArray) -> Expected:
    """All nodes on images (N, C, H, W); a node that is the same as another one goes by its name."""
    network, nodes = frame.network, ExactNodes(frame)
    found = Expected(network, nodes, {}, {}, {}, {})
    known = {network.input.name: Known(columns(images))}
    same = found.same
    first = columns(images)
    found.values[network.input.name] = Want(*(_shaped(network.input, v)
                                              for v in (first, first, 0 * first)))  # fmt: skip
    for node in network.nodes[1:]:
        xs = operands(node, known)
        exact = nodes.exact(node, xs).value
        known[node.name] = Known(exact)
        size, slack = _room(nodes, node, xs, exact)
        read = tuple(same.get(name, name) for name in node.inputs)
        twin = _twin(network, node, read, found, _shaped(node, exact), same)
        if twin:
            same[node.name] = twin
            continue
        found.values[node.name] = Want(*(_shaped(node, v) for v in (exact, size, slack)))
        found.options[node.name] = _options(network, node)
        if node.op != "softmax":  # it is looked for at the end: some images leave one class alone
            _enter(found, node, read, xs[0].value)
    return found


def _room(
    nodes: ExactNodes, node: Node, xs: list[Known], exact: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """The magnitudes of a node's terms, and how far its rewritten form may be from it."""
    if node.op == "sum":
        made = nodes.sums[node.name]
        size = made.size(xs)
        return size, made.folded(xs) + size * EVALUATED + TINY
    size = np.abs(exact)
    slack = size * (2.0**-22 if node.op in PRODUCTS and node.trailing else EVALUATED)
    if node.op in FOLDED:
        slack = slack + allowed_of(node, xs[0].value)
    kind = curve_kind(node.op) if node.op in FUNCTIONS else None
    if kind is not None and not kind.precise:
        slack = slack + allowed_of(node, xs[0].value) / 4
    return size, slack + (2.0**-40 if node.op == "softmax" else 2.0**-60) * np.max(size)


def _constants_inside(op: str, reach: Float64Array) -> Float64Array | float:
    """What constants inside of a curve that are rounded (1/6, say) may move it by."""
    if op not in FUNCTIONS:
        return 0.0
    kind = curve_kind(op)
    return 0.0 if kind is None or kind.precise else allowed_anywhere(op, reach) / 4


def _twin(
    network: Network, node: Node, read: tuple[str, ...], found: Expected, value: Float64Array,
    same: dict[str, str],
) -> str:  # fmt: skip
    """A node before this one that is the same: a copy of it, or the same function of the same."""
    if node.sum is not None and len(read) == 1 and not node.sum.constants:
        before = found.values[read[0]].value
        if before.shape == value.shape and np.array_equal(before, value):
            return read[0]
    for other in network.nodes:
        if other.name == node.name:
            return ""
        alike = other.op == node.op and other.shape == node.shape and other.name not in same
        alike = alike and tuple(same.get(name, name) for name in other.inputs) == read
        if alike and other.op != "input" and np.array_equal(found.values[other.name].value, value):
            return other.name
    return ""


def _options(network: Network, node: Node) -> list[tuple[Factor, ...]]:
    """Which factors may be missing: last ones, of a product those of what it reads."""
    if node.op in PRODUCTS:
        count = len(network.by_name[node.inputs[0]].trailing)
        x, s = node.trailing[:count], node.trailing[count:]
        listed = [(*x[k:], *s[j:]) for k in range(len(x), -1, -1) for j in range(len(s), -1, -1)]
    else:
        listed = [node.trailing[k:] for k in range(len(node.trailing), -1, -1)]
    return [some for some in listed if all(np.all(f.value != 0) for f in some)]


def _enter(found: Expected, node: Node, read: tuple[str, ...], x: Float64Array) -> None:
    """Note of what a tensor may be the node."""
    linear, network = node.op == "sum", found.network
    options = [_names(found, name) for name in dict.fromkeys(read)]
    if node.op in FOLDED:  # with what divides a mean, say
        options[0].append(frozenset(found.same.get(n, n) for n in network.by_name[read[0]].inputs))
    for chosen in itertools.product(*options):
        atoms = frozenset[str]().union(*chosen)
        listed = found.readable.setdefault((atoms, linear), [])
        listed += [node.name] * (node.name not in listed)
    if node.op not in INSIDE:
        return
    function = INSIDE[node.op]
    inside = inside_of(function, read[0])
    given = [n for n in network.nodes if n.op == function and n.inputs == node.inputs]
    if given:
        inside = given[0].name
    else:
        value = _shaped(node, reference(function, x).value)
        slack = np.abs(value) * EVALUATED + _shaped(node, 0 * x + _constants_inside(function, x))
        found.values[inside] = Want(value, np.abs(value), slack)
        found.readable.setdefault((frozenset(read), False), []).append(inside)
    found.readable.setdefault((frozenset((*read, inside)), False), []).append(node.name)


def _names(found: Expected, name: str) -> list[frozenset[str]]:
    """What a node may stand for: itself, or what it is only copies of, or multiples of copies.

    Copies of copies are copies, but a factor is not applied beyond them. Constants that cancel are
    folded to 0, which nobody adds.
    """
    listed, first = [frozenset({name})], True
    for some in listed:
        for one in some:
            made = _copied(found.network.by_name[one], scaled=first)
            for sources in _subsets(made or set()):
                new = some - {one} | {found.same.get(source, source) for source in sources}
                listed += [new] * (new not in listed and len(listed) < MOST_SETS)
        first = False
    return listed


def _subsets(sources: set[str]) -> Iterator[tuple[str, ...]]:
    """All of them, and fewer: not all that is put side by side need be read."""
    for count in range(len(sources), 0, -1):
        yield from itertools.combinations(sorted(sources), count)


def _copied(node: Node, *, scaled: bool) -> set[str] | None:
    """The nodes of which one is only copies; if it may be ``scaled``, multiples of copies."""
    if node.sum is None or _adds(node):
        return None
    most = len(node.trailing) if scaled else 0
    parts = node.sum.parts
    alike = all(_bare(part) and _counted(part) <= most for part in parts)
    return {part.source for part in parts} if alike and _apart(node) else None


def _bare(part: Part) -> bool:
    """Whether it is copies: of a mean over one number, too."""
    ones = part.weight.size == part.groups == len(part.weight) and np.all(part.weight == 1)
    return part.copies or bool(ones)


def _counted(part: Part) -> int:
    """How many factors are not 1."""
    return sum(bool(np.any(factor.value != 1)) for factor in part.factors)


def _apart(node: Node) -> bool:
    """Whether every number of a sum of copies is one copy, and no sum of several."""
    assert node.sum is not None
    places = [part.view.order for part in node.sum.parts if part.view is not None]
    if len(node.sum.parts) == 1:
        return True
    there = [order >= 0 for order in places if order is not None]
    return len(there) == len(node.sum.parts) and bool(np.all(np.sum(there, axis=0) <= 1))


def _adds(node: Node) -> bool:
    """Whether the constants of a sum add up to something."""
    assert node.sum is not None
    units = math.prod(node.shape)
    each = [made_of(c, node.shape) for c in node.sum.constants]
    none: Exact = np.zeros(units, object)
    return bool(np.any(sum((v.repeat(units // len(v)) for v in each), none) != 0))


def _shaped(node: Node, values: Float64Array) -> Float64Array:
    """(units, N) to (N, C, H, W)."""
    return np.ascontiguousarray(values.T).reshape(-1, *node.shape)
