"""Small first layers whose images can all be tried, and executions of them that err as they may.

A network is pixels / 255, convolution, SiLU, depthwise convolution, SiLU, then a dense layer; the
second SiLU is the base. `Small.values` is its function on real numbers, in float64.

One program runs both images of a pair: a unit of the first convolution that the pixel does not
reach is off by as much in both runs, one that it reaches may be off upwards in one and downwards in
the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.changes import APART, EXACT, first_changes
from lastbit_check.derive.derivation import Derivation, derive
from lastbit_check.operators.forms import Bound
from lastbit_check.question import LAST_BIT
from lastbit_check.refine.first_layers import FirstLayers, first_layers
from soundness.exactly import real

Array = NDArray[np.float64]
LEVELS = (0, 255)
OWN = (0, 64, 127, 254)  # of the pixel whose last bit flips
CENTRE, CORNER = (1, 1), (0, 2)
STEPS = 120  # of a search among networks
U = 2.0**-24
SLACK = 2.0**-40  # more than float64 is off, relatively


def silu(z: Array) -> Array:
    return z / (1 + np.exp(-np.maximum(z, -700.0)))


def convolved(x: Array, w: Array, stride: int) -> Array:
    """The products (N, C, H, W, taps) of x (N, C, H, W) with w (C, 3, 3), padded by 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride] * w[:, None, None]
    return windows.reshape(*windows.shape[:4], 9)


@dataclass(frozen=True)
class Small:
    """``w1`` and ``w2`` (C, 3, 3), biases (C,), for images of one channel, divided by ``white``."""

    shape: tuple[int, int]
    stride: int
    w1: Array
    b1: Array
    w2: Array
    b2: Array
    white: float = 255.0

    @property
    def model(self) -> bytes:
        b, count = OnnxBuilder(), len(self.w1)
        x = b.div(b.input_bytes((1, *self.shape)), self.white, "pixels")
        x = b.conv(x, self.w1[:, None], self.b1, stride=self.stride, padding=1, name="conv")
        x = b.conv(b.silu(x, "stem"), self.w2[:, None], self.b2, padding=1, group=count,
                   name="depthwise")  # fmt: skip
        b.softmax(b.dense(b.mean(b.silu(x, "filtered")), np.ones((2, count))))
        return b.to_bytes()

    @cached_property
    def checked(self) -> Derivation:
        """What the checker derives."""
        names = frozenset({"stem", "filtered"})
        hints = Hints({}, boxes=names, bases=names - {"stem"})
        return derive(network_in(self.model), LAST_BIT, hints)

    @property
    def layers(self) -> FirstLayers:
        found = first_layers(self.checked.frame)
        assert found is not None
        return found

    @property
    def units(self) -> tuple[int, ...]:
        return self.checked.values["filtered"].c.n.shape[:3]

    @cached_property
    def moves(self) -> dict[str, dict[str, Bound]]:
        """By aspect and node, for every pixel."""
        d, places = self.checked, self.shape[0] * self.shape[1]
        return first_changes(d.frame, d.values, d.reach, range(places))[1]

    def off(self, aspect: str) -> Array:
        """What a value of the second SiLU may be off by (C, H, W, 1), or differ in that."""
        return real(self.moves[aspect]["filtered"].radius)

    def values(self, images: Array) -> Array:
        """The second SiLU's values (N, C, H, W) for bytes (N, H, W)."""
        x = np.repeat(images[:, None] / self.white, len(self.w1), axis=1)
        y = silu(convolved(x, self.w1, self.stride).sum(-1) + self.b1[:, None, None])
        return silu(convolved(y, self.w2, 1).sum(-1) + self.b2[:, None, None])

    def moved(self, images: Array, pixel: tuple[int, int], a: Array) -> Array:
        """|a . D| (N,) when the last bit of the pixel flips."""
        others = flipped(images, pixel)
        change = self.values(others) - self.values(images)
        return np.abs(np.sum(a * change, axis=(1, 2, 3)))

    def bound(self, pixel: tuple[int, int], a: Array) -> Fraction | None:
        """The exact form's; None where the pixel moves no unit, or too many."""
        layers = self.layers
        return layers.change(Fix(a.reshape(-1, 1), 0), pixel, layers.everywhere)

    def hostile(
        self,
        images: Array,
        unit: tuple[int, int, int],
        sign: int,
        back: NDArray[np.bool_] | None = None,
    ) -> Array:
        """A unit of the second SiLU (N,) if every operation errs by all that is allowed.

        Each errs in the direction that moves this unit up (``sign`` 1) or down; those of the units
        ``back`` (H, W) of the first convolution the other way.
        """
        c, *place = unit
        x, w = images[:, None] / self.white, self.w1[c : c + 1]
        z = convolved(x, w, self.stride)[:, 0]
        towards = sign * np.ones((1, *z.shape[1:3]))
        if back is not None:
            towards = np.where(back, -towards, towards)
        taken = np.zeros_like(towards)
        for i, j in np.ndindex(3, 3):  # the tap of each unit of the first SiLU for this one
            row, column = place[0] + i - 1, place[1] + j - 1
            if 0 <= row < z.shape[1] and 0 <= column < z.shape[2]:
                taken[0, row, column] = np.sign(self.w2[c, i, j])
        way = slope_sign(z, self.b1[c]) * taken * towards
        y = curve(pushed(z, self.w1[c], self.b1[c], way), towards * taken)
        z = convolved(y[:, None], self.w2[c : c + 1], 1)[:, 0][:, *place]
        way = sign * slope_sign(z, self.b2[c])
        return curve(pushed(z, self.w2[c], self.b2[c], way), np.array(sign))

    def reached(self, c: int, pixel: tuple[int, int]) -> Array:
        """Which units of a channel of the first convolution a pixel reaches (H, W)."""
        one = np.zeros((1, 1, *self.shape))
        one[0, 0, *pixel] = 1
        return np.any(convolved(one, self.w1[c : c + 1], self.stride)[0, 0] != 0, axis=-1)


