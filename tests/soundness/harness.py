"""What every soundness test needs: any hints, any executions, exact comparison, attacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.bound.walk import Kept, derive
from lastbit.certificate.write import hints_for
from lastbit.float32 import ORDERS, execute, execute_float64
from lastbit.float32.patches import grouped_weight, patches
from lastbit.graph import (
    Add,
    Affine,
    Gate,
    Linear,
    Mean,
    Network,
    Node,
    OnnxBuilder,
    Sigmoid,
    Silu,
    flip_last_bit,
    read_onnx,
)
from lastbit_check.certificate import Hints
from lastbit_check.exact import Fix
from networks import RandomNetwork

Bytes = NDArray[np.uint8]
Values = dict[str, NDArray[np.float32]]
Long = NDArray[np.longdouble]
LONG = np.longdouble


def real(x: Fix) -> NDArray[np.float64]:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)


def as_hints(derived_from: Hints, **changes: Any) -> Hints:
    return replace(derived_from, **changes)


def random_hints(network: Network, seed: int) -> Hints:
    """Hints that no one would choose: any slopes, boxes and bases."""
    random = np.random.default_rng(seed)
    curved = [n for n in network if isinstance(n, Silu | Sigmoid | Gate)]
    slopes = {
        n.name: random.integers(-(2**20), 2**21, n.shape[0], dtype=np.int64).tolist()
        for n in curved
        if random.random() < 0.8
    }
    names = [n.name for n in network]
    bases = frozenset(str(n) for n in random.choice(names[:-1], random.integers(4)))
    boxes = frozenset(n.name for n in curved if not isinstance(n, Gate) and random.random() < 0.4)
    return Hints(slopes, boxes, bases)


# ---- executions -----------------------------------------------------------------------------


def low_sigmoid(rate: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A sigmoid that is wrong by ``rate`` units of 2^-24, half as much near 0; sign by position.

    Where it may be wrong by 2^-28 only it is 1/2, the one float32 number that is allowed there.
    """

    def sigmoid(z: NDArray[np.float32]) -> NDArray[np.float32]:
        exact = logistic(z.astype(LONG))
        sign = np.where(np.arange(z.size).reshape(z.shape) % 2, 1.0, -1.0)
        error = np.where(np.abs(z) <= 2.0**-6, rate / 2, rate) * 2.0**-24
        error = np.where(np.abs(z) <= 2.0**-27, 0.0, error)
        return np.clip(exact + sign * error, 0.0, 1.0).astype(np.float32)

    return sigmoid


