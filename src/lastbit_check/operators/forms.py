"""What is known of a node: of its values, and of how far two runs may be apart.

For every image and every allowed execution the computed value is, elementwise,

    x = c + A (x_base - c_base) + e,   |e| <= error,   |A| radius_base <= spread,

with the linear map A of each base node before it (derive/columns.py; zero where a node does not
depend on it). Of two runs |x' - x| <= error + spread of a `Bound`, column by column: there is one
for each place of the input that may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, total
from lastbit_check.network import Node, View, growth

Before = tuple[Fraction, Fraction]
"""What bounds a value without its trailing factors: a number, and a factor on its magnitude."""


@dataclass(frozen=True)
class Bound:
    """Half widths (C, H, W, K): what has gathered since the last base, and what bases make."""

    error: Fix
    spread: Fix

    @cached_property
    def radius(self) -> Fix:
        """Both together."""
        return total(self.error, self.spread)

    def seen(self, view: View) -> Bound:
        """In another shape and order."""
        return Bound(_seen(self.error, view), _seen(self.spread, view))


@dataclass(frozen=True)
class Value:
    """``c`` (C, H, W, 1), its ``bound`` of one column, and the ``noise`` |rho| of one execution.

    ``before`` bounds what may be read in its place, without its trailing factors.
    """

    c: Fix
    bound: Bound
    noise: Fix
    before: Before = (Fraction(0), Fraction(1))

    def seen(self, view: View) -> Value:
        """In another shape and order."""
        return Value(
            _seen(self.c, view), self.bound.seen(view), _seen(self.noise, view), self.before
        )

    @cached_property
    def interval(self) -> tuple[Fix, Fix]:
        """Lower and upper bound of the computed value (C, H, W, 1)."""
        r = self.bound.radius
        return -total(-self.c, r), total(self.c, r)

    @cached_property
    def magnitude(self) -> Fix:
        """Upper bound of |x| (C, H, W, 1)."""
        return total(self.c.abs(), self.bound.radius)

    @property
    def largest(self) -> Fraction:
        """No number that may be read in the place of this one is larger."""
        size, factor = self.before
        return max(size, self.magnitude.largest() * factor)


Operand = TypeVar("Operand", Value, Bound)


class Made(NamedTuple):
    """What a rule makes of a node's value: c +- ``error``, but for the bases and the ``noise``.

    ``before`` is that of `Value`.
    """

    c: Fix
    error: Fix
    noise: Fix
    before: Before = (Fraction(0), Fraction(1))

    def value(self, spread: Fix, *more: Fix) -> Value:
        """The value, with what the bases make of it, and what else it is off by."""
        bound = Bound(total(self.error, *more, self.noise), spread)
        return Value(self.c, bound, self.noise, self.before)


class Change(NamedTuple):
    """What a rule makes of a node's change, but for the bases and the noise (C, H, W, K).

    ``error`` is that of the `Bound`; ``bend`` bounds |nu|, by which the change differs from what
    the node's linear core makes of its inputs' changes.
    """

    error: Fix
    bend: Fix


def line(parts: list[Fix], carried: Fix, left: Fix) -> tuple[Fix, Fix]:
    """A sum of centres, each within a unit of its grid, and its error.

    That is what is ``carried`` of earlier errors, and what the line has ``left`` out.
    """
    c = reduced(total(*parts, up=False))
    units = 2.0 + len(parts)
    slack = total(*(Fix(np.full(c.n.shape, units), v.e) for v in (c, *parts)))
    return c, total(carried, left, slack)


def reduced(c: Fix) -> Fix:
    """Centres are kept to 30 bits, so that a product with a slope is exact."""
    return c.fit(30, up=False)


def operands(node: Node, found: Mapping[str, Operand]) -> list[Operand]:
    """What is known of a node's inputs, as it reads them."""
    views = node.views or (None,) * len(node.inputs)
    return [
        found[name] if view is None else found[name].seen(view)
        for name, view in zip(node.inputs, views, strict=True)
    ]


def _seen(x: Fix, view: View) -> Fix:
    """(C, H, W, K) in another shape and order; every place of the view has a unit."""
    flat = x.n.reshape(-1, x.n.shape[3])
    flat = flat if view.order is None else flat[view.order]
    return Fix(flat.reshape(*view.shape, -1), x.e)


def nothing(like: Fix) -> Fix:
    """Zeros of the same shape."""
    return Fix(np.zeros_like(like.n), ZERO_GRID)


def before_factors(node: Node, largest: Fraction) -> Before:
    """What bounds a node without its trailing factors; no partial result exceeds ``largest``."""
    known = all(np.all(factor.value != 0) for factor in node.trailing)
    return (Fraction(0), growth(node.trailing)) if known else (largest, Fraction(1))
