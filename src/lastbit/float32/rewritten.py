"""The reference executor of rewritten graphs: the normal form, rewritten at random.

What a runtime may do to the operators of a sum (docs/bound.md, section 2) is done here by dice:
constants are folded with each other and into weights, before or after the sum, factors are applied
to products, to partial sums or to the whole, or are moved into the sums that read the node; all
terms, a residual among them, are added by any tree. Every operation is one of binary32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit.float32.executor import Execution
from lastbit.float32.functions import Function, correctly_rounded_exp, correctly_rounded_sigmoid
from lastbit.float32.sums import Order
from lastbit.graph import Float32Array, ImageArray, as_batch
from lastbit.operators import CURVES, Softmax, curve_of
from lastbit.operators.base import on_channels, seen
from lastbit_check.network import Constant, Factor, Network, Node, Part, product
from lastbit_check.operators.patterns import products, taps_of
from lastbit_check.question import LAST_BIT, Question

Values = dict[str, NDArray[np.float64]]
"""(C, H, W) by node, exact: a node whose factors were moved has its value times these."""


def execute_rewritten(
    network: Network,
    image: ImageArray,
    *,
    seed: int,
    question: Question = LAST_BIT,
    order: Order | None = None,
    flush_to_zero: bool = False,
    sigmoid: Function = correctly_rounded_sigmoid,
    exp: Function = correctly_rounded_exp,
) -> Values:
    """The values of all nodes in one execution of the network.

    Args:
        network: in the checker's normal form.
        image: bytes, (H, W) or (C, H, W); or numbers in the question's box.
        question: what the inputs are.
        seed: of all dice but those of the image.
        order: of the terms of sums; by default a random tree, another for each node.
        flush_to_zero: subnormal operands and results become zero.
        sigmoid: in the place of the correctly rounded one.
        exp: likewise, inside softmax.
    """
    pixels = as_batch(image, network.input.shape, question)[0].astype(np.float32)
    random = np.random.default_rng(seed)
    machine = Execution(flush_to_zero, sigmoid=sigmoid, exp=exp)
    how = _Rewritten(network, machine, random, order, {}, {})
    with np.errstate(all="ignore"):
        for node in network.nodes:
            how.stored[node.name] = how.value(node, pixels)
    return how.values()


@dataclass(frozen=True)
class _Rewritten:
    """``stored`` are the numbers as they are kept; ``moved`` the factors that they lack."""

    network: Network
    machine: Execution
    random: np.random.Generator
    order: Order | None
    stored: dict[str, Float32Array]
    moved: dict[str, tuple[Factor, ...]]

    def values(self) -> Values:
        found = Values()
        for node in self.network.nodes:
            x = self.stored[node.name].astype(np.float64)
            factors = self.moved.get(node.name, ())
            scale = product(factors, node.shape[0]).astype(np.float64)
            found[node.name] = x * scale[:, None, None]
        return found

    def value(self, node: Node, pixels: Float32Array) -> Float32Array:
        match node.op:
            case "input":
                return pixels
            case "sum":
                return self.sum(node)
            case "gate":
                return self.gate(node)
            case "quotient":
                return self.quotient(node)
            case "max":
                return self.largest(node)
            case name:
                x = self.stored[node.inputs[0]]
                if name in CURVES:
                    return curve_of(node).float32(self.machine, x)
                softmax = Softmax(node.name, node.shape, node.inputs)
                return softmax.float32(self._in_some_order(), x)

    def sum(self, node: Node) -> Float32Array:
        """The terms in pieces, and what they add up to."""
        assert node.sum is not None
        parts, constants, last = node.sum.parts, node.sum.constants, _own(node)
        if last and self._may_move(node) and self.random.random() < 0.5:
            self.moved[node.name] = last
        elif last and self.random.random() < 0.5:  # the whole is multiplied, at last
            parts, constants = self._without(node, len(last))
            return self._scaled(self._added(node, parts, constants), last)
        if node.name in self.moved:
            parts, constants = self._without(node, len(last))
        return self._added(node, parts, constants)

    def gate(self, node: Node) -> Float32Array:
        """Factors that were moved from what it reads: to the product, or to either operand."""
        operands = self._operands(node)
        later: tuple[Factor, ...] = ()
        for k, name in enumerate(node.inputs):
            factors, dice = self.moved.get(name, ()), self.random.random()
            if dice < 0.4:
                later += factors
            else:
                taker = k if dice < 0.7 else 1 - k
                operands[taker] = self._scaled(operands[taker], factors)
        return self._scaled(self.machine.multiply(*operands), later)

    def quotient(self, node: Node) -> Float32Array:
        """By a division or by a reciprocal; factors of x are applied before or after."""
        x, y = self._operands(node)
        (of_x, of_y), a = (self.moved.get(name, ()) for name in node.inputs), self.machine
        y, before = self._scaled(y, of_y), self.random.random() < 0.5
        x = self._scaled(x, of_x) if before else x
        if self.random.random() < 0.5:
            found = a.divide(x, y)
        else:
            found = a.multiply(x, a.divide(np.ones_like(y), y))
        return found if before else self._scaled(found, of_x)

    def largest(self, node: Node) -> Float32Array:
        """The largest number in each window."""
        (x,) = self._operands(node)
        taps = taps_of(node, {node.inputs[0]: x.shape})
        assert taps is not None
        return self.machine.flush(x.ravel()[taps].max(axis=0)).reshape(node.shape)

    def _operands(self, node: Node) -> list[Float32Array]:
        views = node.views or (None,) * len(node.inputs)
        return [self.stored[name] if view is None else seen(self.stored[name], view)
                for name, view in zip(node.inputs, views, strict=True)]  # fmt: skip

    def _may_move(self, node: Node) -> bool:
        """Who reads it applies its factors; what sees its channels otherwise does not here."""
        readers = self.network.readers[node.name]
        views = [part.view for r in readers if r.sum for part in r.sum.parts
                 if part.source == node.name]  # fmt: skip
        views += [view for r in readers for view in r.views]
        whole = all(view is None for view in views)
        return whole and all(reader.op in ("sum", "gate", "quotient") for reader in readers)

    def _without(self, node: Node, count: int) -> tuple[list[Part], list[Constant]]:
        assert node.sum is not None
        parts = [p._replace(factors=p.factors[: len(p.factors) - count]) for p in node.sum.parts]
        constants = [c._replace(factors=c.factors[: len(c.factors) - count])
                     for c in node.sum.constants]  # fmt: skip
        return parts, constants

    def _added(self, node: Node, parts: list[Part] | tuple[Part, ...],
               constants: list[Constant] | tuple[Constant, ...]) -> Float32Array:  # fmt: skip
        pieces = [self._part(node, part) for part in parts]
        for constant in constants:
            values = self._scaled(on_channels(constant.value), constant.factors)
            pieces.append(np.broadcast_to(values, node.shape).reshape(1, *node.shape))
        return self._in_some_order().sum(np.concatenate(pieces))

    def _part(self, node: Node, part: Part) -> Float32Array:
        """The terms of a part (terms, C, H, W): each by itself, or a few partial sums."""
        dice, source = self.random.random(), self.stored[part.source]
        outs, per = part.weight.shape[:2]
        read = (np.arange(outs) * part.groups // outs * per)[:, None] + np.arange(per)
        moved = [(f._replace(value=f.value[read][..., None, None]))
                 for f in self.moved.get(part.source, ())]  # fmt: skip
        weights, factors = self._scaled(part.weight, moved), part.factors
        if factors and dice < 0.5:
            weights = self._scaled(weights, factors)
        made = products(part, node.shape, source.shape)
        terms = _gathered(made, weights, source, self.machine)
        terms = terms.reshape(-1, *node.shape)
        if dice < 0.5 or not factors:
            return terms
        if dice < 0.75:
            return np.stack([self._scaled(term, factors) for term in terms])
        cut = int(self.random.integers(1, len(terms) + 1))
        sums = [self._in_some_order().sum(some) for some in (terms[:cut], terms[cut:]) if len(some)]
        return np.stack([self._scaled(one, factors) for one in sums])

    def _scaled(self, x: Float32Array, factors: Sequence[Factor]) -> Float32Array:
        """x times factors, one after the other, or some of them folded before."""
        a, left = self.machine, list(factors)
        while left:
            by, inverse = self._number(left.pop(0))
            if left and not inverse and self.random.random() < 0.5:
                other, over = self._number(left.pop(0))
                by = a.divide(by, other) if over else a.multiply(by, other)
            by = by.reshape(*by.shape, *[1] * (x.ndim - by.ndim))
            if inverse and self.random.random() < 0.5:
                x = a.divide(x, by)
            else:
                x = a.multiply(x, a.divide(np.ones_like(by), by) if inverse else by)
        return x

    def _number(self, factor: Factor) -> tuple[Float32Array, bool]:
        """The constants of a factor, and whether they divide."""
        value = factor.value
        near = value.astype(np.float64).astype(np.float32)
        exact = np.array([Fraction(float(n)) for n in near.ravel()], object).reshape(near.shape)
        if not factor.known:
            ulps = self.random.integers(-2, 3, near.shape)  # batch norm's, made in some way
            return (near * (1 + ulps * 2.0**-23)).astype(np.float32), False
        if np.all(exact == value):
            return near, False
        return (1 / value).astype(np.float64).astype(np.float32), True

    def _in_some_order(self) -> Execution:
        order = self.order or f"random:{self.random.integers(2**31)}"
        return replace(self.machine, order=order)


def _own(node: Node) -> tuple[Factor, ...]:
    """The trailing factors of a sum that are its own; what it copies has others, or lacks them."""
    assert node.sum is not None
    listed = [len(one.factors) for one in (*node.sum.parts, *node.sum.constants)]
    count = min(len(node.trailing), *listed)
    return node.trailing[len(node.trailing) - count :]


def _gathered(
    made: csr_array, weights: Float32Array, source: Float32Array, machine: Execution
) -> Float32Array:
    """The products of every unit (terms, units), with zeros where it has fewer."""
    each = np.diff(made.indptr)
    terms = np.zeros((len(each), max(1, int(np.max(each)))), np.float32)
    x = source.ravel()[made.indices]
    terms[np.arange(terms.shape[1]) < each[:, None]] = machine.multiply(
        weights.ravel()[made.data], x
    )
    return terms.T
