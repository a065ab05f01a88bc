"""Derive the bound that a certificate's hints give, and compare it with what it claims."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from lastbit_check import cores, enclosure, forward, patches, together
from lastbit_check.bytes import absorbs
from lastbit_check.certificate import Hints, Manifest, hints_of
from lastbit_check.cores import Dual, adjoint
from lastbit_check.exact import Fix, matmul_up, total
from lastbit_check.forward import UNIT, Form
from lastbit_check.layers import layer_of
from lastbit_check.network import BOXED, CURVED, Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected, at, require

EXP_ERROR = Fraction(1, 2**20)
FEW_PIXELS = 64  # of an image whose pixels are kept apart to the end
MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)


class Derived(NamedTuple):
    """What follows from the hints: exact dyadic numbers, all upper bounds.

    ``logits`` bounds the change of any difference of two logits. ``leaves`` bound what the first
    layers change in a pair's difference, leaf by leaf, for every tree. ``worst`` is (class, class,
    pixel).
    """

    upper: Fraction
    logits: Fraction
    leaves: dict[str, list[Fraction]]
    worst: tuple[int, int, int]


def derive(model: bytes, hints: Hints) -> Derived:
    """The bound for the ONNX file ``model``."""
    return Pass(model, hints).run()


def _known(hints: Hints, nodes: list[Node]) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    shared = [name for hint in hints.together.values() for name in hint.nodes]
    require(len({*shared}) == len(shared), "hint.node", "roundings of a node that are taken twice")
    having = ((hints.slopes, CURVED), (hints.boxes, BOXED), (hints.bases, {n.op for n in nodes}),
              (shared, ["linear", "add", "gate"]))  # fmt: skip
    for names, kinds in having:
        right = {*names} <= {n.name for n in nodes if n.op in kinds}
        require(right, "hint.node", f"not all are nodes of kinds {[*kinds]}: {[*names]}")


class Ledger:
    """What each node adds to the bound, for every pair of classes and every pixel's group.

    ``pairs`` (pairs, 2) lists the classes c < j. Of a node's ``effects`` the remainder and the
    defect are (pairs, groups), the rounding, of two executions, is (pairs, 1).
    """

    def __init__(self, classes: int) -> None:
        self.pairs: list[tuple[int, ...]] = [*itertools.combinations(range(classes), 2)]
        self.effects = dict[tuple[str, str], Fix]()

    def enter(self, node: Node, dual: Dual, made: forward.Outcome, moves: Fix) -> None:
        """Book one node's effects; ``moves`` bounds |D_k| by group."""
        flat, (c, j) = dual.a.n.T, np.transpose(self.pairs)
        weights = Fix(np.abs(flat[c] - flat[j]), dual.a.e)
        off = Fix(np.broadcast_to(2 * dual.off.n, weights.n.shape), dual.off.e)
        runs = Fix(2 * made.noise.n, made.noise.e)
        entries = (("remainder", weights, made.bend), ("rounding", weights, runs),
                   ("defect", off, moves))  # fmt: skip
        for kind, factor, x in entries:
            self.effects[kind, node.name] = matmul_up(factor, x.reshape(flat.shape[1], -1))

    def row(self, pair: Sequence[int]) -> int:
        """The place of a pair of classes c < j."""
        require((*pair,) in self.pairs, "together.pair", f"{pair}")
        return self.pairs.index((*pair,))

    def share(self, row: int, names: Sequence[str], most: Fraction) -> None:
        """The roundings of these nodes, together at most ``most``, divided as they were alone."""
        keys = [("rounding", name) for name in names]
        alone = sum(self.effects[key][row, 0].largest() for key in keys)
        for key in keys if most < alone else ():
            n, e = self.effects[key].n.copy(), self.effects[key].e
            n[row] = math.ceil(int(n[row, 0]) * most / alone)
            self.effects[key] = Fix(n, e)


