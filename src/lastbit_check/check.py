"""Derive the bound that a certificate's hints give, and compare it with what it claims."""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from lastbit_check import columns, enclosure, forward, patches, together
from lastbit_check.bytes import absorbs
from lastbit_check.certificate import Hints, Manifest, Tree, hints_of
from lastbit_check.duals import Ledger, adjoint
from lastbit_check.exact import ZERO_GRID, Fix, total
from lastbit_check.forms import UNIT, Form, root
from lastbit_check.layers import layer_of
from lastbit_check.network import CURVED, LINEAR, Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import at, require

EXP_ERROR = Fraction(1, 2**20)
BLOCKS = 7  # the side of an image, in blocks of pixels
MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)
FARTHEST = Fraction(2) ** 129  # no difference of two logits changes by more: finite.values


class Derived(NamedTuple):
    """What follows from the hints: exact dyadic numbers, all upper bounds.

    ``logits`` bounds the change of any difference of two logits, by method; ``parts`` divides
    ``upper``; ``nodes[name]`` holds the node's remainder, rounding and defect for the worst pair
    and pixel, in units of that difference. ``worst`` is (class, class, pixel); ``leaves`` bound
    what the first layers change in a pair's difference, leaf by leaf, for every tree.
    """

    upper: Fraction
    logits: dict[str, Fraction]
    parts: dict[str, Fraction]
    nodes: dict[str, dict[str, Fraction]]
    worst: tuple[int, int, int]
    leaves: dict[str, list[Fraction]]


def derive(model: bytes, hints: Hints) -> Derived:
    """The bound for the ONNX file ``model``."""
    return Pass(model, hints).run()


def _known(hints: Hints, nodes: list[Node]) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    names = {node.name for node in nodes}
    curved = {node.name for node in nodes if node.op in CURVED}
    linear = {node.name for node in nodes if node.op == "linear"}
    require({*hints.slopes, *hints.boxes} <= curved, "hint.node", "slopes of a node without slopes")
    require({*hints.norms} <= linear, "hint.node", "norm of a node without weights")
    shared = [name for hint in hints.together.values() for name in hint.nodes]
    require({*shared} <= linear, "hint.node", "roundings of a node without weights")
    require(len({*shared}) == len(shared), "hint.node", "roundings of a node that are taken twice")
    require({*hints.bases} <= names, "hint.node", "a base that is not there")


