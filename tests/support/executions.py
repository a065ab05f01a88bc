"""An execution by the reference executor, with every partial result, for the extracted Coq checker.

Numbers are integers over 2^100, as that checker holds them; tests may move them by any amount. The
executor rounds each operator of the file; a sum that takes others in has their trees in its own.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lastbit.certificate.coq import GRID, on_grid, plain
from lastbit.float32 import correctly_rounded_exp, execute
from lastbit.float32.functions import Function
from lastbit.graph import (
    Add,
    Affine,
    ByteArray,
    Float32Array,
    Linear,
    Mean,
    Network,
    Node,
    Shape,
)
from lastbit.operators.linear import grouped_weight, patches
from lastbit_check.certificate import Hints

CHECKER = Path(__file__).resolve().parents[2] / "build/checker/lastbit-coq-check"
ONE = 2**GRID


class Tree(NamedTuple):
    """A partial sum, and how it came about; padding has no text: Coq's units do not read it."""

    value: np.float32
    text: str


@dataclass(frozen=True)
class SoftmaxParts:
    """What softmax computes on the way."""

    top: int
    differences: list[int]
    powers: list[int]
    total: str
    divisions: list[str]
    probabilities: list[int]

    @property
    def line(self) -> str:
        numbers = f"{_words(self.differences)} {_words(self.powers)} {self.total}"
        return (
            f"softmax {self.top} {numbers} {' '.join(self.divisions)} {_words(self.probabilities)}"
        )


@dataclass(frozen=True)
class Execution:
    """All units' values, from the byte layer on, and how each was computed."""

    network: Network
    image: list[int]
    values: list[int]
    ways: list[str]
    softmax: SoftmaxParts

    @property
    def given(self) -> list[str]:
        return [f"image {_words(self.image)}", f"values {_words(self.values)}"]

    def question(self, unit: int) -> list[str]:
        """Whether one unit, counted from 0, is admitted."""
        return [*self.given, f"unit {unit + 1} {self.ways[unit]}"]

    def questions(self) -> list[str]:
        """Whether each unit is, then softmax, then the whole."""
        units = [f"unit {k + 1} {way}" for k, way in enumerate(self.ways)]
        return [*self.given, *units, self.softmax.line, "execution"]

    def with_value(self, unit: int, value: int, way: str | None = None) -> Execution:
        values, ways = [*self.values], [*self.ways]
        values[unit], ways[unit] = value, way or ways[unit]
        return replace(self, values=values, ways=ways)


def record(
    network: Network,
    image: ByteArray,
    order: str,
    *,
    sigmoid: Function | None = None,
    exp: Function | None = None,
) -> Execution:
    """One execution; every sum is carried out again, and asserted to be the executor's."""
    probabilities, values = execute(
        network, image, order=order, sigmoid=sigmoid, exp=exp, keep=True
    )
    nodes, sums = network.nodes[:-1], _Sums(network, values, order)
    return Execution(
        network,
        [int(v) for v in image.reshape(-1)],
        [held(v) for node in nodes for v in values[node.name].reshape(-1)],
        [way for node in nodes for way in sums.ways(node)],
        _softmax(values[network.logits].reshape(-1), probabilities, order, exp),
    )


def answers(network: Network, lines: list[str]) -> list[str]:
    """The checker's verdict on each question."""
    text = plain(network, Hints({})) + "\n".join(lines) + "\n"
    ran = subprocess.run([str(CHECKER)], input=text, capture_output=True, text=True, check=True)
    return [line.split()[1] for line in ran.stdout.splitlines()]


def held(value: np.float32) -> int:
    return on_grid(float(value))


def _words(numbers: list[int]) -> str:
    return " ".join([str(len(numbers)), *(f"{n:x}" for n in numbers)])


def _hex(value: np.float32) -> str:
    return f"{held(value):x}"


def number(value: np.float32) -> Tree:
    """A number that is read, or stands in the file."""
    return Tree(value, f"c {_hex(value)}")


def product(w: np.float32, x: Tree) -> Tree:
    """A constant of the file times a partial result."""
    value = np.float32(w * x.value)
    return Tree(value, f"p {_hex(value)} n {_hex(w)} {x.text}")


def quotient(x: Tree, c: np.float32) -> Tree:
    """A partial result over a constant of the file."""
    value = np.float32(x.value / c)
    return Tree(value, f"d {_hex(value)} {_hex(c)} {x.text}")


def added(a: Tree, b: Tree) -> Tree:
    """The sum of two partial results."""
    value = np.float32(a.value + b.value)
    if not a.text or not b.text:
        return Tree(value, a.text or b.text)
    return Tree(value, f"a {_hex(value)} {a.text} {b.text}")


