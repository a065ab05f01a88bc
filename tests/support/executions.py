"""An execution by the reference executor, with every partial result, for the extracted Coq checker.

Numbers are integers over 2^100, as that checker holds them; tests may move them by any amount.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lastbit.certificate.coq import GRID, on_grid, plain
from lastbit.float32 import correctly_rounded_exp, execute
from lastbit.float32.functions import Function
from lastbit.float32.patches import grouped_weight, patches
from lastbit.graph import (
    Affine,
    ByteArray,
    Float32Array,
    Linear,
    Mean,
    Network,
    Node,
)
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
    nodes = network.nodes[:-1]
    return Execution(
        network,
        [int(v) for v in image.reshape(-1)],
        [held(v) for node in nodes for v in values[node.name].reshape(-1)],
        [way for node in nodes for way in _ways(node, values, order)],
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


def _constant(value: np.float32) -> Tree:
    return Tree(value, f"c {_hex(value)}")


def _product(w: np.float32, x: np.float32) -> Tree:
    value = np.float32(w * x)
    return Tree(value, f"p {_hex(w)} {_hex(x)} {_hex(value)}")


def _joined(a: Tree, b: Tree) -> Tree:
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
            terms = [_joined(a, b) for a, b in pairs] + terms[even:]
        return terms[0]
    if order.startswith("random"):
        random = np.random.default_rng(int(order.partition(":")[2]))
        terms = list(terms)
        while len(terms) > 1:
            for end in (1, 2):
                i = int(random.integers(len(terms) - end + 1))
                terms[i], terms[-end] = terms[-end], terms[i]
            terms.append(_joined(terms.pop(), terms.pop()))
        return terms[0]
    if order == "reversed":
        terms = terms[::-1]
    if order == "worst_first":
        terms = sorted(terms, key=lambda t: -t.value)
    total = terms[0]
    for term in terms[1:]:
        total = _joined(total, term)
    return total


def _ways(node: Node, values: dict[str, Float32Array], order: str) -> Iterator[str]:
    """How each unit of the node was computed."""
    y = values[node.name].reshape(-1)
    match node:
        case Linear():
            trees = _sums(node, values[node.x], order)
            assert [t.value for t in trees] == y.tolist()
            yield from (f"sum {t.text}" for t in trees)
        case Affine():
            x = values[node.x]
            constants = np.broadcast_to(node.constant[:, None, None], x.shape).reshape(-1)
            for z, c, v in zip(x.reshape(-1), constants, y, strict=True):
                if node.kind == "div":
                    yield "division direct"
                    continue
                tree = _product(c, z)
                if node.kind != "mul":
                    step = np.float32(-c if node.kind == "sub" else c)
                    tree = _joined(_product(np.float32(1), z), _constant(step))
                assert tree.value == v
                yield f"sum {tree.text}"
        case Mean():
            x = values[node.x]
            for row in x.reshape(len(x), -1):
                yield f"average {_tree([_constant(v) for v in row], order).text} direct"
        case _:
            yield from ["plain"] * y.size


def _sums(node: Linear, x: Float32Array, order: str) -> list[Tree]:
    """The tree of each output of the node, in the order of its units."""
    weight = grouped_weight(node)
    columns, real = patches(x, node), patches(np.ones_like(x), node)
    found: list[Tree] = []
    for g, o, place in np.ndindex(*weight.shape[:2], columns.shape[2]):
        terms: list[Tree] = []
        for w, z, there in zip(weight[g, o], columns[g, :, place], real[g, :, place], strict=True):
            product = _product(w, z)
            terms.append(product if there else Tree(product.value, ""))
        bias = np.float32(node.bias[g * weight.shape[1] + o])
        found.append(_tree([*terms, _constant(bias)], order))
    return found


def _softmax(
    logits: Float32Array, probabilities: Float32Array, order: str, exp: Function | None
) -> SoftmaxParts:
    top = int(np.argmax(logits))
    differences = logits - logits[top]
    powers = (exp or correctly_rounded_exp)(differences)
    total = _tree([_constant(e) for e in powers], order)
    assert np.array_equal(powers / total.value, probabilities)
    return SoftmaxParts(
        top,
        [held(d) for d in differences],
        [held(e) for e in powers],
        total.text,
        ["direct"] * len(powers),
        [held(p) for p in probabilities],
    )