def flipped(images: Array, pixel: tuple[int, int]) -> Array:
    """The last bit of the pixel the other way round."""
    others = images.copy()
    others[:, *pixel] = np.where(images[:, *pixel] % 2, -1, 1) + images[:, *pixel]
    return others


def slope_sign(products: Array, bias: float) -> Array:
    """Whether SiLU rises (1) or falls at the exact sum: it falls up to -1.2784..."""
    return np.where(products.sum(-1) + bias > -1.27846, 1.0, -1.0)


def curve(z: Array, sign: Array) -> Array:
    """A SiLU that is 6u|z| off."""
    return silu(z) + sign * 6 * U * np.abs(z)


def pushed(products: Array, w: Array, bias: float, sign: Array) -> Array:
    """A sum (..., taps) in which every product and every addition errs by u towards ``sign``.

    In the better of two orders: first what has that sign, or last. A product with a power of two,
    and a sum with 0, are exact.
    """
    sign, rounds = np.broadcast_to(sign, products.shape[:-1]), np.frexp(np.abs(w.ravel()))[0] != 0.5
    terms = products + sign[..., None] * U * np.abs(products) * rounds
    terms = np.concatenate([terms, np.full((*terms.shape[:-1], 1), bias)], axis=-1)
    terms = np.sort(sign[..., None] * terms, axis=-1)
    totals: list[Array] = []
    for ordered in (terms, terms[..., ::-1]):
        total = ordered[..., 0]
        for k in range(1, ordered.shape[-1]):
            exact = total + ordered[..., k]
            total = exact + U * np.abs(exact) * (ordered[..., k] != 0) * (total != 0)
        totals.append(total)
    return sign * np.maximum(*totals)


def grids(shape: tuple[int, int], pixel: tuple[int, int], levels: tuple[int, ...],
          own: tuple[int, ...]) -> Array:  # fmt: skip
    """All images with these levels, and with the levels ``own`` at the pixel."""
    choices = [levels] * (shape[0] * shape[1])
    choices[pixel[0] * shape[1] + pixel[1]] = own
    return np.array([*itertools.product(*choices)], np.float64).reshape(-1, *shape)


def random_small(
    seed: int,
    shape: tuple[int, int] = (3, 3),
    *,
    stride: int = 2,
    channels: int = 1,
    white: float = 255.0,
) -> Small:
    """Weights of 12 bits; a third of the seeds with few of them."""
    random = np.random.default_rng(seed)

    def weights(*shape: int, size: float) -> Array:
        w = np.rint(random.normal(size=shape) * size * 2**10) / 2**10
        return np.where(random.random(shape) < 0.6, 0, w) if seed % 3 == 0 else w

    return Small(shape, stride, weights(channels, 3, 3, size=3), weights(channels, size=2),
                 weights(channels, 3, 3, size=1.5), weights(channels, size=2), white)  # fmt: skip


