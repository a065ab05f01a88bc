"""Statement.v's executions admit what the reference executor computes.

The sums of every linear unit, as the executor carries them out in each of its orders, go to the
extracted `admits_unit`, of which Coq proves that what it accepts is a `performs` of Statement.v.
With one value moved by a few units in the last place they are refused. Curves, quotients and
softmax are not covered. Run `make checker` first; without it the tests are skipped.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lastbit.certificate.coq import on_grid, plain
from lastbit.float32 import execute
from lastbit.float32.patches import grouped_weight, patches
from lastbit.float32.sums import ORDERS
from lastbit.graph import Float32Array, Linear, Network, OnnxBuilder, read_onnx
from lastbit_check.certificate import Hints

CHECKER = Path(__file__).resolve().parents[2] / "build/checker/lastbit-coq-check"
needs_checker = pytest.mark.skipif(not CHECKER.exists(), reason="make checker was not run")
EVERY_ORDER = (*ORDERS, "random:3", "random:8")


class Tree(NamedTuple):
    """A partial sum, and how it came about; padding has no text: Coq's units do not read it."""

    value: np.float32
    text: str


def model() -> bytes:
    """Convolutions with stride, padding and groups, a copy by a power of two, zeros, a dense."""
    rng = np.random.default_rng(11)
    stem = rng.normal(size=(3, 1, 3, 3))
    stem[1, 0, 0] = [0.5, -2.0, 0.0]
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 4, 4)), 255), "sub", np.float32(0.25))
    x = b.silu(b.conv(x, stem, [0.1, 0.0, -0.2], stride=2, padding=1))
    x = b.silu(b.conv(x, rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3), padding=1, group=3))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 3)), rng.normal(size=3)))
    return b.to_bytes()


def joined(a: Tree, b: Tree) -> Tree:
    value = np.float32(a.value + b.value)
    if not a.text or not b.text:
        return Tree(value, a.text or b.text)
    return Tree(value, f"a {_hex(value)} {a.text} {b.text}")


def tree(terms: list[Tree], order: str) -> Tree:
    """The sum as `lastbit.float32.sums` carries it out."""
    if order == "pairwise":
        while len(terms) > 1:
            even = len(terms) // 2 * 2
            pairs = zip(terms[0:even:2], terms[1:even:2], strict=True)
            terms = [joined(a, b) for a, b in pairs] + terms[even:]
        return terms[0]
    if order.startswith("random"):
        random = np.random.default_rng(int(order.partition(":")[2]))
        terms = list(terms)
        while len(terms) > 1:
            for end in (1, 2):
                i = int(random.integers(len(terms) - end + 1))
                terms[i], terms[-end] = terms[-end], terms[i]
            terms.append(joined(terms.pop(), terms.pop()))
        return terms[0]
    if order == "reversed":
        terms = terms[::-1]
    if order == "worst_first":
        terms = sorted(terms, key=lambda t: -t.value)
    total = terms[0]
    for term in terms[1:]:
        total = joined(total, term)
    return total


def sums(node: Linear, x: Float32Array, order: str) -> list[Tree]:
    """The tree of each output of the node, in the order of its units."""
    weight = grouped_weight(node)
    columns, real = patches(x, node), patches(np.ones_like(x), node)
    found: list[Tree] = []
    for g, o, place in np.ndindex(*weight.shape[:2], columns.shape[2]):
        terms: list[Tree] = []
        for w, z, there in zip(weight[g, o], columns[g, :, place], real[g, :, place], strict=True):
            v = np.float32(w * z)
            terms.append(Tree(v, f"p {_hex(w)} {_hex(z)} {_hex(v)}" if there else ""))
        bias = np.float32(node.bias[g * weight.shape[1] + o])
        found.append(tree([*terms, Tree(bias, f"c {_hex(bias)}")], order))
    return found


def question(network: Network, image: np.ndarray, order: str) -> tuple[list[str], list[int]]:
    """Lines for the checker, the values of all units first, and the units asked for."""
    _, values = execute(network, image, order=order, keep=True)
    nodes = network.nodes[:-1]
    lines: list[str] = []
    asked: list[int] = []
    first = 1
    for node in nodes:
        if isinstance(node, Linear):
            trees = sums(node, values[node.x], order)
            computed = values[node.name].reshape(-1)
            assert [t.value for t in trees] == computed.tolist()  # the trees are the executor's
            asked += range(first, first + len(trees))
            lines += [f"sum {first + k} {t.text}" for k, t in enumerate(trees)]
        first += values[node.name].size
    flat = np.concatenate([values[node.name].reshape(-1) for node in nodes])
    return [f"values {flat.size} {' '.join(_hex(v) for v in flat)}", *lines], asked


def answers(network: Network, lines: list[str]) -> list[str]:
    text = plain(network, Hints({})) + "\n".join(lines) + "\n"
    ran = subprocess.run([str(CHECKER)], input=text, capture_output=True, text=True, check=True)
    return [line.split()[1] for line in ran.stdout.splitlines()]


def _hex(value: np.float32) -> str:
    return f"{on_grid(float(value)):x}"


@needs_checker
@pytest.mark.parametrize("order", EVERY_ORDER)
def test_what_the_executor_computes_is_admitted(order: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model())
    network = read_onnx(tmp_path / "model.onnx")
    image = np.random.default_rng(5).integers(0, 256, (4, 4), dtype=np.uint8)
    lines, asked = question(network, image, order)
    assert len(asked) == 12 + 12 + 3
    assert answers(network, lines) == ["admitted"] * len(asked)


@needs_checker
def test_values_a_few_ulps_off_are_refused(tmp_path: Path) -> None:
    """The value of each unit moved alone, in the tree as well: no rounding goes so far."""
    (tmp_path / "model.onnx").write_bytes(model())
    network = read_onnx(tmp_path / "model.onnx")
    image = np.random.default_rng(5).integers(0, 256, (4, 4), dtype=np.uint8)
    lines, asked = question(network, image, "forward")
    values = lines[0].split()
    tried = []
    for unit, line in zip(asked, lines[1:], strict=True):
        words = line.split()
        assert words[2] == "a" and words[3] == values[unit + 1]
        x = np.float32(int(words[3], 16) / 2.0**100)
        moved = _hex(np.float32(x + np.float32(3) * np.spacing(x)))
        words[3] = moved
        other = [*values[: unit + 1], moved, *values[unit + 2 :]]
        tried += [" ".join(other), " ".join(words)]
        tried += [" ".join(other), line]  # the unit is not what its tree says
    assert answers(network, tried) == ["refused"] * (2 * len(asked))
