"""Networks whose Q is known by how they are made, in the shape of EfficientNet's blocks.

Every value is carried along as a sum of one function per pixel, tabulated over the 256 bytes,

    x = c + sum_p T_p[v_p],   off by at most eps in any allowed execution,

through stem, expansion, depthwise convolution, squeeze-and-excite gate, projection, residual sum,
head, mean and dense layer. That stays true because a SiLU is applied to a value of one pixel (its
table is mapped, however it bends), or so near zero that it is z/2 up to z^2/4, or so far above that
it is z up to z exp(-z); because gates hardly move; and because eps takes in what those leave out,
the rounding of sums in any order, and the stated errors of sigmoid and SiLU. Nothing here is taken
from the programs under test: formulas are those of docs/bound.md, section 2, with room.

The difference of the logits 0 and 1 is then such a sum, too. Its largest step between the bytes 2k
and 2k + 1 is D, at pixel p and byte 2k; with the bias of the last layer chosen so that the two
sides of that step are opposite on one known image, the change there is about tanh(D/4), and nowhere
more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder

Real = NDArray[np.float64]
U = 2.0**-24
ETA = 2.0**-126
ROOM = 1 + 1e-6
BYTES = np.arange(256.0)
CLOSE = 0.02
"""The widest bracket of Q that is planted."""


@dataclass(frozen=True)
class Value:
    """A tensor: its name, shape (C, H, W), c (units,), T (units, pixels, 256), eps (units,).

    `gross` (units,) bounds the magnitudes that a sum was made of, which batch norm may be folded
    into.
    """

    name: str
    shape: tuple[int, int, int]
    c: Real
    table: Real
    eps: Real
    gross: Real

    @property
    def low(self) -> Real:
        return self.c + self.table.min(axis=2).sum(axis=1) - self.eps

    @property
    def high(self) -> Real:
        return self.c + self.table.max(axis=2).sum(axis=1) + self.eps

    @property
    def size(self) -> Real:
        """Upper bound of the magnitude, and a little for float64's own errors."""
        return np.maximum(np.abs(self.low), np.abs(self.high)) * ROOM


@dataclass(frozen=True)
class Planted:
    """A model with a bracket of its Q, and the pair of images that attains the lower end.

    `step` is D; `low` <= Q <= `high`; `straight` where no SiLU bends.
    """

    builder: OnnxBuilder
    image: NDArray[np.uint8]
    pixel: tuple[int, int]
    step: float
    low: float
    high: float
    straight: bool


