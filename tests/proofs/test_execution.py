"""Statement.v's executions admit what the reference executor computes: all of it.

Whole executions of small networks go to the extracted `admits_execution`, of which Coq proves that
what it accepts is an `execution` of Statement.v. With one value moved by more than allowed they are
refused. Run `make checker` first; without it the tests are skipped.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.coq import plain
from lastbit.errors import ModelError
from lastbit.float32 import correctly_rounded_exp, correctly_rounded_sigmoid
from lastbit.float32.sums import ORDERS
from lastbit.graph import Float32Array, Network, OnnxBuilder, read_onnx
from lastbit_check.certificate import Hints
from support.executions import CHECKER, ONE, Execution, answers, held, record
from support.networks import RandomNetwork

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKER.exists(), reason="make checker was not run"),
]

EVERY_ORDER = (*ORDERS, "random:3", "random:8")
KINDS = ("Input", "Affine", "Linear", "Silu", "Sigmoid", "Gate", "Add", "Mean")
U = 2.0**-24
getcontext().prec = 60


def model() -> bytes:
    """Every operator; stride, padding and groups, a copy by a power of two, zeros."""
    rng = np.random.default_rng(11)
    stem = rng.normal(size=(3, 1, 3, 3))
    stem[1, 0, 0] = [0.5, -2.0, 0.0]
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 4, 4)), 255), "sub", np.float32(0.25))
    x = b.silu(b.conv(x, stem, [0.1, 0.0, -0.2], stride=2, padding=1))
    y = b.silu(b.conv(x, rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3), padding=1, group=3))
    s = b.sigmoid(b.conv(b.mean(y), rng.normal(size=(3, 3, 1, 1)), rng.normal(size=3)))
    x = b.mean(b.add(b.gate(y, s), x))
    b.softmax(b.dense(x, rng.normal(size=(3, 3)), rng.normal(size=3)))
    return b.to_bytes()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("execution") / "model.onnx"
    path.write_bytes(model())
    return read_onnx(path)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (4, 4), dtype=np.uint8)


@pytest.fixture(scope="module")
def execution(network: Network, image: np.ndarray) -> Execution:
    return record(network, image, "forward")


def kinds(network: Network) -> list[str]:
    """The kind of each unit."""
    return [
        type(node).__name__ for node in network.nodes[:-1] for _ in range(int(np.prod(node.shape)))
    ]


def argument(network: Network, unit: int) -> int:
    """The unit that a curve's unit reads."""
    start = 0
    starts: dict[str, int] = {}
    for node in network.nodes:
        starts[node.name] = start
        size = int(np.prod(node.shape))
        if unit < start + size:
            return starts[node.inputs[0]] + unit - start
        start += size
    raise AssertionError(unit)


@pytest.mark.parametrize("order", EVERY_ORDER)
def test_what_the_executor_computes_is_admitted(
    order: str, network: Network, image: np.ndarray
) -> None:
    assert set(kinds(network)) == set(KINDS)
    lines = record(network, image, order).questions()
    assert answers(network, lines) == ["admitted"] * (len(kinds(network)) + 2)


def held_by_coq(seed: int, folder: Path) -> tuple[RandomNetwork, Network]:
    """The first random network from this seed on, in steps of 10, that the Coq checker has."""
    while True:
        dice = RandomNetwork(seed, batch_norm=False)
        network = read_onnx(dice.b.save(folder / "model.onnx"))
        try:
            plain(network, Hints({}))
        except ModelError:
            seed += 10
        else:
            return dice, network


@pytest.mark.parametrize(("seed", "order"), [*enumerate(EVERY_ORDER[1:5])])
def test_random_networks_are_admitted(seed: int, order: str, tmp_path: Path) -> None:
    dice, network = held_by_coq(seed, tmp_path)
    picture = np.random.default_rng(seed).integers(0, 256, dice.size, dtype=np.uint8)
    assert set(answers(network, record(network, picture, order).questions())) == {"admitted"}


def test_a_moved_value_is_refused(network: Network, execution: Execution) -> None:
    """The value of each unit moved alone, in its tree as well: no rounding goes so far."""
    lines: list[str] = []
    for unit, kind in enumerate(kinds(network)):
        value, words = execution.values[unit], execution.ways[unit].split()
        moved = value + int(3 * ONE * np.spacing(np.float32(value / ONE)))
        if kind in ("Silu", "Sigmoid"):
            z = execution.values[argument(network, unit)] / ONE
            moved = value + int(ONE * U * (5 if kind == "Sigmoid" else 9 * abs(z)))
        lines += execution.with_value(unit, moved).question(unit)
        if words[0] == "sum":
            assert int(words[2], 16) == value
            words[2] = f"{moved:x}"
            lines += execution.with_value(unit, moved, " ".join(words)).question(unit)
    assert set(answers(network, lines)) == {"refused"}


