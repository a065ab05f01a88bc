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

from lastbit_check.arithmetic.exact import Fix, apply, from_float, matmul_up, total
from lastbit_check.derive.changes import changed, first_changes
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import Derivation
from lastbit_check.derive.duals import DUAL_BITS
from lastbit_check.derive.ledger import both_runs, difference
from lastbit_check.network import Node
from lastbit_check.operators.forms import Bound
from lastbit_check.question import ANY_TWO

Floats = NDArray[np.float64]


class Relaxation:
    """What a derivation knows of two runs by any executions, unit by unit."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation, self.frame = derivation, derivation.frame
        self.nodes, self.balance = derivation.frame.network.computed, Balance(derivation, ANY_TWO)

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """Where the units of each node but the softmax begin and end among those of all."""
        ends = list(itertools.accumulate(math.prod(node.shape) for node in self.nodes))
        begun = zip([0, *ends[:-1]], ends, strict=True)
        return dict(zip((node.name for node in self.nodes), begun, strict=True))

    @cached_property
    def cores(self) -> csr_array:
        """The linear cores of all nodes in one matrix (units, units)."""
        blocks = list[tuple[Any, Any, Any]]()
        for node in self.nodes[1:]:
            for core in self.frame.cores[node.name]:
                block = coo_array(core.written)
                at, read = block.coords
                places = at + self.places[node.name][0], read + self.places[core.source][0]
                blocks.append((np.ldexp(block.data, -core.e), *places))
        values, rows, columns = (np.concatenate(part) for part in zip(*blocks, strict=True))
        units = self.places[self.nodes[-1].name][1]
        return csr_array((values, (rows, columns)), (units, units))

    def moves(self, place: int) -> tuple[dict[str, Fix], dict[str, Fix]]:
        """How far each node moves (units, 1), and what it adds to its core, for one place."""
        d, found = self.derivation, dict[str, Fix]()
        _, first = first_changes(self.frame, d.values, d.reach, range(place, place + 1))
        early, added = first[ANY_TWO], dict[str, Fix]()
        for node in self.nodes:
            units = math.prod(node.shape)
            bend, radius = self._own(node, early, place)
            noise = both_runs(d.values[node.name].noise)
            found[node.name] = radius.reshape(units, 1)
            added[node.name] = total(bend.reshape(units, 1), noise)
        return found, added

    def _own(self, node: Node, early: dict[str, Bound], place: int) -> tuple[Fix, Fix]:
        if node.op == "input":
            return early[node.name].radius, early[node.name].radius
        if node.name in early:
            bend = changed(self.frame, node, self.derivation.values, early).bend
            return bend, early[node.name].radius
        bend = self.derivation.remainders[ANY_TWO][node.name]
        radius = self.derivation.moves[ANY_TWO][node.name].radius
        column = place if radius.n.shape[3] > 1 else 0
        return bend[..., [column]], radius[..., [column]]


def solved(relaxation: Relaxation) -> tuple[Fraction, int]:
    """R by the method: over all pairs of classes and places, and how many programs that took.

    From the largest bound by the adjoint down, until no bound that is left is larger than the
    largest so far.
    """
    sums, most, count = relaxation.balance.everything, Fraction(0), 0
    for k in np.argsort(-sums.n, axis=None, kind="stable").tolist():
        row, place = divmod(k, sums.n.shape[1])
        if sums[row, place].largest() <= most:
            break
        program = Program(relaxation, row, place)
        most = max(most, min(sums[row, place].largest(), program.proved(program.duals())))
        count += 1
    return most, count


class Program:
    """The linear program of a pair of classes (the row of the ledger) and a place."""

    def __init__(self, relaxation: Relaxation, row: int, place: int) -> None:
        self.known, self.pair = relaxation, relaxation.frame.pairs[row]
        self.nodes = relaxation.nodes
        self.moves, self.own = relaxation.moves(place)

    def duals(self) -> dict[str, Fix]:
        """The multipliers of its equations (units, 1) on a grid for each node; 0 if there are none.

        Units that do not reach the difference of the two logits, or never change, are left out.
        Changes are in units of their bounds, so that the program's numbers are near 1.
        """
        known, (c, j) = self.known, self.pair
        frame, places = known.frame, known.places
        adjoint = [difference(frame.duals[node.name], self.pair).n for node in self.nodes]
        m = self._joined(self.moves)
        live = np.flatnonzero((np.concatenate(adjoint)[:, 0] != 0) & (m > 0))
        scale, count = m[live], live.size
        cores = known.cores[live][:, live]
        equations = eye_array(count) - diags_array(1 / scale) @ cores @ diags_array(scale)
        least = np.minimum(self._joined(self.own)[live] / scale, 2.0)
        gain = np.zeros(m.size)
        gain[[places[frame.network.logits][0] + k for k in (c, j)]] = -1.0, 1.0
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
        return {name: from_float(a[i:k, None], DUAL_BITS)[0] for name, (i, k) in places.items()}

    def proved(self, duals: dict[str, Fix]) -> Fraction:
        """The bound that dual vectors (units, 1) give, whatever they are.

        Those of the logits are 1 and -1.
        """
        frame, bound = self.known.frame, Fraction(0)
        logits, last = frame.network.logits, np.zeros((frame.network.classes, 1))
        last[list(self.pair), 0] = 1.0, -1.0
        duals = {**duals, logits: Fix(last, 0)}
        for node in self.nodes:
            a = duals[node.name]
            bound += _product(a.abs(), self.own[node.name])
            if node.name == logits:
                continue
            parts, split = [-a], list[Fix]()
            for reader in frame.network.readers[node.name]:
                for core in frame.cores.get(reader.name, ()):
                    if core.source == node.name:
                        x = duals[reader.name]
                        y = apply(core.w.T, x, up=False)
                        parts.append(Fix(y.n, y.e + core.e))
                        split += [Fix(np.ones(1), y.e + core.e)] * (y.e < x.e)
            d = total(*parts, up=False)
            off = total(d.abs(), Fix(np.full(1, float(len(parts))), d.e), *split)
            bound += _product(off, self.moves[node.name])
        return bound

    def _joined(self, columns: dict[str, Fix]) -> Floats:
        found = [np.ldexp(x.n[:, 0], -x.e) for x in (columns[node.name] for node in self.nodes)]
        return np.concatenate(found)


def _product(a: Fix, x: Fix) -> Fraction:
    """Upper bound of the sum of products of nonnegative (units, 1)."""
    return matmul_up(a.reshape(1, -1), x).largest()
