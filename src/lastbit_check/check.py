"""Derive the bound that a certificate's hints give, and compare it with what it claims."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from lastbit_check import cores, enclosure, forward, patches, together
from lastbit_check.bytes import absorbs
from lastbit_check.certificate import Hints, Manifest, Tree, hints_of
from lastbit_check.cores import Dual, adjoint
from lastbit_check.exact import ZERO_GRID, Fix, matmul_up, total
from lastbit_check.forward import UNIT, Form
from lastbit_check.layers import layer_of
from lastbit_check.network import BOXED, CURVED, Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected, at, require

EXP_ERROR = Fraction(1, 2**20)
Numbers = Fraction | list[Fraction] | dict[str, Any]
FEW_PIXELS = 64  # of an image whose pixels are kept apart to the end
MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)


class Derived(NamedTuple):
    """What follows from the hints: exact dyadic numbers, all upper bounds.

    ``logits`` bounds the change of any difference of two logits; ``parts`` divides ``upper``;
    ``nodes[name]`` holds the node's remainder, rounding and defect for the worst pair and pixel, in
    units of that difference. ``leaves`` bound what the first layers change in a pair's difference,
    leaf by leaf, for every tree. ``worst`` is (class, class, pixel).
    """

    upper: Fraction
    logits: Fraction
    parts: dict[str, Fraction]
    nodes: dict[str, dict[str, Fraction]]
    leaves: dict[str, list[Fraction]]
    worst: tuple[int, int, int]


def derive(model: bytes, hints: Hints) -> Derived:
    """The bound for the ONNX file ``model``."""
    return Pass(model, hints).run()


def _known(hints: Hints, nodes: list[Node]) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    ops = {node.name: node.op for node in nodes}
    shared = [name for hint in hints.together.values() for name in hint.nodes]
    require(len({*shared}) == len(shared), "hint.node", "roundings of a node that are taken twice")
    having = (("a slope", hints.slopes, CURVED), ("a box", hints.boxes, BOXED),
              ("a base", hints.bases, ops.values()), ("roundings", shared, ["linear"]))  # fmt: skip
    for what, names, kinds in having:
        right = {ops.get(name) for name in names} <= {*kinds}
        require(right, "hint.node", f"{what} of a node that has none")


class Ledger:
    """What each node adds to the bound, for every pair of classes and every pixel's group.

    ``pairs`` (pairs, 2) lists the classes c < j. Of a node's ``effects`` the remainder and the
    defect are (pairs, groups), the rounding, of two executions, is (pairs, 1).
    """

    def __init__(self, classes: int) -> None:
        self.pairs = np.array([*itertools.combinations(range(classes), 2)], dtype=np.intp)
        self.effects = {kind: dict[str, Fix]() for kind in ("remainder", "rounding", "defect")}

    def enter(self, node: Node, dual: Dual, made: forward.Outcome, moves: Fix) -> None:
        """Book one node's effects; ``moves`` bounds |D_k| by group."""
        flat, (c, j) = dual.a.n.reshape(-1, dual.a.n.shape[3]).T, self.pairs.T
        weights = Fix(np.abs(flat[c] - flat[j]), dual.a.e)
        off = Fix(np.broadcast_to(2 * dual.off.n, weights.n.shape), dual.off.e)
        runs = Fix(2 * made.noise.n, made.noise.e)
        entries = (weights, made.bend), (weights, runs), (off, moves)
        for booked, (factor, values) in zip(self.effects.values(), entries, strict=True):
            booked[node.name] = matmul_up(factor, values.reshape(flat.shape[1], -1))

    def row(self, pair: tuple[int, int]) -> int:
        """The place of a pair of classes c < j."""
        pairs = self.pairs.tolist()
        require([*pair] in pairs, "together.pair", f"{pair}")
        return pairs.index([*pair])

    def share(self, row: int, names: tuple[str, ...], most: Fraction) -> None:
        """The roundings of these nodes, together at most ``most``, divided as they were alone."""
        rounding = self.effects["rounding"]
        alone = sum(rounding[name][row, 0].largest() for name in names)
        for name in names if most < alone else ():
            n = rounding[name].n.copy()
            n[row] = math.ceil(int(n[row, 0]) * most / alone)
            rounding[name] = Fix(n, rounding[name].e)


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
        sources = {node.inputs[0] for node in self.nodes if node.name in shared}
        self.bundle = together.Bundle(shared | sources)
        # the first layers: up to the first base, or to the first SiLU if there is none
        stops = hints.bases or {n.name for n in self.nodes if n.op == "silu"}
        ends = [k for k, node in enumerate(self.nodes) if node.name in stops]
        self.early = self.nodes[: ends[0] + 1] if ends else self.nodes[:1]
        self.leaves: dict[str, list[Fraction]] = {}
        self.ledger = Ledger(self.classes)

    def run(self) -> Derived:
        """Visit every node but softmax, and conclude."""
        for node in self.nodes[:-1]:
            with at(node.name):
                self.visit(node)
        if self.hints.absorbed:
            absorbs(self.nodes, self.hints.absorbed)
        for name, tree in self.hints.trees.items():
            self.leaves[name] = self.branched(tree)
        return self.conclude()

    def branched(self, tree: Tree) -> list[Fraction]:
        """The bounds of a tree's leaves."""
        first = self.first_layers()
        if first is None:
            raise Rejected("tree.shape", "the first layers have no exact form")
        a = self.difference(self.ledger.row(tree.pair), self.early[-1])
        return first.leaves(a, tree.pixel, tree.splits)

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
        if node.name in self.bundle.names:
            self.bundle.forms[node.name] = self.forms[node.name]
        for name in {*node.inputs}:
            if node is self.readers[name][-1]:
                del self.forms[name]

    def forward(self, node: Node) -> tuple[Form, forward.Outcome]:
        """The node's form, and its effects."""
        sources = [self.forms[name] for name in node.inputs]
        none = Fix(np.zeros((*node.shape, 1)), ZERO_GRID)
        spread = self.spreads.get(node.name, cores.Spread(none, none))
        made = forward.through(node, self.layers.get(node.name), self.hints, sources, spread)
        return made.form(spread), made

    def based(self, node: Node, form: Form) -> Form:
        """Carry the node's error on as columns of its own: from here on nothing is in error."""
        flat = form.error.reshape(-1, form.error.n.shape[3])
        rows = {name: cores.Gathered() for name in ({*()} if self.spreads else self.bundle.names)}
        found = cores.spreads(self.nodes, node, self.layers, self.hints, flat, rows)
        if not self.spreads:
            self.bundle.begin(flat, rows, found)
        for name, new in found.items():
            self.spreads[name] = self.spreads[name].plus(new) if name in self.spreads else new
        none = Fix(np.zeros_like(form.error.n), form.error.e)
        return replace(form, error=none, spread=total(form.spread, form.error))

    def conclude(self) -> Derived:
        """Add up what the ledger holds, for the pair of classes and the pixel where it is most."""
        for hint in self.hints.together.values():
            self._taken_together(hint)
        effects = self.ledger.effects
        parts = {"first_layer": list[Fix](), "remainder": list[Fix]()}
        for kind, inside in (("remainder", self.early), ("defect", self.early[:-1])):
            names = {node.name for node in inside}
            for name, value in effects[kind].items():
                parts["first_layer" if name in names else "remainder"].append(value)
        # what the first layers' roundings do through their slopes, in two runs
        off = total(*(Fix(2 * v.n[:, -1:], v.e) for v in parts["first_layer"]))
        parts["rounding"] = [*effects["rounding"].values()]
        sums = {name: total(*map(self.by_pixel, values)) for name, values in parts.items()}
        row, pixel, found = self._worst(sums, off)
        some = Fraction(not self.hints.absorbed)  # 0: nothing moves, and values are finite
        logits = some * sum(found.values(), Fraction(0))
        soft = some * softmax_error(self.classes)
        upper = min(Fraction(1), enclosure.tanh_upper(logits / 4) + 2 * soft)
        # upper is divided in proportion to what each part adds to the change of the logits
        moved = max(upper - 2 * soft, Fraction(0))
        rate = moved / logits if logits else Fraction(0)
        shares = {name: x * rate for name, x in found.items()}
        nodes = {name: {kind: some * self.by_pixel(values[name])[row, pixel].largest()
                        for kind, values in effects.items()}
                 for name in effects["rounding"]}  # fmt: skip
        c, j = self.ledger.pairs[row].tolist()
        shares["softmax"] = upper - moved
        return Derived(upper, logits, shares, nodes, self.leaves, (c, j, pixel))

    def _taken_together(self, hint: together.Together) -> None:
        """Book the roundings of some nodes anew, for one pair of classes."""
        row = self.ledger.row(hint.pair)
        sums = [self.bundle.sums(node, self.layers[node.name], self.weights(node, row))
                for node in self.nodes if node.name in hint.nodes]  # fmt: skip
        self.ledger.share(row, hint.nodes, together.bound(sums, self.bundle.radius, hint))

    def weights(self, node: Node, row: int) -> Fix:
        """What a rounding of the node counts in two runs, for a pair of classes (C, H, W, 1)."""
        a = self.difference(row, node)
        return Fix(2 * np.abs(a.n), a.e)

    def _worst(self, sums: dict[str, Fix], off: Fix) -> tuple[int, int, dict[str, Fraction]]:
        """The pair and the pixel where the bound is largest, and its parts there.

        From the largest sum down each is derived once more with the first layers' exact form, until
        no sum that is left is larger than the largest bound so far.
        """
        everything, first = total(*sums.values()), self.first_layers()
        trees = {(self.ledger.row(tree.pair), tree.pixel): max(self.leaves[name])
                 for name, tree in self.hints.trees.items()}  # fmt: skip
        worst, most = (0, 0, dict.fromkeys(sums, Fraction(0))), Fraction(-1)
        for k in np.argsort(-everything.n, axis=None, kind="stable").tolist():
            row, pixel = divmod(k, everything.n.shape[1])
            if everything[row, pixel].largest() <= most:
                break
            found = {name: x[row, pixel].largest() for name, x in sums.items()}
            noise, place = off[row, 0].largest(), divmod(pixel, self.nodes[0].shape[2])
            exact, direct = None, found["first_layer"] - noise
            if first:
                a = self.difference(row, self.early[-1])
                exact = trees.get((row, place), first.change(a, place, first.everywhere))
            least = max(direct if exact is None else min(exact, direct), Fraction(0))
            found |= {"first_layer": least, "rounding": found["rounding"] + noise}
            if sum(found.values()) > most:
                worst, most = (row, pixel, found), sum(found.values(), Fraction(0))
        return worst

    def first_layers(self) -> patches.FirstLayers | None:
        """The first layers, if they have an exact form."""
        return patches.first_layers(self.early, self.readers, self.layers, self.hints)

    def difference(self, row: int, node: Node) -> Fix:
        """The difference of a pair's two dual vectors (C, H, W, 1)."""
        (c, j), dual = self.ledger.pairs[row], self.duals[node.name].a
        return Fix(dual.n[..., c : c + 1] - dual.n[..., j : j + 1], dual.e)

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
    same = sha256(model).hexdigest() == manifest["model_sha256"]
    require(same, "model.sha256", "another file")
    derived = walk(model, hints_of(manifest)).run()
    for name, claimed in manifest["claim"].items():
        _same(f"claim.{name}", getattr(derived, name), claimed)
    return derived


def _same(rule: str, derived: Numbers, claimed: Any, place: str = "") -> None:
    """The claim is the derived number, rounded up to a float64: neither smaller nor looser.

    Or they are objects or lists of such numbers, of the same form.
    """
    if isinstance(derived, Fraction):
        number = ceil_float(derived)
        require(claimed == number, rule, f"{place}{claimed!r} claimed, {number!r} derived")
        return
    if isinstance(derived, list):
        derived = {str(k): v for k, v in enumerate(derived)}
        claimed = {str(k): v for k, v in enumerate(claimed)}
    require(derived.keys() == claimed.keys(), rule, f"{place}other numbers are derived")
    for name, value in derived.items():
        _same(rule, value, claimed[name], f"{place}{name}: ")


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for a finite one."""
    y = float(x)
    return y if Fraction(y) >= x else math.nextafter(y, math.inf)
