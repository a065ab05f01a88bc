"""Networks made to tell: small ones in which a rewriting that is not allowed would be seen.

On ordinary networks and images a rounding too many is lost among others. Here it decides: what a
sum may err by is raised to the size of the answer, where constants cancel, where partial sums are
larger than the whole, where a value is read twice and its two readers cancel, where constants
multiply to what no float32 holds, and where a random network has constants in random places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder

Dice = np.random.Generator
Made = Callable[[Dice, float, float], OnnxBuilder]
"""From dice, a factor of the last layer and the first logit's bias, to a network."""

SIDE = 4
"""Images have this height and width, unless a kind says otherwise."""


@dataclass(frozen=True)
class Kind:
    """A family of networks; the same seed gives the same network."""

    name: str
    make: Made

    def network(self, seed: int, factor: float, bias: float = 0.0) -> OnnxBuilder:
        """One of them.

        Args:
            seed: of the dice.
            factor: of the logits.
            bias: of their difference, halved.
        """
        return self.make(np.random.default_rng([seed, len(self.name)]), factor, bias)


def _start(b: OnnxBuilder, side: int = SIDE) -> str:
    return b.div(b.input_bytes((1, side, side)), 255)


def _end(
    b: OnnxBuilder, x: str, channels: int, dice: Dice, factor: float, bias: float
) -> OnnxBuilder:
    """Two logits that are opposite, of the mean."""
    x = b.mean(x)
    weights = dice.normal(0, 1 / np.sqrt(channels), channels) * factor
    b.softmax(b.dense(x, np.stack([weights, -weights]), np.array([bias, -bias])))
    return b


