"""The method `lp`: dual vectors from a linear program, and what they prove in exact arithmetic.

What the checker knows of two executions is linear, unit by unit: with its core L, of the changes D

    D_k = sum_j L_kj D_j + s_k,    |s_k| <= c_k,    |D_k| <= m_k

(c: the remainder and the roundings of both runs, m: the change). The largest difference of two
logits' changes under these constraints is a linear program. The multipliers of its equations are
dual vectors a for (1) of docs/bound.md, section 3, for which

    |D_c - D_j| <= sum_k |d_k| m_k + sum_k |a_k| c_k,        d_j = sum_k L_kj^T a_k - a_j.

This is the dual program's objective, so the linear program's value is the least that any dual
vectors give; the adjoint of the cores, which the checker takes, has d = 0. Of the solver (HiGHS)
nothing is believed: its numbers are rounded to a grid, and the bound is derived from them by the
checker's own arithmetic.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, diags_array, eye_array, hstack

from lastbit.bound.walk import Walk
from lastbit_check.certificate import Hints
from lastbit_check.cores import DUAL_BITS, core
from lastbit_check.exact import Fix, apply, from_float, matmul_up, total
from lastbit_check.forward import Form, Outcome
from lastbit_check.network import Node

Floats = NDArray[np.float64]


class Separable(Walk):
    """A walk without the first layers' exact form, that keeps what a linear program needs."""

    def __init__(self, model: bytes, hints: Hints, *, norms: bool = False) -> None:
        super().__init__(model, hints, norms=norms)
        self.outcomes: dict[str, tuple[Form, Outcome]] = {}

    def forward(self, node: Node) -> tuple[Form, Outcome]:
        self.outcomes[node.name] = super().forward(node)
        return self.outcomes[node.name]

    def first_layers(self) -> None:
        """None: every unit's slope is as bad as it can be."""

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """Where the units of each node but the softmax begin and end among those of all."""
        ends = list(itertools.accumulate(math.prod(node.shape) for node in self.nodes[:-1]))
        begun = zip([0, *ends[:-1]], ends, strict=True)
        return dict(zip((node.name for node in self.nodes[:-1]), begun, strict=True))

    @cached_property
    def cores(self) -> csr_array:
        """The linear cores of all nodes in one matrix (units, units)."""
        blocks = list[tuple[Any, Any, Any]]()
        for node in self.nodes[1:-1]:
            inputs, w, e = core(node, self.layers, self.hints)
            block = coo_array(w)
            at, read = block.coords
            for name in inputs:
                places = at + self.places[node.name][0], read + self.places[name][0]
                blocks.append((np.ldexp(block.data, -e), *places))
        values, rows, columns = (np.concatenate(part) for part in zip(*blocks, strict=True))
        units = self.places[self.nodes[-2].name][1]
        return csr_array((values, (rows, columns)), (units, units))


def solved(walk: Separable) -> tuple[Fraction, int]:
    """R by the method: over all pairs of classes and pixels, and how many programs that took.

    From the largest bound by the adjoint down, until no bound that is left is larger than the
    largest so far.

    Args:
        walk: over.
    """
    sums = total(*(walk.by_pixel(v) for v in walk.ledger.effects.values()), bits=40)
    most, count = Fraction(0), 0
    for k in np.argsort(-sums.n, axis=None, kind="stable").tolist():
        row, pixel = divmod(k, sums.n.shape[1])
        if sums[row, pixel].largest() <= most:
            break
        program = Program(walk, row, pixel)
        most = max(most, min(sums[row, pixel].largest(), program.proved(program.duals())))
        count += 1
    return most, count