def off_exp(rate: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """An exp that is wrong by ``rate`` units of 2^-20, relatively; its sign by position."""

    def exp(z: NDArray[np.float32]) -> NDArray[np.float32]:
        sign = np.where(np.arange(z.size).reshape(z.shape) % 2, 1.0, -1.0)
        return (np.exp(z.astype(np.float64)) * (1 + sign * rate * 2.0**-20)).astype(np.float32)

    return exp


def ways(seed: int) -> Iterator[dict[str, Any]]:
    """Every summation order with a choice of all else; no end."""
    random = np.random.default_rng(seed)
    sigmoids = (None, None, low_sigmoid(2.9), low_sigmoid(-2.9))
    while True:
        for order in (*ORDERS, f"random:{random.integers(99)}"):
            yield {
                "order": order,
                "flush_to_zero": bool(random.random() < 0.5),
                "fold_batch_norm": bool(random.random() < 0.5),
                "batch_norm_form": str(random.choice(["centred", "scaled"])),
                "sigmoid": sigmoids[int(random.integers(len(sigmoids)))],
                "exp": (None, off_exp(0.9), off_exp(-0.9))[int(random.integers(3))],
            }


# ---- what must hold --------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A network, what was derived for it, and its nodes by name."""

    network: Network
    derived: Kept

    def check_values(self, values: Values) -> None:
        """One execution: every value in its interval, every norm within its size."""
        for name, form in self.derived.forms.items():
            x = values[name].astype(np.float64)
            assert np.all(np.isfinite(x)), name
            low, high = (real(side)[..., 0] for side in form.interval)
            assert np.all(low <= x), (name, "below its interval", float(np.max(low - x)))
            assert np.all(x <= high), (name, "above its interval", float(np.max(x - high)))
            assert squares(x) <= self.derived.norms.size[name] ** 2, (name, "larger than its norm")

    def check_roundings(self, values: Values) -> None:
        """One execution: each node is off by no more than its rounding bound."""
        for name, bound in self.derived.roundings.items():
            node = self.network[name]
            error = np.abs(values[name].astype(LONG) - exact_value(node, values))
            allowed = np.broadcast_to(real(bound)[..., 0], error.shape)
            assert np.all(error <= allowed), (name, float(np.max(error - allowed)))

    def check_exact_group(self, values: Values, exact: Mapping[str, NDArray[np.float64]]) -> None:
        """One execution against float64 on the same image: off by no more than the last group."""
        for name, form in self.derived.forms.items():
            off = np.abs(values[name].astype(LONG) - exact[name].astype(LONG))
            allowed = real(form.moves)[..., -1] + 2.0**-45 * (1 + np.abs(exact[name]))
            assert np.all(off <= allowed), (name, float(np.max(off - allowed)))

    def check_pair(self, values: Values, others: Values, pixel: int) -> None:
        """Two executions on images that differ in one pixel: changes, logits, probabilities."""
        derived, network = self.derived, self.network
        pixels = int(np.prod(network.input_shape))
        for name, form in derived.forms.items():
            change = np.abs(values[name].astype(np.float64) - others[name].astype(np.float64))
            groups = form.moves.n.shape[3] - 1  # the last one is that of exact values
            assert groups in (1, pixels), name
            allowed = real(form.moves)[..., pixel if groups == pixels else 0]
            assert np.all(change <= allowed), (name, "moves", float(np.max(change - allowed)))
            most = derived.norms.change[name]
            assert squares(change) <= most**2, (name, "moves further than its norm")
        z = (others[network.logits].astype(np.float64) - values[network.logits]).reshape(-1)
        spread = Fraction(float(np.max(z) - np.min(z)))
        for bound in (derived.logits, derived.norms.bound(network.logits)):
            assert spread <= bound, (float(spread), float(bound))
        p = np.abs(others[network.output].astype(np.float64) - values[network.output])
        assert Fraction(float(np.max(p))) <= derived.upper, float(np.max(p))


def squares(x: NDArray[np.float64]) -> Fraction:
    """Sum of squares of float32 numbers: each is exact in float64, and the sum nearly so."""
    return Fraction(math.fsum((x * x).reshape(-1).tolist())) * (1 - Fraction(1, 2**50))


def logistic(z: Long) -> Long:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)), dtype=z.dtype)


def exact_value(node: Node, values: Values) -> Long:
    """The node's function of the values that were computed, in 64-bit-mantissa arithmetic."""
    x = {name: values[name].astype(LONG) for name in node.inputs}
    match node:
        case Affine():
            apply = {"div": np.divide, "mul": np.multiply, "add": np.add, "sub": np.subtract}
            return apply[node.kind](x[node.x], node.constant.astype(LONG)[:, None, None])
        case Linear():
            weight, terms = grouped_weight(node).astype(LONG), patches(x[node.x], node)
            y = (weight @ terms).reshape(node.shape) + node.bias.astype(LONG)[:, None, None]
            if node.bn is None:
                return y
            gamma, beta, mean, var = (
                v.astype(LONG)[:, None, None]
                for v in (node.bn.gamma, node.bn.beta, node.bn.mean, node.bn.variance)
            )
            return gamma * (y - mean) / np.sqrt(var + LONG(node.bn.epsilon)) + beta
        case Silu():
            return x[node.x] * logistic(x[node.x])
        case Sigmoid():
            return logistic(x[node.x])
        case Gate():
            return x[node.x] * x[node.s]
        case Add():
            return x[node.x] + x[node.y]
        case Mean():
            return x[node.x].mean(axis=(1, 2), keepdims=True)
        case _:
            return values[node.name].astype(LONG)


def run(network: Network, image: Bytes, way: dict[str, Any]) -> Values:
    return execute(network, image, keep=True, **way)[1]


