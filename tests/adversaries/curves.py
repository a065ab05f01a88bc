"""Sigmoids and SiLUs as wrong as the statement allows, at the arguments where binary32 lets them.

A hostile sigmoid returns the binary32 number furthest from the exact value that is still within the
assumption; SiLU is its product with z, rounded. What is left to search for is z.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import mpmath
import numpy as np

from adversaries.trees import integer, nudged, rounded
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.network import Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.operators.kinds import Setting

UNIT = Fraction(1, 2**24)
NEAR, AT = 2.0**-6, 2.0**-27
ZONES: dict[str, tuple[float, float]] = {
    "everywhere": (NEAR * 1.01, 24.0),
    "|z| <= 2^-6": (AT * 1.01, NEAR),
    "|z| <= 2^-27": (2.0**-40, AT),
}


class Wrong(NamedTuple):
    """Of one z: a sigmoid within the assumption, and the errors of it and of SiLU made from it."""

    z: float
    sigmoid: Fraction
    silu: Fraction


def exact_sigmoid(z: float) -> Fraction:
    with mpmath.workprec(160):
        n = mpmath.nint(mpmath.ldexp(1 / (1 + mpmath.exp(-mpmath.mpf(z))), 150))
    return Fraction(int(n), 2**150)


def allowed(z: float) -> Fraction:
    """How far a computed sigmoid may be off."""
    units = Fraction(4) if abs(z) > NEAR else Fraction(2) if abs(z) > AT else Fraction(1, 16)
    return units * UNIT


def wrong(z: float) -> Wrong:
    """The binary32 sigmoid for which SiLU is furthest off."""
    exact, found = exact_sigmoid(z), list[Wrong]()
    nearest = float(np.float32(float(exact)))
    for steps in range(-17, 18):
        s = nudged(nearest, steps)
        if s <= 1 and (off := abs(Fraction(s) - exact)) <= allowed(z):
            product = Fraction(rounded(integer(s * z)), 2**200)
            found.append(Wrong(z, off, abs(product - exact * Fraction(z))))
    return max(found, key=lambda w: w.silu)


def candidates(zone: str, seed: int, count: int) -> list[float]:
    """Arguments of a zone: anywhere, at its end, and where a product is just above a power of 2."""
    random, (low, high) = np.random.default_rng(seed), ZONES[zone]
    spread = np.exp(random.uniform(np.log(low), np.log(high), count))
    ends = [nudged(high, -int(k)) for k in random.integers(0, 64, count // 4)]
    ties = np.exp2(np.floor(np.log2(spread)) + 1) * (
        1 + random.integers(1, 2**12, count) * 2.0**-23
    )
    tops = min(high / 2, 8.0) * (1 + random.uniform(0, 2.0**-6, count))
    found = np.array([*spread, *ends, *ties, *tops], np.float32).tolist()
    return [z * sign for z in found if z <= high for sign in (1, -1)]


def worst(zone: str, seed: int = 0, count: int = 150) -> tuple[Wrong, Wrong]:
    """(for sigmoid, for SiLU) the argument with the largest share of what is allowed for it."""
    every = [wrong(z) for z in candidates(zone, seed, count)]
    return (
        max(every, key=lambda w: w.sigmoid / allowed(w.z)),
        max(every, key=lambda w: w.silu / abs(Fraction(w.z))),
    )


def charged(z: float) -> dict[str, Fraction]:
    """What the checker's rules charge for a SiLU and a sigmoid that read up to |z|."""
    n, d = abs(z).as_integer_ratio()
    none = Fix(np.zeros((1, 1, 1, 1)), ZERO_GRID)
    read = Value(none, Bound(Fix(np.full_like(none.n, float(n)), d.bit_length() - 1), none), none)
    m, found = Fix(np.full((1, 1, 1, 1), 2.0**19), 20), dict[str, Fraction]()
    for name in ("sigmoid", "silu"):
        setting = Setting(Node(name, name, ("z",), (1, 1, 1)), None, m, False)
        found[name] = KINDS[name].value(setting, [read], none).noise.largest()
    return found


def shares(zone: str) -> dict[str, tuple[float, float]]:
    """Function -> (share of what is charged, the argument)."""
    sigmoid, silu = worst(zone)
    return {
        "sigmoid": (float(sigmoid.sigmoid / charged(sigmoid.z)["sigmoid"]), sigmoid.z),
        "silu": (float(silu.silu / charged(silu.z)["silu"]), silu.z),
    }


# ---- how the errors of two runs differ --------------------------------------------------------


class Pair(NamedTuple):
    """Where two runs are: the first at ``z``, ``off`` what it should be, the other ``moves`` away.

    Their errors differ by ``apart``.
    """

    z: float
    off: float
    moves: float
    apart: float

    def difference(self, name: str) -> float:
        """f(z') - f(Z') - (f(z) - f(Z)), in 50 digits."""
        with mpmath.workdps(50):
            z, other = mpmath.mpf(self.z), mpmath.mpf(self.z) + self.moves
            there = other - (mpmath.mpf(self.off) + self.apart)
            values = [_function(name, v) for v in (other, there, z, z - mpmath.mpf(self.off))]
            return float(abs(values[0] - values[1] - (values[2] - values[3])))


def _function(name: str, z: Any) -> Any:
    s = 1 / (1 + mpmath.exp(-z))
    return s if name == "sigmoid" else z * s


def apart(name: str, low: float, high: float, most: Pair, *, boxed: bool = True) -> float:
    """What the rule says of two runs in a range whose moves and errors are at most these."""
    kind = KINDS[name]
    assert isinstance(kind, CurveKind)

    def fix(x: float) -> Fix:
        return Fix(np.full((1, 1, 1, 1), np.ceil(np.ldexp(x, 40))), 40)

    none = Fix(np.zeros((1, 1, 1, 1)), ZERO_GRID)
    middle, half = (low + high) / 2, (high - low) / 2
    read = Value(fix(middle), Bound(fix(half), none), none)
    m = Fix(np.full((1, 1, 1, 1), 2.0**19), 20)
    setting = Setting(Node(name, name, ("z",), (1, 1, 1)), None, m, boxed)
    found = kind.apart(setting, read, fix(most.moves), fix(most.off), Bound(fix(most.apart), none))
    return float(found.error.largest())


def worst_apart(name: str, most: Pair, seed: int, *, boxed: bool = True) -> float:
    """Of what the rule says, what the worst of many pairs in the range of all of them reaches.

    ``most.z`` is how far both runs are from 0.
    """
    random, best = np.random.default_rng(seed), 0.0
    said = apart(name, -most.z, most.z, most, boxed=boxed)
    for _ in range(200):
        signs = random.choice([-1.0, 1.0], 3)
        inside = most.z - most.off - most.apart - most.moves
        z = float(random.choice([0.0, -most.moves / 2, random.uniform(-inside, inside)]))
        move = most.moves * signs[0] * (-1 if z * signs[0] > 0 else 1)
        pair = Pair(z, most.off * signs[1], float(move), most.apart * signs[2])
        best = max(best, pair.difference(name) / said)
    return best


PAIRS = [
    Pair(3.0, 2.0**-10, 1.5, 0.0),
    Pair(1.0, 2.0**-12, 0.25, 2.0**-18),
    Pair(0.5, 2.0**-9, 2.0**-6, 2.0**-14),
    Pair(4.0, 2.0**-3, 2.0, 2.0**-3),
]
"""How far from 0 two runs are, and how far apart."""