class Pass:
    """One walk through the network: forms forward, effects and defects into the ledger."""

    def __init__(self, model: bytes, hints: Hints) -> None:
        self.nodes = normal_form(read(model))
        self.logits, self.classes = self.nodes[-1].inputs[0], self.nodes[-1].shape[0]
        require(self.classes <= MOST_CLASSES, "model.output", "too many classes")
        _known(hints, self.nodes)
        shapes = {node.name: node.shape for node in self.nodes}
        self.layers = {node.name: layer_of(node, shapes[node.inputs[0]])
                       for node in self.nodes if node.weights}  # fmt: skip
        self.hints = hints
        self.readers = {name: [n for n in self.nodes if name in n.inputs] for name in shapes}
        self.duals = adjoint(self.nodes, self.readers, self.layers, hints)
        self.forms: dict[str, Form] = {}
        self.spreads: dict[str, cores.Spread] = {}
        shared = {name for hint in hints.together.values() for name in hint.nodes}
        self.shared = shared | {n.inputs[0] for n in self.nodes if n.name in shared}
        self.trunk: together.Trunk | None = None
        # the first layers: up to the first base, or to the first SiLU if there is none
        stops = hints.bases or {n.name for n in self.nodes if n.op == "silu"}
        ends = [k for k, node in enumerate(self.nodes) if node.name in stops]
        self.early = self.nodes[: ends[0] + 1] if ends else self.nodes[:1]
        names = [node.name for node in self.early]
        self.inside = {("remainder", n) for n in names} | {("defect", n) for n in names[:-1]}
        self.leaves: dict[str, list[Fraction]] = {}
        self.ledger = Ledger(self.classes)

    def run(self) -> Derived:
        """Visit every node but softmax, and conclude."""
        for node in self.nodes[:-1]:
            with at(node.name):
                self.visit(node)
        if self.hints.absorbed:
            absorbs(self.nodes, self.hints.absorbed)
        first = self.first_layers()
        for name, tree in self.hints.trees.items():
            if first is None:
                raise Rejected("tree.shape", "the first layers have no exact form")
            a = self.difference(self.ledger.row(tree.pair), self.early[-1])
            self.leaves[name] = first.leaves(a, tree.pixel, tree.splits)
        return self.conclude()

    def visit(self, node: Node) -> None:
        """Derive the node's form from those of its inputs, and book its effects."""
        form, made = self.forward(node)
        self.ledger.enter(node, self.duals[node.name], made, form.moves)
        self.forms[node.name] = form
        # from here on the pixels of a large image are one group
        large = math.prod(self.nodes[0].shape) > FEW_PIXELS
        if large and len(self.early) > 1 and node is self.early[-1]:
            self.forms = {name: replace(known, error=cores.coarse(known.error))
                          for name, known in self.forms.items()}  # fmt: skip
        if node.name in self.hints.bases:
            self.forms[node.name] = self.based(node, self.forms[node.name])

    def forward(self, node: Node) -> tuple[Form, forward.Outcome]:
        """The node's form, and its effects."""
        sources = [self.forms[name] for name in node.inputs]
        spread = self.spreads.get(node.name, cores.unspread(node))
        made = forward.through(node, self.layers.get(node.name), self.hints, sources, spread)
        return made.form(spread), made

    def based(self, node: Node, form: Form) -> Form:
        """Carry the node's error on as columns of its own: from here on nothing is in error."""
        flat = form.error.reshape(-1, form.error.n.shape[3])
        first, kept = not self.spreads, {name: list[csr_array]() for name in self.shared}
        cores.spreads(self.nodes, node, self.layers, self.hints, flat, self.spreads,
                      kept if first else {})  # fmt: skip
        if first:
            self.trunk = together.trunk(flat, kept, self.spreads)
        none = Fix(np.zeros_like(form.error.n), form.error.e)
        return replace(form, error=none, spread=total(form.spread, form.error))

    def conclude(self) -> Derived:
        """Add up what the ledger holds, for the pair of classes and the pixel where it is most."""
        for hint in self.hints.together.values():
            self._taken_together(hint)
        (c, j), pixel, logits = self._worst()
        some = not self.hints.absorbed  # or else nothing moves, and values are finite
        change = enclosure.tanh_upper(logits / 4) + 2 * softmax_error(self.classes)
        return Derived(some * min(Fraction(1), change), some * logits, self.leaves, (c, j, pixel))

    def _taken_together(self, hint: together.Together) -> None:
        """Book the roundings of some nodes anew, for one pair of classes."""
        row = self.ledger.row(hint.pair)
        if self.trunk is None:
            raise Rejected("together.base", "there is none")
        terms = [self.trunk.terms(n, self.layers.get(n.name), self.forms, self.difference(row, n))
                 for n in self.nodes if n.name in hint.nodes]  # fmt: skip
        self.ledger.share(row, hint.nodes, together.bound(terms, self.trunk.radius, hint))

    def _worst(self) -> tuple[tuple[int, ...], int, Fraction]:
        """The pair and the pixel where the change of the logits is bounded worst, and the bound.

        From the largest sum down each is derived once more with the first layers' exact form, until
        no sum that is left is larger than the largest bound so far.
        """
        effects, inside = self.ledger.effects, self.inside
        early, later = (total(*(self.by_pixel(effects[key]) for key in keys), bits=40)
                        for keys in (inside, effects.keys() - inside))  # fmt: skip
        # what the first layers' roundings do through their slopes, in two runs
        off = total(*(Fix(2 * effects[key].n[:, -1:], effects[key].e) for key in inside))
        everything, first = total(early, later), self.first_layers()
        trees = {(self.ledger.row(tree.pair), *tree.pixel): max(self.leaves[name])
                 for name, tree in self.hints.trees.items()}  # fmt: skip
        worst, most = (0, 0), Fraction(-1)
        for k in np.argsort(-everything.n, axis=None, kind="stable").tolist():
            row, pixel = divmod(k, everything.n.shape[1])
            if everything[row, pixel].largest() <= most:
                break
            noise, place = off[row, 0].largest(), divmod(pixel, self.nodes[0].shape[2])
            least = early[row, pixel].largest() - noise
            if first:
                a = self.difference(row, self.early[-1])
                exact = trees.get((row, *place), first.change(a, place, first.everywhere))
                least = least if exact is None else min(exact, least)
            bound = max(least, Fraction(0)) + noise + later[row, pixel].largest()
            if bound > most:
                worst, most = (row, pixel), bound
        return self.ledger.pairs[worst[0]], worst[1], most

    def first_layers(self) -> patches.FirstLayers | None:
        """The first layers, if they have an exact form."""
        return patches.first_layers(self.early, self.readers, self.layers, self.hints)

    def difference(self, row: int, node: Node) -> Fix:
        """The difference of a pair's two dual vectors (units, 1)."""
        (c, j), dual = self.ledger.pairs[row], self.duals[node.name].a
        return Fix(dual.n[:, [c]] - dual.n[:, [j]], dual.e)

    def by_pixel(self, x: Fix) -> Fix:
        """Effects (pairs, groups), or (pairs, 1), as (pairs, pixels)."""
        groups = x.n[:, :-1] if x.n.shape[1] > 1 else x.n
        return Fix(np.broadcast_to(groups, (len(x.n), math.prod(self.nodes[0].shape))), x.e)


