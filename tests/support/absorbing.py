"""Small networks whose first layer absorbs the last bit, and what is wrong with most of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastbit.graph import OnnxBuilder
from lastbit.operators.affine import AffineKind

SPACING = 2.0**-51
BIAS = 2.0**-28 + SPACING
TAPS = ((1, 1), (1, 2), (2, 1), (2, 2))


def absorber(
    *,
    weight: float = 127 * SPACING,
    bias: float = BIAS,
    second: float = 0.0,
    around: bool = False,
    taps: tuple[tuple[int, int], ...] = TAPS,
    side: int = 4,
    bias_at: int = 0,
    batch_norm: bool = False,
    step: bool = True,
    then: tuple[tuple[AffineKind, float], ...] = (),
) -> bytes:
    """`zero` in little: a stem of one tap a channel, SiLU, one tap back, a trunk of three classes.

    Args:
        weight, bias: of every channel of the stem.
        second: a second tap of the last channel.
        around: the classifier reads the mean of the image, too.
        taps: of the channels.
        side: of the image.
        bias_at: the last channel's bias is so many spacings larger.
        batch_norm: the stem has one, which does nothing.
        step: divide by 255 first, as the weights presume.
        then: what is done to the stem before the SiLU, each with one constant.
    """
    b, count = OnnxBuilder(), len(taps)
    image = b.input_bytes((1, side, side))
    x = b.div(image, 255, "pixels") if step else b.affine(image, "mul", np.float32(1 / 255))
    kernel = np.zeros((count, 1, 3, 3))
    for channel, tap in enumerate(taps):
        kernel[channel, 0, *tap] = weight
    kernel[-1, 0, 0, 0] += second
    biases = np.full(count, bias)
    biases[-1] += bias_at * SPACING
    x = b.conv(x, kernel, biases, stride=2, padding=1, name="stem")
    if batch_norm:
        ones, zeros = np.ones(count), np.zeros(count)
        x = b.batch_norm(x, ones, zeros, zeros, ones - 1e-5, epsilon=1e-5, name="normed")
    for kind, constant in then:
        x = b.affine(x, kind, np.float32(constant), f"{x}.{kind}")
    x = b.silu(x, "halved")
    back = np.zeros((count, 1, 3, 3))
    back[:, :, 1, 1] = 2.0**47
    x = b.conv(x, back, np.full(count, -(2.0**46) * BIAS), padding=1, group=count, name="back")
    x = b.silu(x, "bent")
    x = b.conv(x, np.random.default_rng(1).normal(size=(3, count, 1, 1)), np.zeros(3), name="mix")
    x = b.mean(x)
    if around:
        way = b.conv(b.mean(image), np.ones((3, 1, 1, 1)), np.zeros(3))
        x = b.add(b.silu(x), b.silu(way))
    b.softmax(b.dense(x, np.random.default_rng(2).normal(size=(3, 3)), np.zeros(3), "logits"))
    return b.to_bytes()


def named(changes: dict[str, Any]) -> str:
    """The last of the nodes that might absorb."""
    if changes.get("batch_norm"):
        return "normed"
    return "stem" + "".join(f".{kind}" for kind, _ in changes.get("then", ()))


# What must not be certified as 0, with the rule that says so.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a smaller bias tells some bytes": ({"bias": 2.0**-29 + SPACING}, "absorb.bytes"),
    "a bias of another spacing": ({"bias": 2.0**-27 + SPACING, "bias_at": -(2**23) * 3 // 2},
                                  "absorb.bytes"),
    "ties: the step is half a spacing": ({"weight": 127.5 * SPACING}, "absorb.bytes"),
    "so near to ties that u|t| reaches": ({"weight": (127.5 - 2.0**-17) * SPACING}, "absorb.bytes"),
    "pairs shifted by one byte": ({"weight": 128.5 * SPACING}, "absorb.bytes"),
    "below a power of two": ({"bias": 2.0**-28 - 64 * SPACING}, "absorb.bytes"),
    "no bias": ({"bias": 0.0}, "absorb.bytes"),
    "two taps in a channel": ({"second": SPACING}, "absorb.table"),
    "a path around the layer": ({"around": True}, "absorb.around"),
    "batch norm, which may be folded or not": ({"batch_norm": True}, "absorb.table"),
}  # fmt: skip

# Nor of these, most of which do absorb if they are executed as they are written.
REWRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "a bias that is taken away again": ({"then": (("add", -BIAS),)}, "absorb.table"),
    "a bias in two parts": ({"bias": BIAS / 2, "then": (("add", BIAS / 2),)}, "absorb.table"),
    "a bias that comes first, and a factor": ({"then": (("mul", 3.0),)}, "absorb.factor"),
    "a factor that may be folded into it": ({"then": (("div", 0.75),)}, "absorb.factor"),
    "a factor, and what is added then": ({"then": (("mul", 3.0), ("sub", BIAS))}, "absorb.table"),
}  # fmt: skip