class Pass:
    """One walk through the network: forms forward, effects and defects into the ledger."""

    def __init__(self, model: bytes, hints: Hints) -> None:
        self.nodes = normal_form(read(model))
        self.logits, self.classes = self.nodes[-1].inputs[0], self.nodes[-1].shape[0]
        require(self.classes <= MOST_CLASSES, "model.output", "too many classes")
        _known(hints, self.nodes)
        shapes = {node.name: node.shape for node in self.nodes}
        self.layers = {node.name: layer_of(node, shapes[node.inputs[0]])
                       for node in self.nodes if node.op in LINEAR}  # fmt: skip
        self.hints = hints
        self.readers = {name: [n for n in self.nodes if name in n.inputs] for name in shapes}
        self.duals = adjoint(self.nodes, self.readers, self.layers, hints)
        self.forms: dict[str, Form] = {}
        self.spreads: dict[str, columns.Spread] = {}
        shared = {name for hint in hints.together.values() for name in hint.nodes}
        sources = {node.inputs[0] for node in self.nodes if node.name in shared}
        self.bundle = together.Bundle(shared | sources)
        # the first layers: up to the first base, or to the first SiLU if there is none
        stops = hints.bases or {n.name for n in self.nodes if n.op == "silu"}
        ends = [k for k, node in enumerate(self.nodes) if node.name in stops]
        self.early = self.nodes[: ends[0] + 1] if ends else self.nodes[:1]
        self.names = {node.name for node in self.early}
        self.leaves: dict[str, list[Fraction]] = {}
        pixels = math.prod(self.nodes[0].shape)
        self.ledger = Ledger(self.classes)
        # of as many columns, the one that a pixel belongs to
        one = np.zeros(pixels, np.intp)
        self.groups = {1: one, 2: one, pixels + 1: np.arange(pixels, dtype=np.intp)}

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
        require(first, "tree.shape", "the first layers have no exact form")
        assert first is not None
        a = self.difference(self.ledger.row(tree.pair), self.early[-1])
        return first.leaves(a, tree.pixel, tree.splits)

    def visit(self, node: Node) -> None:
        """Derive the node's form from those of its inputs, and book its effects."""
        form, made = self.forward(node)
        self.ledger.enter(node, self.duals[node.name], made, form.moves)
        self.forms[node.name] = form
        if len(self.early) > 1 and node is self.early[-1]:
            self.coarsen()
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
        spread = self.spreads.get(node.name, columns.Spread(none, none))
        made = forward.through(node, self.layers.get(node.name), self.hints, sources, spread)
        return made.form(spread), made

    def based(self, node: Node, form: Form) -> Form:
        """Carry the node's error on as columns of its own: from here on nothing is in error."""
        flat = form.error.reshape(-1, form.error.n.shape[3])
        rows = {name: columns.Gathered() for name in ({*()} if self.spreads else self.bundle.names)}
        found = columns.spreads(self.nodes, node, self.layers, self.hints, flat, rows)
        if not self.spreads:
            self.bundle.begin(flat, rows, found)
        for name, new in found.items():
            self.spreads[name] = self.spreads[name].plus(new) if name in self.spreads else new
        none = Fix(np.zeros_like(form.error.n), form.error.e)
        return replace(form, error=none, spread=total(form.spread, form.error))

    def coarsen(self) -> None:
        """Take pixels in blocks from here on, about BLOCKS from edge to edge."""
        shape = self.nodes[0].shape
        places = np.indices(shape)[1:] // max(1, shape[1] // BLOCKS)
        block = (places[0] * shape[2] + places[1]).ravel()
        _, block = np.unique(block, return_inverse=True)
        self.groups[int(block.max()) + 2] = block
        for name, form in self.forms.items():
            self.forms[name] = replace(form, error=columns.coarse(form.error, block))

    def conclude(self) -> Derived:
        """Add up what the ledger holds, for the pair of classes and the pixel where it is most."""
        for hint in self.hints.together.values():
            self._taken_together(hint)
        remainder, rounding, defect = self.ledger.effects.values()
        inner = self.names - {node.name for node in self.early[-1:]}
        early = [v for k, v in remainder.items() if k in self.names]
        early += [v for k, v in defect.items() if k in inner]
        late = [v for k, v in remainder.items() if k not in self.names]
        late += [v for k, v in defect.items() if k not in inner]
        sums = {
            "first_layer": self._sum(*early),
            "remainder": self._sum(*late),
            "rounding": self._sum(*rounding.values()),
        }
        # what the first layers' roundings do through their slopes, in two runs
        none = Fix(np.zeros((len(self.ledger.pairs), 1)), 0)
        off = total(none, *(Fix(2 * v.n[:, -1:], v.e) for v in early if v.n.shape[1] > 1))
        (row, pixel), parts = self._worst(sums, off)
        some = Fraction(not self.hints.absorbed)  # 0: nothing moves, and values are finite

        def worst(x: Fix) -> Fraction:
            return some * _entry(x, row, self.groups[x.n.shape[1]][pixel])

        change = some * root(Fraction(2)) * self.forms[self.logits].change
        moves = some * sum(parts.values(), Fraction(0))
        logits = {"linear-core": moves, "norms": min(change, FARTHEST)}
        soft = some * softmax_error(self.classes)
        upper = min(Fraction(1), enclosure.tanh_upper(min(logits.values()) / 4) + 2 * soft)
        # upper is divided in proportion to what each part adds to the change of the logits
        moved = max(upper - 2 * soft, Fraction(0))
        rate = moved / moves if moves else Fraction(0)
        parts = {name: x * rate for name, x in parts.items()}
        effects = self.ledger.effects.items()
        nodes = {k: {kind: worst(v[k]) for kind, v in effects} for k in rounding}
        c, j = self.ledger.pairs[row].tolist()
        parts["softmax"] = upper - moved
        return Derived(upper, logits, parts, nodes, (c, j, pixel), self.leaves)

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

    def _worst(self, sums: dict[str, Fix], off: Fix) -> tuple[tuple[int, int], dict[str, Fraction]]:
        """The pair and the pixel where the bound is largest, and its parts there.

        From the largest sum down each is derived once more with the first layers' exact form, until
        no sum that is left is larger than the largest bound so far.
        """
        everything, first = total(*sums.values()), self.first_layers()
        trees = {(self.ledger.row(tree.pair), tree.pixel): max(self.leaves[name])
                 for name, tree in self.hints.trees.items()}  # fmt: skip
        at_worst, parts, most = (0, 0), dict.fromkeys(sums, Fraction(0)), Fraction(-1)
        for k in np.argsort(-everything.n, axis=None, kind="stable").tolist():
            row, pixel = divmod(k, everything.n.shape[1])
            if _entry(everything, row, pixel) <= most:
                break
            found, noise = {n: _entry(x, row, pixel) for n, x in sums.items()}, _entry(off, row, 0)
            place, exact = divmod(pixel, self.nodes[0].shape[2]), None
            if first:
                a = self.difference(row, self.early[-1])
                change = first.change(a, place, first.everywhere)
                exact = trees.get((row, place), change)
            if exact is None or exact + noise > found["first_layer"]:
                exact = max(found["first_layer"] - noise, Fraction(0))
            found |= {"first_layer": exact, "rounding": found["rounding"] + noise}
            if sum(found.values()) > most:
                at_worst, parts, most = (row, pixel), found, sum(found.values(), Fraction(0))
        return at_worst, parts

    def first_layers(self) -> patches.FirstLayers | None:
        """The first layers, if they have an exact form."""
        return patches.first_layers(self.early, self.readers, self.layers, self.hints)

    def difference(self, row: int, node: Node) -> Fix:
        """The difference of a pair's two dual vectors (C, H, W, 1)."""
        (c, j), dual = self.ledger.pairs[row], self.duals[node.name].a
        return Fix(dual.n[..., c : c + 1] - dual.n[..., j : j + 1], dual.e)

    def _sum(self, *values: Fix) -> Fix:
        """Upper sum over all pairs and pixels."""
        none = Fix(np.zeros((len(self.ledger.pairs), self.groups[1].size)), 0)
        return total(none, *(Fix(v.n[:, self.groups[v.n.shape[1]]], v.e) for v in values))