class Planter:
    """An OnnxBuilder that knows what its values are."""

    def __init__(self, side: int) -> None:
        self.b = OnnxBuilder()
        pixels = side * side
        table = np.zeros((pixels, pixels, 256))
        table[np.arange(pixels), np.arange(pixels)] = BYTES
        name = self.b.input_bytes((1, side, side))
        zero = np.zeros(pixels)
        self.straight = True
        self.x = Value(name, (1, side, side), zero, table, zero, zero)

    def _linear(self, x: Value, name: str, shape: tuple[int, int, int], a: Real, b: Real,
                roundings: int) -> Value:  # fmt: skip
        """Matrix a, bias b (units): n nonzero terms are off by (n + roundings) u of their size."""
        size = np.abs(a) @ x.size + np.abs(b)
        terms = np.count_nonzero(a, axis=1) + (b != 0)
        eps = np.abs(a) @ x.eps + (terms + roundings) * U * size * ROOM + 1e-13 * size + 1e-30
        table = np.tensordot(a, x.table, axes=1)
        return Value(name, shape, a @ x.c + b, table, eps, size)

    def scale(self, x: Value, factor: float) -> Value:
        a = np.eye(len(x.c)) * float(np.float32(factor))
        name = self.b.affine(x.name, "mul", np.float32(factor))
        return self._linear(x, name, x.shape, a, np.zeros(len(x.c)), 1)

    def conv(self, x: Value, weight: Real, bias: Real | None = None, *, stride: int = 1,
             padding: int = 0, group: int = 1) -> Value:  # fmt: skip
        w = weight.astype(np.float32)
        b = np.zeros(len(w), np.float32) if bias is None else bias.astype(np.float32)
        name = self.b.conv(x.name, w, b, stride=stride, padding=padding, group=group)
        shape, a = _matrix(x.shape, w.astype(float), stride, padding, group)
        return self._linear(x, name, shape, a, np.repeat(b.astype(float), shape[1] * shape[2]), 2)

    def batch_norm(self, x: Value, gamma: Real, beta: Real, mean: Real, variance: Real) -> Value:
        """With 16 roundings: x - mean, a root, a quotient, a product, a sum, and room."""
        parts = [v.astype(np.float32) for v in (gamma, beta, mean, variance)]
        name = self.b.batch_norm(x.name, *parts, epsilon=2.0**-10)
        g, o, m, v = (np.repeat(p.astype(float), x.shape[1] * x.shape[2]) for p in parts)
        factor = g / np.sqrt(v + 2.0**-10)
        found = self._linear(x, name, x.shape, np.diag(factor), o - m * factor, 16)
        extra = 32 * U * (np.abs(m * factor) + np.abs(o) + np.abs(factor) * x.gross)
        return Value(name, x.shape, found.c, found.table, found.eps + extra, found.gross)

    def silu(self, x: Value) -> Value:
        lone = (np.ptp(x.table, axis=2) > 0).sum(axis=1) <= 1
        near, far = x.size <= 2.0**-6, x.low >= 20
        assert np.all(lone | near | far), "a SiLU of several pixels that bends"
        slope = np.where(near, (1 + x.size) / 2, 1.1)
        error = np.where(near, 3, 6) * U * x.size + ETA
        eps = slope * x.eps + error + 1e-13 * x.size
        c, table = x.c / 2, x.table / 2
        eps = eps + np.where(near & ~lone, x.size**2 / 4, 0.0)
        above = far & ~near & ~lone
        self.straight &= bool(np.all(near | far))
        c, table = np.where(above, x.c, c), np.where(above[:, None, None], x.table, table)
        eps = eps + np.where(above, x.size * np.exp(-np.maximum(x.low, 0.0)), 0.0)
        for k in np.flatnonzero(lone):
            bent = silu(x.c[k] + x.table[k])
            c[k] = silu(x.c[k])
            table[k] = bent - c[k]
        return Value(self.b.silu(x.name), x.shape, c, table, eps, x.size)

    def sigmoid(self, x: Value) -> Value:
        """As a constant: whatever moves goes into eps, by slopes of at most 1/4."""
        middle = (x.low + x.high) / 2
        c = 1 / (1 + np.exp(-middle))
        eps = (x.high - x.low) / 8 * ROOM + 4 * U + 1e-13
        return Value(self.b.sigmoid(x.name), x.shape, c, np.zeros_like(x.table), eps, c + eps)

    def gate(self, x: Value, s: Value) -> Value:
        positions = x.shape[1] * x.shape[2]
        c, eps = np.repeat(s.c, positions), np.repeat(s.eps, positions)
        error = x.eps * (c + eps) + x.size * eps + 2 * U * x.size * (c + eps) + ETA
        name = self.b.gate(x.name, s.name)
        error = error + 1e-13 * x.size
        return Value(name, x.shape, x.c * c, x.table * c[:, None, None], error, x.size)

    def add(self, x: Value, y: Value) -> Value:
        c, table = x.c + y.c, x.table + y.table
        size = x.size + y.size
        eps = x.eps + y.eps + (U + 1e-13) * size + ETA
        return Value(self.b.add(x.name, y.name), x.shape, c, table, eps, size)

    def mean(self, x: Value) -> Value:
        positions = x.shape[1] * x.shape[2]
        a = np.repeat(np.eye(x.shape[0]), positions, axis=1) / positions
        return self._linear(x, self.b.mean(x.name), (x.shape[0], 1, 1), a, np.zeros(len(a)), 3)

    def dense(self, x: Value, weight: Real, bias: Real) -> Value:
        w, b = weight.astype(np.float32), bias.astype(np.float32)
        name = self.b.dense(x.name, w, b)
        return self._linear(x, name, (len(w), 1, 1), w.astype(float), b.astype(float), 2)


def silu(z: Real) -> Real:
    return z / (1 + np.exp(-z))