def _tree(terms: list[Tree], order: str) -> Tree:
    """The sum as `lastbit.float32.sums` carries it out."""
    if order == "pairwise":
        while len(terms) > 1:
            even = len(terms) // 2 * 2
            pairs = zip(terms[0:even:2], terms[1:even:2], strict=True)
            terms = [added(a, b) for a, b in pairs] + terms[even:]
        return terms[0]
    if order.startswith("random"):
        random = np.random.default_rng(int(order.partition(":")[2]))
        terms = list(terms)
        while len(terms) > 1:
            for end in (1, 2):
                i = int(random.integers(len(terms) - end + 1))
                terms[i], terms[-end] = terms[-end], terms[i]
            terms.append(added(terms.pop(), terms.pop()))
        return terms[0]
    if order == "reversed":
        terms = terms[::-1]
    if order == "worst_first":
        terms = sorted(terms, key=lambda t: -t.value)
    total = terms[0]
    for term in terms[1:]:
        total = added(total, term)
    return total


class _Sums:
    """The trees of all units that add something up, and how every unit was computed."""

    def __init__(self, network: Network, values: dict[str, Float32Array], order: str) -> None:
        self.values, self.order = values, order
        self.trees: dict[str, list[Tree]] = {}
        readers = [name for node in network for name in node.inputs]
        self.alone = {name for name in readers if readers.count(name) == 1}
        self.divided: dict[str, Affine] = {}

    def ways(self, node: Node) -> list[str]:
        y = self.values[node.name].reshape(-1)
        made = self._made(node)
        if made is None:
            return ["plain"] * y.size
        assert [tree.value for tree in made] == y.tolist()
        self.trees[node.name] = made
        if isinstance(node, Affine) and node.kind == "div":
            self.divided[node.name] = node
        return [f"sum {tree.text}" for tree in made]

    def _made(self, node: Node) -> list[Tree] | None:
        match node:
            case Linear():
                shape = self.values[node.x].shape
                return _products(node, self._read(node), (*shape[:3],), self.order)
            case Affine():
                constants = np.broadcast_to(node.constant[:, None, None], node.shape).reshape(-1)
                if node.kind == "div":
                    pairs = zip(self._copies(node.x), constants, strict=True)
                    return [quotient(x, c) for x, c in pairs]
                assert node.kind != "mul"
                signed = -constants if node.kind == "sub" else constants
                pairs = zip(self._operand(node.x), signed, strict=True)
                return [added(x, number(c)) for x, c in pairs]
            case Mean():
                copies, planes = self._copies(node.x), node.shape[0]
                area = len(copies) // planes
                sums = [_tree(copies[k * area : (k + 1) * area], self.order) for k in range(planes)]
                return [quotient(x, np.float32(area)) for x in sums]
            case Add():
                pairs = zip(self._operand(node.x), self._operand(node.y), strict=True)
                return [added(x, y) for x, y in pairs]
            case _:
                return None

    def _copies(self, name: str) -> list[Tree]:
        """The units of a tensor, each times 1."""
        return [product(np.float32(1), number(v)) for v in self.values[name].reshape(-1)]

    def _operand(self, name: str) -> list[Tree]:
        """The trees of a sum that is taken in, or the units of a tensor."""
        return self.trees[name] if name in self.trees.keys() & self.alone else self._copies(name)

    def _read(self, node: Linear) -> list[Tree]:
        """What a convolution multiplies: the units of a tensor, or quotients of them."""
        if node.x in self.divided.keys() & self.alone:
            before = self.divided[node.x]
            c = np.float32(before.constant[0])
            return [quotient(number(v), c) for v in self.values[before.x].reshape(-1)]
        return [number(v) for v in self.values[node.x].reshape(-1)]


def _products(node: Linear, read: list[Tree], shape: Shape, order: str) -> list[Tree]:
    """The tree of each output of the node, in the order of its units; ``read`` has ``shape``."""
    weight = grouped_weight(node)
    places = patches(np.arange(1.0, len(read) + 1).reshape(shape), node).astype(int)  # 0: padding
    found: list[Tree] = []
    for g, o, place in np.ndindex(*weight.shape[:2], places.shape[2]):
        terms = [
            product(w, read[k - 1]) if k else Tree(np.float32(w * 0), "")
            for w, k in zip(weight[g, o], places[g, :, place].tolist(), strict=True)
        ]
        bias = np.float32(node.bias[g * weight.shape[1] + o])
        found.append(_tree([*terms, number(bias)], order))
    return found


def _softmax(
    logits: Float32Array, probabilities: Float32Array, order: str, exp: Function | None
) -> SoftmaxParts:
    top = int(np.argmax(logits))
    differences = logits - logits[top]
    powers = (exp or correctly_rounded_exp)(differences)
    total = _tree([number(e) for e in powers], order)
    assert np.array_equal(powers / total.value, probabilities)
    return SoftmaxParts(
        top,
        [held(d) for d in differences],
        [held(e) for e in powers],
        total.text,
        ["direct"] * len(powers),
        [held(p) for p in probabilities],
    )