def _entry(x: Fix, row: int, column: int) -> Fraction:
    return x[row, column].largest()


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
    claim, nodes = manifest["claim"], manifest["nodes"]
    _same("claim.upper", derived.upper, claim["upper"])
    for kind, values in (("logits", derived.logits), ("parts", derived.parts)):
        for name, value in values.items():
            _same(f"claim.{kind}.{name}", value, claim[kind][name])
    for name, values in derived.leaves.items():
        listed = manifest["trees"][name]["leaves"]
        require(len(listed) == len(values), "claim.leaves", f"not those of tree {name!r}")
        for value, number in zip(values, listed, strict=True):
            _same("claim.leaves", value, number)
    require({*nodes} == {*derived.nodes}, "claim.nodes", "not the nodes of the network")
    for name, effects in derived.nodes.items():
        require({*nodes[name]} == {*effects}, "claim.nodes", "not its effects", name)
        for kind, value in effects.items():
            _same(f"claim.nodes.{kind}", value, nodes[name][kind], name)
    return derived


def _same(rule: str, derived: Fraction, claimed: float, node: str = "") -> None:
    """The claim is the derived number, rounded up to a float64: neither smaller nor looser."""
    number = ceil_float(derived)
    require(claimed == number, rule, f"{claimed!r} claimed, {number!r} derived", node)


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for a finite one."""
    y = float(x)
    return y if Fraction(y) >= x else math.nextafter(y, math.inf)