@pytest.mark.parametrize("what", ["byte", "value"])
def test_one_number_spoils_the_whole(what: str, network: Network, execution: Execution) -> None:
    """The last two verdicts: softmax stands, the execution does not."""
    if what == "byte":
        spoilt = replace(execution, image=[execution.image[0] ^ 1, *execution.image[1:]])
    else:
        unit = kinds(network).index("Gate")
        spoilt = execution.with_value(unit, execution.values[unit] * 3 // 2)
    assert answers(network, spoilt.questions())[-2:] == ["admitted", "refused"]


# Curves: arguments, and which part of the assumption speaks of them.
ARGUMENTS = (-40.0, -9.5, -1.0, -0.3, 2.0**-6 + 2.0**-30, 2.0**-6, -(2.0**-9), 2.0**-20)
ARGUMENTS += (2.0**-27 + 2.0**-40, -(2.0**-27), 2.0**-33, 0.0, 0.7, 3.3, 17.0, 40.0)


def sigmoid(z: float) -> Decimal:
    return 1 / (1 + (-Decimal(z)).exp())


def sigmoid_error(z: float) -> float:
    return U * (1 / 16 if abs(z) <= 2**-27 else 2 if abs(z) <= 2**-6 else 4)


def silu(z: float) -> Decimal:
    return Decimal(z) * sigmoid(z)


def silu_error(z: float) -> float:
    return U * abs(z) * (1 / 16 if abs(z) <= 2**-27 else 3 if abs(z) <= 2**-6 else 6)


@pytest.mark.parametrize(
    ("kind", "curve", "error"),
    [("Sigmoid", sigmoid, sigmoid_error), ("Silu", silu, silu_error)],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_curve_is_admitted_up_to_its_error(
    kind: str,
    curve: Callable[[float], Decimal],
    error: Callable[[float], float],
    sign: int,
    network: Network,
    execution: Execution,
) -> None:
    """Any argument in the place of the unit's own; its value at the edge of what is assumed."""
    unit = kinds(network).index(kind)
    lines, expected = list[str](), list[str]()
    for z in ARGUMENTS:
        asked = execution.with_value(argument(network, unit), int(z * ONE))
        for share, verdict in ((0.999, "admitted"), (1.001, "refused")):
            value = curve(z) + Decimal(sign * share * error(z))
            lines += asked.with_value(unit, int(value * ONE)).question(unit)
            expected.append("admitted" if z == 0 and kind == "Silu" else verdict)
    assert answers(network, lines) == expected


@pytest.mark.parametrize(("share", "verdict"), [(0.999, "admitted"), (1.001, "refused")])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_exponential_is_admitted_up_to_its_error(
    share: float, verdict: str, sign: int, network: Network, execution: Execution
) -> None:
    """All that depends on the exponentials is computed without any rounding."""
    parts = execution.softmax
    powers = [
        int((Decimal(d) / ONE).exp() * ONE * (1 + Decimal(sign * share * 2**-20)))
        for d in parts.differences
    ]
    total = powers[0] + powers[1] + powers[2]
    text = (
        f"a {total:x} a {powers[0] + powers[1]:x} c {powers[0]:x} c {powers[1]:x} c {powers[2]:x}"
    )
    moved = replace(
        parts, powers=powers, total=text, probabilities=[e * ONE // total for e in powers]
    )
    assert answers(network, [*execution.given, moved.line]) == [verdict]


@pytest.mark.parametrize("what", ["top", "difference", "power", "total", "probability"])
def test_softmax_with_a_moved_number_is_refused(
    what: str, network: Network, execution: Execution
) -> None:
    parts = execution.softmax
    other = next(k for k in range(3) if k != parts.top)
    logits = execution.values[-3:]

    def moved(numbers: list[int], share: float) -> list[int]:
        return [int(n * (1 + share)) if k == other else n for k, n in enumerate(numbers)]

    spoilt = {
        "top": replace(parts, top=other, differences=[z - logits[other] for z in logits]),
        "difference": replace(parts, differences=moved(parts.differences, 3 * U)),
        "power": replace(parts, powers=moved(parts.powers, 3 * U)),
        "total": replace(parts, total=parts.total.replace("a ", "a 1", 1)),
        "probability": replace(parts, probabilities=moved(parts.probabilities, 3 * U)),
    }[what]
    assert answers(network, [*execution.given, spoilt.line]) == ["refused"]


@pytest.mark.parametrize("of", ["sigmoid", "exp"])
@pytest.mark.parametrize(("share", "verdict"), [(0.85, "admitted"), (2.1, "refused")])
def test_a_library_that_uses_its_error_up(
    of: str, share: float, verdict: str, network: Network, image: np.ndarray
) -> None:
    """The executor with another function in its place, and all that follows from it."""

    def off_sigmoid(z: Float32Array) -> Float32Array:
        return correctly_rounded_sigmoid(z) + np.float32(share * 4 * U)

    def off_exp(z: Float32Array) -> Float32Array:
        return correctly_rounded_exp(z) * np.float32(1 - share * 2**-20)

    functions = {"sigmoid": off_sigmoid} if of == "sigmoid" else {"exp": off_exp}
    lines = record(network, image, "pairwise", **functions).questions()
    assert answers(network, lines)[-1] == verdict


@pytest.mark.parametrize(("steps", "verdict"), [(0, "admitted"), (3, "refused")])
def test_division_by_the_rounded_reciprocal(
    steps: int, verdict: str, network: Network, execution: Execution
) -> None:
    """As ONNX Runtime divides in softmax; the reciprocal some units in the last place off."""

    def off(x: np.float32) -> np.float32:
        return np.float32(x + steps * np.spacing(x))

    one, lines = np.float32(1), list[str]()
    for kind in ("Mean", "Affine"):
        unit = kinds(network).index(kind)
        _, _, _, c, *tree = execution.ways[unit].split()  # sum d V C TREE
        by = off(one / np.float32(int(c, 16) / ONE))
        value = held(np.float32(int(tree[1], 16) / ONE) * by)
        way = f"sum p {value:x} r {held(by):x} {c} {' '.join(tree)}"
        lines += execution.with_value(unit, value, way).question(unit)
    assert answers(network, lines) == [verdict] * 2