def _normal(dice: Dice, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return dice.normal(0, scale, shape).astype(np.float32)


def _eye(channels: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (np.eye(channels) * scale)[:, :, None, None].astype(np.float32)


def _cancelling(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """A wide convolution whose blocks of channels cancel, and a shortcut that joins their sum."""
    b = OnnxBuilder()
    channels, kernel = int(dice.choice([16, 32])), int(dice.choice([1, 3]))
    wide = int(dice.choice([256, 384, 512])) if kernel == 1 else int(dice.choice([256, 320]))
    size = 2.0 ** float(dice.integers(0, 6))
    x = _start(b, 3)
    x = b.conv(x, _normal(dice, channels, 1, 1, 1), _normal(dice, channels))
    y = b.silu(b.conv(x, _normal(dice, wide, channels, 1, 1, scale=0.3), _normal(dice, wide)))
    half = _normal(dice, channels, wide // 2, kernel, kernel, scale=size / wide)
    order = dice.permutation(wide) if dice.random() < 0.3 else np.arange(wide)
    weight = np.concatenate([half, -half], axis=1)[:, order]
    y = b.conv(y, weight, _normal(dice, channels, scale=size), padding=kernel // 2)
    x = b.add(y, b.affine(x, "mul", np.float32(size))) if dice.random() < 0.5 else b.add(y, x)
    if dice.random() < 0.5:
        x = b.silu(x)
    return _end(b, x, channels, dice, factor, bias)


def _biases(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """Constants that cancel, added and subtracted around a layer, some of them by batch norm."""
    b, channels = OnnxBuilder(), int(dice.choice([1, 3, 16]))
    x = _start(b)
    large = _normal(dice, channels, scale=2.0 ** float(dice.integers(4, 22)))
    x = b.conv(x, _normal(dice, channels, 1, 3, 3), large, padding=1)
    match int(dice.integers(4)):
        case 0:
            x = b.affine(x, "sub", large)
        case 1:
            x = b.affine(x, "add", -large)
        case 2:
            ones, none = np.ones(channels), np.zeros(channels)
            x = b.batch_norm(x, ones, none, large, ones)
        case _:
            x = b.affine(b.affine(x, "sub", large / 2), "sub", large / 2)
    if dice.random() < 0.5:
        x = b.affine(b.affine(b.silu(x), "add", large), "sub", large)
    return _end(b, x, channels, dice, factor, bias)


def _factors(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """Factors of which some products are large and some are small, before and after a layer."""
    b, channels = OnnxBuilder(), int(dice.choice([2, 16]))
    x, left = _start(b), 0
    for reach in dice.integers(-24, 25, int(dice.integers(1, 4))).tolist():
        number = np.float32(2.0**reach * dice.uniform(1, 2))
        multiplies = dice.random() < 0.6
        left += reach if multiplies else -reach
        x = b.affine(x, "mul" if multiplies else "div", number)
        if dice.random() < 0.3:
            x = b.affine(x, "add", np.float32(dice.normal() * 2.0**left))
    power = int(dice.integers(-24, 25))
    weight = _normal(dice, channels, 1, 3, 3, scale=2.0**power)
    x = b.conv(x, weight, _normal(dice, channels, scale=2.0 ** (power + left)), padding=1)
    undone = dice.uniform(0.5, 1, channels) * 2.0 ** -float(power + left)
    x = b.affine(x, "mul", undone.astype(np.float32))
    if dice.random() < 0.5:
        x = b.affine(x, "div", dice.uniform(0.5, 3, channels).astype(np.float32))
    return _end(b, b.silu(x), channels, dice, factor, bias)


def _twice(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """A value that two read, and these cancel: if it were computed twice, that would tell."""
    b, channels = OnnxBuilder(), 8
    x = _start(b)
    x = b.conv(x, _normal(dice, channels, 1, 3, 3), _normal(dice, channels), padding=1)
    match int(dice.integers(5)):
        case 0:
            x = b.silu(x)
        case 1:
            s = b.conv(b.mean(x), _normal(dice, channels, channels, 1, 1))
            x = b.gate(x, b.sigmoid(s))
        case 2:
            x = b.affine(b.silu(x), "mul", dice.uniform(0.5, 1, channels).astype(np.float32))
        case 3:
            x = b.affine(b.silu(x), "add", _normal(dice, channels))
        case _:
            parts = dice.uniform(0.5, 1.5, (4, channels))
            x = b.batch_norm(x, parts[0], parts[1], parts[2], parts[3])
    y = b.conv(x, _eye(channels, -1))
    x = b.add(y, x) if dice.random() < 0.5 else b.add(x, y)
    match int(dice.integers(3)):
        case 0:
            x = b.conv(b.affine(x, "mul", np.float32(2.0**12)), _eye(channels))
        case 1:
            x = b.conv(x, _eye(channels, 2.0**12))
        case _:
            x = b.affine(x, "mul", np.float32(2.0**12))
    return _end(b, x, channels, dice, factor, bias)


def _anywhere(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """Layers, shortcuts and gates, with constants at random places between them."""
    b, channels = OnnxBuilder(), int(dice.choice([3, 8, 16]))
    x = _start(b)
    x = _sprinkled(b, x, 1, dice)
    x = b.conv(x, _normal(dice, channels, 1, 3, 3), padding=1)
    x = _sprinkled(b, x, channels, dice)
    for _ in range(int(dice.integers(1, 4))):
        y = b.silu(x) if dice.random() < 0.6 else x
        y = _sprinkled(b, y, channels, dice)
        match int(dice.integers(4)):
            case 0:
                y = b.conv(y, _normal(dice, channels, 1, 3, 3, scale=0.5), padding=1,
                           group=channels)  # fmt: skip
            case 1:
                y = b.conv(y, _normal(dice, channels, channels, 1, 1, scale=0.5),
                           _normal(dice, channels) if dice.random() < 0.5 else None)  # fmt: skip
            case 2:
                s = _sprinkled(b, b.mean(y), channels, dice)
                y = b.gate(y, b.sigmoid(b.conv(s, _normal(dice, channels, channels, 1, 1))))
            case _:
                wide = b.conv(y, _normal(dice, 2 * channels, channels, 1, 1))
                y = b.conv(b.silu(wide), _normal(dice, channels, 2 * channels, 1, 1, scale=0.3))
        y = _sprinkled(b, y, channels, dice)
        x = b.add(y, x) if dice.random() < 0.6 else y
        x = _sprinkled(b, x, channels, dice)
    return _end(b, x, channels, dice, factor, bias)


def _sprinkled(b: OnnxBuilder, x: str, channels: int, dice: Dice) -> str:
    """None, one or some constants: added, multiplied, divided by, or in a batch norm."""
    while dice.random() < 0.4:
        one = dice.random() < 0.5
        number = dice.normal() if one else dice.normal(0, 1, channels)
        match int(dice.integers(5)):
            case 0:
                x = b.affine(x, "add", np.float32(number * 2.0 ** float(dice.integers(0, 8))))
            case 1:
                x = b.affine(x, "sub", np.float32(number))
            case 2:
                x = b.affine(x, "mul", np.float32(number) + np.float32(0.5))
            case 3:
                x = b.affine(x, "div", np.abs(np.float32(number)) + np.float32(0.7))
            case _:
                parts = dice.normal(0, 1, (2, channels))
                x = b.batch_norm(x, dice.uniform(0.5, 1.5, channels), parts[0], parts[1],
                                 dice.uniform(0.2, 2, channels))  # fmt: skip
    return x


def _extremes(dice: Dice, factor: float, bias: float) -> OnnxBuilder:
    """Very large and very small factors: what is proved finite has to be, wherever they are moved.

    ``level`` is about the binary logarithm of the values.
    """
    b, channels = OnnxBuilder(), int(dice.choice([4, 16]))
    level, x = 0, _start(b)
    x = b.conv(x, _normal(dice, channels, 1, 3, 3), padding=1)
    for _ in range(int(dice.integers(2, 6))):
        step = int(np.clip(dice.integers(-50, 51), -90 - level, 90 - level))
        match int(dice.integers(4)):
            case 0:
                x, level = _scaled_by(b, x, step, channels, dice), level + step
            case 1:
                kernel = int(dice.choice([1, 3]))
                weight = _normal(dice, channels, channels, kernel, kernel, scale=2.0**step)
                x, level = b.conv(x, weight, padding=kernel // 2), level + step
            case 2:
                x, level = b.silu(x), level if level > -10 else level - 1
            case _:
                weight = _normal(dice, channels, channels, 1, 1, scale=2.0 ** (step - level))
                s = b.conv(b.mean(x), weight)
                if dice.random() < 0.5:
                    s = _scaled_by(b, b.silu(s), -step, channels, dice)
                    step = 0 if step > -10 else -1
                x, level = b.gate(x, s), level + step
                level = min(max(level, -120), 120)
    x = b.conv(x, _normal(dice, channels, channels, 1, 1, scale=2.0**-level))
    return _end(b, x, channels, dice, factor, bias)


def _scaled_by(b: OnnxBuilder, x: str, step: int, channels: int, dice: Dice) -> str:
    """Times about 2^step, by one number or by one a channel, in one step or in two."""
    first = int(dice.integers(-40, 41)) if dice.random() < 0.3 else step
    for power in (first, step - first) if first != step else (step,):
        c = dice.uniform(1, 2, None if dice.random() < 0.6 else channels)
        if dice.random() < 0.5:
            x = b.affine(x, "mul", np.float32(c * 2.0**power))
        else:
            x = b.affine(x, "div", np.float32(c * 2.0**-power))
    return x


KINDS = (
    Kind("cancelling", _cancelling),
    Kind("biases", _biases),
    Kind("factors", _factors),
    Kind("twice", _twice),
    Kind("anywhere", _anywhere),
    Kind("extremes", _extremes),
)