def _matrix(source: tuple[int, int, int], w: Real, stride: int, padding: int, group: int
            ) -> tuple[tuple[int, int, int], Real]:  # fmt: skip
    """A convolution as a matrix (units, units), entry by entry."""
    channels, height, width = source
    outs, ins, kh, kw = w.shape
    rows, cols = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    a = np.zeros((outs, rows, cols, channels, height, width))
    for o in range(outs):
        first = o // (outs // group) * ins
        for r in range(rows):
            for s in range(cols):
                for i in range(kh):
                    for j in range(kw):
                        y, x = r * stride + i - padding, s * stride + j - padding
                        if 0 <= y < height and 0 <= x < width:
                            a[o, r, s, first : first + ins, y, x] = w[o, :, i, j]
    return (outs, rows, cols), a.reshape(outs * rows * cols, -1)


# ---- a random network ------------------------------------------------------------------------

FAMILIES = ("between", "zero", "cancelled", "same", "one")
"""Q is between 0 and 1; 0 as nothing is read, as two paths cancel, as two logits are one; 1."""


@cache
def plant(seed: int, family: str = "between") -> Planted:
    """A network of one or two blocks whose Q is known to `CLOSE`, from a seed.

    After the stem all weights are positive and most are 0: little cancels, and eps stays small
    beside a step. Where the channels cancel each other all the same, the dice are rolled again.
    """
    for attempt in range(20):
        planted = _rolled(np.random.default_rng([seed, attempt]), family)
        if planted.high - planted.low <= CLOSE:
            return planted
    raise AssertionError(f"no network of {family} is known closely")


def _rolled(random: np.random.Generator, family: str) -> Planted:
    side = int(random.choice([3, 4]))
    p = Planter(side)
    x = _stem(p, random)
    for _ in range(int(random.integers(1, 3))):
        x = _block(p, x, random)
    if family == "cancelled":
        x = p.add(p.conv(x, -_diagonal(np.ones(x.shape[0]))), x)
    x = p.conv(x, _mixing(random, int(random.integers(1, 4)), x.shape[0]))
    x = p.mean(p.silu(x))
    return _finish(p, x, random, side, family)


def _diagonal(factors: Real) -> Real:
    return np.diag(factors)[:, :, None, None]


def _mixing(random: np.random.Generator, outs: int, ins: int) -> Real:
    """A 1x1 convolution with one or two positive weights in each row."""
    weight = np.zeros((outs, ins, 1, 1))
    for k in range(outs):
        chosen = random.choice(ins, min(ins, int(random.integers(1, 3))), replace=False)
        weight[k, chosen, 0, 0] = random.uniform(0.5, 1.5, len(chosen))
    return weight


def _stem(p: Planter, random: np.random.Generator) -> Value:
    """Bytes to floats and a convolution of stride 2: it bends what single pixels say, or is small.

    One tap stands out, or is alone: the pixels under it are the ones that matter.
    """
    channels = int(random.integers(1, 4))
    x = p.scale(p.x, 1 / 255)
    bends = random.random() < 0.6
    weight = np.zeros((channels, 1, 3, 3))
    if not bends:
        weight = random.normal(0, 1 / 60, weight.shape) * 2.0**-24
    for k in range(channels):
        tap = random.choice([-1, 1]) * random.uniform(0.5, 6)
        weight[(k, 0, *random.integers(3, size=2))] = tap * (1.0 if bends else 2.0**-24)
    bias = random.normal(0, 1.5, channels) * bends
    x = p.conv(x, weight, bias, stride=2, padding=1)
    if random.random() < 0.5:
        none = np.zeros(channels)
        x = p.batch_norm(x, random.uniform(0.5, 2, channels), none, none,
                         random.uniform(0.5, 1.5, channels))  # fmt: skip
    x = p.silu(x)
    return p.scale(x, 2.0**-24) if bends else x