def flipped(network: Network, image: Bytes, pixel: int) -> Bytes:
    width = network.input_shape[2]
    return flip_last_bit(image, pixel // width, pixel % width)


# ---- attacks ---------------------------------------------------------------------------------


def climb(network: Network, start: Bytes, score: Callable[[Bytes], float]) -> Bytes:
    """Coordinate search over the extreme bytes, one pass."""
    best, image = score(start), start.copy()
    for k in np.random.default_rng(0).permutation(image.size):
        for byte in (0, 255):
            tried = image.copy()
            tried.reshape(-1)[k] = byte
            if (value := score(tried)) > best:
                best, image = value, tried
    return image


def value_score(network: Network, name: str, unit: int, sign: int) -> Callable[[Bytes], float]:
    return lambda v: sign * float(execute_float64(network, v)[1][name].reshape(-1)[unit])


def change_score(network: Network, pixel: int, pair: tuple[int, int]) -> Callable[[Bytes], float]:
    """|change of a difference of two logits| when the pixel's last bit flips."""
    c, j = pair

    def score(image: Bytes) -> float:
        a = execute_float64(network, image)[1][network.logits].reshape(-1)
        b = execute_float64(network, flipped(network, image, pixel))[1][network.logits].reshape(-1)
        return abs(float((b[c] - b[j]) - (a[c] - a[j])))

    return score


def attacks(subject: Subject, seed: int) -> Iterator[tuple[Bytes, int]]:
    """Images and pixels: random ones, corners that drive one value up or down, worst changes."""
    network, random = subject.network, np.random.default_rng(seed)
    shape = network.input_shape
    pixels = int(np.prod(shape))
    image = random.integers(0, 256, shape, dtype=np.uint8)
    yield image, int(random.integers(pixels))
    yield np.full(shape, 255, np.uint8), int(random.integers(pixels))
    yield np.zeros(shape, np.uint8), int(random.integers(pixels))
    named = network.nodes[1:-1]
    for _ in range(3):
        node = named[int(random.integers(len(named)))]
        unit, sign = int(random.integers(np.prod(node.shape))), int(random.choice([-1, 1]))
        yield (
            climb(network, image, value_score(network, node.name, unit, sign)),
            int(random.integers(pixels)),
        )
    c, j, pixel = subject.derived.worst
    yield climb(network, image, change_score(network, pixel, (c, j))), pixel


def assault(subject: Subject, seed: int) -> None:
    """All that must hold, under attack, under ways that differ between the two images."""
    how = ways(seed)
    for image, pixel in attacks(subject, seed):
        other = flipped(subject.network, image, pixel)
        for _ in range(2):
            values, others = (
                run(subject.network, image, next(how)),
                run(subject.network, other, next(how)),
            )
            for v in (values, others):
                subject.check_values(v)
                subject.check_roundings(v)
            subject.check_pair(values, others, pixel)


# ---- networks --------------------------------------------------------------------------------


class NearlyLinear(RandomNetwork):
    """The same dice, but from the second SiLU on everything is 2^-``scale`` of its usual size.

    Then the plan chooses the first SiLU as base, and the ranges follow it column by column.
    """

    scale = 12

    def _build(self) -> None:
        b, random = self.b, self.random
        self.size = (int(random.integers(4, 8)), int(random.integers(4, 8)))
        x = b.div(b.input_bytes((1, *self.size)), 255)
        self.channels = 1
        x = self._convolution(x, outputs=int(random.integers(2, 5)), activate=True)
        x = b.affine(x, "mul", np.float32(2.0**-self.scale))
        for _ in range(int(random.integers(2, 4))):
            x = (self._block, self._squeeze_excite, self._grouped)[random.integers(3)](x)
        x = b.mean(x)
        x = b.affine(x, "mul", np.float32(2.0**self.scale))
        b.softmax(b.dense(x, self._weights((3, self.channels)), self._weights((3,))))

    def _grouped(self, x: str) -> str:
        """A depthwise convolution of an odd shape: its kernel, strides and pads all differ."""
        groups = self.channels
        w = self._weights((groups, 1, 2, 3))
        return self.b.silu(self.b.conv(x, w, stride=(1, 2), padding=(1, 1, 0, 1), group=groups))

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        weights = super()._weights(shape)
        return weights * np.float32(2.0**-self.scale) if len(shape) == 1 else weights


def built(builder: OnnxBuilder, folder: Path) -> tuple[bytes, Network]:
    path = builder.save(folder / "model.onnx")
    return path.read_bytes(), read_onnx(path)


def subject_of(model: bytes, network: Network, hints: Hints | None = None) -> Subject:
    hints = hints or hints_for(network)
    return Subject(network, derive(model, hints, keep=True))