def changed(small: Small, random: np.random.Generator) -> Small:
    """One weight or bias drawn anew, or scaled."""
    arrays = {name: getattr(small, name).copy() for name in ("w1", "b1", "w2", "b2")}
    flat = arrays[str(random.choice([*arrays]))].reshape(-1)
    k, factor = int(random.integers(flat.size)), float(random.choice([0.0, 0.5, 2.0, -1.0]))
    drawn = flat[k] * factor if random.random() < 0.5 else float(random.normal(0, 3))
    flat[k] = np.clip(np.rint(drawn * 2**10) / 2**10, -4, 4)
    return replace(small, **arrays)


def share_of_change(small: Small, pixel: tuple[int, int], a: Array, images: Array) -> float:
    """Of the exact form's bound, what the best of the images attains."""
    most, bound = float(small.moved(images, pixel, a).max()), small.bound(pixel, a)
    return most * (1 - SLACK) / float(bound) if bound else 0.0


def share_of_error(small: Small, images: Array) -> float:
    """Of the exact group's bound, what the worst unit, image and sign attain."""
    allowed = small.off(EXACT)[..., 0]
    exact, best = small.values(images), 0.0
    for unit in np.ndindex(*allowed.shape):
        for sign in (1, -1):
            off = np.abs(small.hostile(images, unit, sign) - exact[:, *unit]).max()
            best = max(best, float(off) / float(allowed[unit]))
    return best


def share_of_difference(small: Small, pixel: tuple[int, int], images: Array) -> float:
    """Of what two errors of one program may differ by, what the worst unit, image and sign attain.

    Units that the pixel does not reach are off towards either side, by the same in both runs.
    """
    place, others, best = pixel[0] * small.shape[1] + pixel[1], flipped(images, pixel), 0.0
    allowed, exact = small.off(APART)[..., place], small.values(others) - small.values(images)
    for unit in np.ndindex(*allowed.shape):
        if not allowed[unit]:
            continue
        elsewhere = np.logical_not(small.reached(unit[0], pixel))
        for sign, common in itertools.product((1, -1), (1, -1)):
            runs = [small.hostile(v, unit, way, elsewhere & (way != common))
                    for v, way in ((others, sign), (images, -sign))]  # fmt: skip
            apart = np.abs(runs[0] - runs[1] - exact[:, *unit]).max()
            best = max(best, float(apart) / float(allowed[unit]))
    return best


def climbed(
    seed: int, steps: int, share: Callable[[Small], float], **shape: Any
) -> tuple[float, Small]:
    """A search among networks for the largest share; none on the way may exceed 1."""
    random, small = np.random.default_rng(seed), random_small(seed, **shape)
    best = share(small)
    for _ in range(steps):
        tried = changed(small, random)
        found = share(tried)
        assert found <= 1, tried
        if found >= best:
            small, best = tried, found
    return best, small


def of_change(small: Small) -> float:
    images = grids(small.shape, CENTRE, LEVELS, OWN)
    return share_of_change(small, CENTRE, np.ones(small.units), images)


def of_error(small: Small) -> float:
    return share_of_error(small, grids(small.shape, CENTRE, LEVELS, OWN))


@cache
def made_for_change(stride: int) -> tuple[float, Small]:
    """A search among networks, each with all images: a pixel that moves one unit, or four."""
    shape = (3, 3) if stride == 2 else (2, 2)
    return climbed(stride, STEPS, of_change, shape=shape, stride=stride)


def of_difference(small: Small) -> float:
    return share_of_difference(small, CENTRE, grids(small.shape, CENTRE, LEVELS, OWN))


@cache
def made_for_error() -> tuple[float, Small]:
    return climbed(3, STEPS, of_error)


@cache
def made_for_difference(white: float = 255.0) -> tuple[float, Small]:
    """With a small ``white`` a last bit is no small step: it turns the slopes."""
    return climbed(5, STEPS, of_difference, white=white)


def local_search(seed: int, restarts: int = 6) -> float:
    """Images of 8 x 8 pixels, any bytes: pixel by pixel the best of 16, from random images."""
    random, channels, pixel = np.random.default_rng(seed), 1 + seed % 3, (3 + seed % 3, 4)
    small, best = random_small(seed, (8, 8), channels=channels), 0.0
    a = random.integers(-9, 10, small.units).astype(np.float64)
    for _ in range(restarts):
        image = random.choice([0.0, 255.0, 100.0], (8, 8))
        for k in [*random.permutation(64), *random.permutation(64)]:
            tried = np.repeat(image[None], 16, axis=0)
            tried.reshape(16, 64)[:, k] = [0, 255, *random.integers(0, 256, 13), image.flat[k]]
            image = tried[int(small.moved(tried, pixel, a).argmax())]
        best = max(best, share_of_change(small, pixel, a, image[None]))
    return best