def _block(p: Planter, x: Value, random: np.random.Generator) -> Value:
    """Expansion, depthwise convolution, gate, projection; a residual connection in two of three."""
    channels = x.shape[0]
    wide = channels * int(random.integers(1, 3))
    y = p.silu(p.conv(x, _mixing(random, wide, channels)))
    if random.random() < 0.2:
        # far above zero, where SiLU is the identity: a bias before it, and it again after it
        grown, ones = 2.0 ** math.floor(math.log2(8 / np.max(y.size))), np.ones((wide, 1, 1, 1))
        y = p.silu(p.conv(y, ones * grown, np.full(wide, 32.0), group=wide))
        y = p.scale(p.conv(y, ones, np.full(wide, -32.0), group=wide), 1 / grown)
    else:
        kernel = random.uniform(0, 1, (wide, 1, 3, 3)) * (random.random((wide, 1, 3, 3)) < 0.2)
        kernel[:, :, 1, 1] = 1
        y = p.silu(p.conv(y, kernel, padding=1, group=wide))
    squeezed = p.silu(p.conv(p.mean(y), _mixing(random, 1, wide)))
    opened = random.normal(0, 1, (wide, 1, 1, 1))
    gate = p.sigmoid(p.conv(squeezed, opened, random.uniform(-1, 3, wide)))
    outs = channels if random.random() < 0.67 else int(random.integers(1, 4))
    y = p.conv(p.gate(y, gate), _mixing(random, outs, wide))
    return p.add(y, x) if outs == channels else y


def _finish(p: Planter, x: Value, random: np.random.Generator, side: int, family: str) -> Planted:
    classes = int(random.integers(2, 5))
    row = random.choice([-1, 1], x.shape[0]) * random.uniform(0.5, 1.5, x.shape[0])
    step, _, _ = _largest_step(np.tensordot(row, x.table, axes=1))
    wanted = {"one": 400.0, "same": 1.0}.get(family, float(random.uniform(0.02, 6)))
    row = row * (wanted / step if step else 1e-3 / x.eps.sum()) * (family != "zero")
    weight = np.zeros((classes, len(row)))
    weight[0], weight[1] = row, row * (family == "same")
    w = weight.astype(np.float32).astype(float)
    apart = np.tensordot(w[0] - w[1], x.table, axes=1)
    _, pixel, byte = _largest_step(apart)
    image = random.integers(0, 256, side * side, dtype=np.uint8)
    image[pixel] = byte
    other = image.copy()
    other[pixel] ^= 1
    bias = np.full(classes, -60.0 - wanted)
    bias[0] = -((w[0] - w[1]) @ x.c + (_at(apart, image) + _at(apart, other)) / 2)
    bias[1] = 0.0
    logits = p.dense(x, weight, bias)
    p.b.softmax(logits.name)
    table, c = logits.table[0] - logits.table[1], logits.c[0] - logits.c[1]
    step, pixel, _ = _largest_step(table)
    low, high = _bracket(c + _at(table, image), c + _at(table, other), step,
                         2 * float(logits.eps.max()), classes)  # fmt: skip
    where = (pixel // side, pixel % side)
    return Planted(p.b, image.reshape(side, side), where, step, low, high, p.straight)


def _largest_step(table: Real) -> tuple[float, int, int]:
    """The largest |T_p[2k + 1] - T_p[2k]| over pixels and bytes, with p and 2k."""
    steps = np.abs(table[:, 1::2] - table[:, ::2])
    pixel, k = np.unravel_index(int(steps.argmax()), steps.shape)
    return float(steps[pixel, k]), int(pixel), 2 * int(k)


def _at(table: Real, image: NDArray[np.uint8]) -> float:
    return float(table[np.arange(len(image)), image].sum())


def _bracket(before: float, after: float, step: float, eps: float, classes: int
             ) -> tuple[float, float]:  # fmt: skip
    """Q from both sides; logits other than the two are at most exp(-40) of the larger one there."""
    theta = U / 2 + 2.0**-20
    soft = 1.1 * ((classes + 1) * theta + (2 * classes + 1) * U)
    left, right = min(before, after) + eps, max(before, after) - eps
    sure = logistic(right) - logistic(left) if right > left else 0.0
    low = max(0.0, sure * (1 - 1e-9) - 2 * soft - classes * math.exp(-40))
    return low, min(1.0, math.tanh((step + 2 * eps) / 4) * (1 + 1e-9) + 2 * soft)


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