class Program:
    """The linear program of a pair of classes (the row of the ledger) and a pixel."""

    def __init__(self, walk: Separable, row: int, pixel: int) -> None:
        self.walk, self.pair = walk, walk.ledger.pairs[row]
        self.nodes = walk.nodes[:-1]
        self.moves, self.own = dict[str, Fix](), dict[str, Fix]()
        for node in self.nodes:
            form, made = walk.outcomes[node.name]
            noise = Fix(2 * made.noise.n, made.noise.e)
            bend = _column(made.bend, pixel, node)
            self.moves[node.name] = _column(form.moves, pixel, node)
            self.own[node.name] = total(bend, _column(noise, 0, node))

    def duals(self) -> dict[str, Fix]:
        """The multipliers of its equations (units, 1) on a grid for each node; 0 if there are none.

        Units that do not reach the difference of the two logits, or never change, are left out.
        Changes are in units of their bounds, so that the program's numbers are near 1.
        """
        walk, (c, j) = self.walk, self.pair
        adjoint = [walk.difference(walk.ledger.row(self.pair), node).n for node in self.nodes]
        m = self._joined(self.moves)
        live = np.flatnonzero((np.concatenate(adjoint)[:, 0] != 0) & (m > 0))
        scale, count = m[live], live.size
        cores = walk.cores[live][:, live]
        equations = eye_array(count) - diags_array(1 / scale) @ cores @ diags_array(scale)
        least = np.minimum(self._joined(self.own)[live] / scale, 2.0)
        gain = np.zeros(m.size)
        gain[[walk.places[walk.logits][0] + k for k in (c, j)]] = -1.0, 1.0
        widths = np.concatenate([np.ones(count), least])
        options: dict[str, Any] = {
            "A_eq": hstack([equations, -eye_array(count)], "csc"),
            "b_eq": np.zeros(count),
            "bounds": np.stack([-widths, widths], axis=1),
            "method": "highs-ipm",
        }
        a = np.zeros(m.size)
        if count:
            found = linprog(np.concatenate([gain[live] * scale, np.zeros(count)]), **options)
            if found.status == 0:
                a[live] = -np.asarray(found.eqlin.marginals) / scale
        return {name: from_float(a[i:k, None], DUAL_BITS)[0]
                for name, (i, k) in walk.places.items()}  # fmt: skip

    def proved(self, duals: dict[str, Fix]) -> Fraction:
        """The bound that dual vectors (units, 1) give, whatever they are.

        Those of the logits are 1 and -1.
        """
        walk, bound = self.walk, Fraction(0)
        last = np.zeros((walk.classes, 1))
        last[list(self.pair), 0] = 1.0, -1.0
        duals = {**duals, walk.logits: Fix(last, 0)}
        for node in self.nodes:
            a, parts, split = duals[node.name], [-duals[node.name]], list[Fix]()
            for reader in walk.readers[node.name] if node.name != walk.logits else ():
                inputs, w, e = core(reader, walk.layers, walk.hints)
                x = duals[reader.name]
                y = apply(w.T, x, up=False)
                parts += [Fix(y.n, y.e + e)] * inputs.count(node.name)
                split += [Fix(np.ones(1), y.e + e)] * (y.e < x.e)
            bound += _product(a.abs(), self.own[node.name])
            if node.name != walk.logits:
                d = total(*parts, up=False)
                off = total(d.abs(), Fix(np.full(1, float(len(parts))), d.e), *split)
                bound += _product(off, self.moves[node.name])
        return bound

    def _joined(self, columns: dict[str, Fix]) -> Floats:
        found = [np.ldexp(x.n[:, 0], -x.e) for x in (columns[node.name] for node in self.nodes)]
        return np.concatenate(found)


def _column(x: Fix, pixel: int, node: Node) -> Fix:
    """What is known of one pixel (units, 1), of groups or of all."""
    group = pixel if x.n.shape[3] > 2 else 0
    n = np.broadcast_to(x.n[..., [group]], (*node.shape, 1))
    return Fix(n.reshape(-1, 1), x.e)


def _product(a: Fix, x: Fix) -> Fraction:
    """Upper bound of the sum of products of nonnegative (units, 1)."""
    return matmul_up(a.reshape(1, -1), x).largest()