def softmax_error(classes: int) -> Fraction:
    """|computed softmax - softmax| of the computed logits (docs/bound.md, section 5).

    With theta = error of one exponential relative to the largest, (u/e)(1 + 2^-10) + 2^-20, and at
    most 2n roundings: 1.1 ((n + 1) theta + (2n + 1) u).
    """
    theta = UNIT / 2 + EXP_ERROR
    return Fraction(11, 10) * ((classes + 1) * theta + (2 * classes + 1) * UNIT)


def check(model: bytes, manifest: Manifest, walk: Callable[[bytes, Hints], Pass] = Pass) -> Derived:
    """Accept by returning what was derived, or raise Rejected with the rule that fails."""
    require(sha256(model).hexdigest() == manifest["model_sha256"], "model.sha256", "another file")
    derived = walk(model, hints_of(manifest)).run()
    leaves = {name: (*map(ceil_float, bounds),) for name, bounds in derived.leaves.items()}
    follows = {"upper": ceil_float(derived.upper), "logits": ceil_float(derived.logits),
               "leaves": leaves}  # fmt: skip
    for name, claimed in manifest["claim"].items():
        right = claimed == follows[name]  # neither smaller nor looser
        require(right, f"claim.{name}", f"{claimed!r} claimed, {follows[name]!r} derived")
    return derived


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for a finite one."""
    y = float(x)
    return y if Fraction(y) >= x else math.nextafter(y, math.inf)
