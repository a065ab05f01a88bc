"""Ranges carried through the linear core, beside the extremes that images really attain.

The network is linear but for one SiLU, if there is one: an affine node that is the base, a
convolution, perhaps a small SiLU, a residual connection whose branches nearly cancel, and layers
after it. Without columns each layer would take the magnitudes of the one before it.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.derivation import derive
from lastbit_check.question import LAST_BIT

Array = NDArray[np.float64]
SHAPE = (2, 3)
NODES = ("conv", "mixed", "sum", "late", "logits")
"""The nodes whose ranges are looked at. ``mixed`` joins the sum that reads it."""


class Chain(NamedTuple):
    """``scale`` of the pixels; weights of 10 bits; ``curved``: a SiLU of values up to 2^-9."""

    scale: float
    conv: Array
    mixed: Array
    late: Array
    dense: Array
    bias: Array
    curved: bool

    @property
    def builder(self) -> OnnxBuilder:
        b = OnnxBuilder()
        x = b.affine(b.input_bytes((1, *SHAPE)), "mul", np.float32(self.scale), "pixels")
        y = b.conv(x, self.conv, self.bias, padding=1, name="conv")
        if self.curved:
            y = b.silu(y, "silu")
        z = b.conv(y, self.mixed, name="mixed")
        y = b.conv(b.add(y, z, name="sum"), self.late, name="late")
        b.softmax(b.dense(b.mean(y), self.dense, name="logits"))
        return b

    def values(self, images: Array) -> dict[str, Array]:
        """All nodes (N, C, H, W) on real numbers, exact in float64 where nothing bends."""
        x = np.pad(images[:, None] * self.scale, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
        y = np.einsum("niabkl,oikl->noab", windows, self.conv) + self.bias[:, None, None]
        found = {"conv": y}
        y = y / (1 + np.exp(-y)) if self.curved else y
        found["mixed"] = np.einsum("niab,oi->noab", y, self.mixed[..., 0, 0])
        found["sum"] = y + found["mixed"]
        found["late"] = np.einsum("niab,oi->noab", found["sum"], self.late[..., 0, 0])
        mean = found["late"].mean((2, 3))
        found["logits"] = (mean @ self.dense.T)[:, :, None, None]
        return found


def random_chain(seed: int, *, curved: bool = False, scale: float = 2.0**-8) -> Chain:
    """The residual branch takes away all but an eighth of what it is added to."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Array:
        return np.rint(random.normal(size=shape) * 2**8) / 2**10

    mixed = weights(3, 3) / 8 - np.eye(3)
    size = 2.0**-9 if curved else 1.0
    conv, bias = weights(3, 1, 3, 3) * size, weights(3) * size
    late, dense = weights(4, 3, 1, 1), weights(2, 4)
    return Chain(scale, conv, mixed[..., None, None], late, dense, bias, curved)


def ranges(chain: Chain, *, columns: bool = True) -> dict[str, tuple[Fix, Fix]]:
    """Node -> the lower and upper bounds that the checker derives, with or without a base."""
    bases = frozenset({"pixels"}) if columns else frozenset[str]()
    slopes = {"silu": [2**19] * 3} if chain.curved else {}
    network = network_in(chain.builder.to_bytes())
    values = derive(network, LAST_BIT, Hints(slopes, bases=bases)).values
    return {name: values[name].interval for name in NODES if name in values}


def extremes(chain: Chain) -> dict[str, tuple[Array, Array]]:
    """Node -> the least and largest values over all images of bytes 0 and 255.

    Where nothing bends these are the extremes of all images.
    """
    corners = itertools.product((0.0, 255.0), repeat=SHAPE[0] * SHAPE[1])
    values = chain.values(np.array([*corners]).reshape(-1, *SHAPE))
    return {name: (v.min(0), v.max(0)) for name, v in values.items()}


def shares(chain: Chain, found: dict[str, tuple[Fix, Fix]]) -> dict[str, float]:
    """Node -> how much of its range the images reach, of the unit where it is most.

    More than 1 where a value is outside: its distance from the middle in half widths.
    """
    shares: dict[str, float] = {}
    for name, (least, most) in extremes(chain).items():
        if name not in found:
            continue
        low, high = (np.ldexp(side.n[..., 0], -side.e) for side in found[name])
        middle, half = (low + high) / 2, (high - low) / 2
        shares[name] = float(np.max(np.maximum(most - middle, middle - least) / half))
    return shares
