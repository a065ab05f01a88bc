"""Derive the bound that a certificate's hints give, and compare it with what it claims."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lastbit_check import columns, enclosure, forward, patches
from lastbit_check.bytes import absorbs
from lastbit_check.certificate import Manifest, hints_of
from lastbit_check.duals import Ledger, pulled_back
from lastbit_check.exact import Fix, total
from lastbit_check.forms import UNIT, Form, input_form, root
from lastbit_check.hints import Hints
from lastbit_check.layers import Layer, layer_of
from lastbit_check.network import CURVED, LINEAR, Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import require

EXP_ERROR = Fraction(1, 2**20)
MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)
FARTHEST = Fraction(2) ** 129  # no difference of two logits changes by more: finite.values
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Derived:
    """What follows from the hints: exact dyadic numbers, all upper bounds.

    ``logits`` bounds the change of any difference of two logits, by method; ``parts`` divides
    ``upper``; ``nodes[name]`` holds the node's remainder, rounding and defect for the worst pair
    and pixel, in units of that difference. ``worst`` is (class, class, pixel).
    """

    upper: Fraction
    logits: dict[str, Fraction]
    parts: dict[str, Fraction]
    nodes: dict[str, dict[str, Fraction]]
    worst: tuple[int, int, int]
    forms: dict[str, Form]
    roundings: dict[str, Fix]


def derive(
    model: bytes, hints: Hints, *, keep: bool = False, watch: Watch | None = None
) -> Derived:
    """The bound for the ONNX file ``model``; ``keep`` returns every node's form and rounding."""
    nodes = normal_form(read(model))
    few = nodes[-1].shape[0] <= MOST_CLASSES
    require(few, "model.output", "too many classes for softmax_error")
    _known(hints, nodes)
    shapes = {node.name: node.shape for node in nodes}
    linear = [node for node in nodes if node.op in LINEAR]
    layers = {node.name: layer_of(node, shapes[node.inputs[0]]) for node in linear}
    pass_ = _Pass(nodes, layers, hints, keep)
    for k, node in enumerate(nodes[:-1]):
        pass_.visit(node)
        if watch:
            watch("check", k + 1, len(nodes) - 1)
    return _unmoved(pass_.conclude(), nodes, hints.absorbed)


def _unmoved(derived: Derived, nodes: list[Node], absorbed: str) -> Derived:
    """All changes are 0, if a node tells no last bit; that values are finite stands as derived."""
    if not absorbed:
        return derived
    absorbs(nodes, absorbed)
    each = derived.logits, derived.parts, *derived.nodes.values()
    logits, parts, *rest = (dict.fromkeys(entries, Fraction(0)) for entries in each)
    kept = dict(zip(derived.nodes, rest, strict=True))
    return replace(derived, upper=Fraction(0), logits=logits, parts=parts, nodes=kept)


def _known(hints: Hints, nodes: list[Node]) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    names = {node.name for node in nodes}
    curved = {node.name for node in nodes if node.op in CURVED}
    linear = {node.name for node in nodes if node.op == "linear"}
    require({*hints.duals} <= names, "hint.node", "duals of a node that is not there")
    require({*hints.duals} == {*hints.exponents}, "hint.node", "duals, or exponents, alone")
    require({*hints.slopes, *hints.boxes} <= curved, "hint.node", "slopes of a node without slopes")
    require({*hints.norms} <= linear, "hint.node", "norm of a node without weights")
    require({*hints.bases} | ({hints.coarsen} - {""}) <= names, "hint.node", "base or coarsen")


class _Pass:
    """One walk through the network: forms forward, effects and defects into the ledger."""

    def __init__(
        self, nodes: list[Node], layers: dict[str, Layer], hints: Hints, keep: bool
    ) -> None:
        self.nodes, self.layers, self.keep = nodes, layers, keep
        self.logits, self.classes = nodes[-1].inputs[0], nodes[-1].shape[0]
        unit = np.eye(self.classes, dtype=np.int32).reshape(-1, self.classes, 1, 1)
        self.hints = replace(hints, duals={**hints.duals, self.logits: unit},
                             exponents={**hints.exponents, self.logits: 0})  # fmt: skip
        self.readers = {n.name: [r for r in nodes if n.name in r.inputs] for n in nodes}
        self.forms: dict[str, Form] = {}
        self.roundings: dict[str, Fix] = {}
        self.spreads: dict[str, columns.Spread] = {}
        self.early = _early(nodes, hints)
        self.slopes: dict[str, patches.Slopes] = {}  # of the early SiLUs
        self.first: patches.FirstLayers | None = None
        pixels = math.prod(nodes[0].shape)
        self.ledger = Ledger(self.classes, pixels)
        # of as many columns, the one that a pixel belongs to
        self.groups: dict[int, NDArray[np.intp]] = {
            1: np.zeros(pixels, np.intp), 2: np.zeros(pixels, np.intp),
            pixels + 1: np.arange(pixels),
        }  # fmt: skip

    def visit(self, node: Node) -> None:
        """Derive the node's form from those of its inputs, and book its effects."""
        dual, readers = self.hints.dual(node, self.classes), self.readers[node.name]
        pulled = dual
        if node.name != self.logits:
            pulled = pulled_back(node, readers, self.layers, self.hints, self.classes)
        if node.op == "input":
            form = input_form(node.shape)
            self.ledger.close(pulled)
        else:
            form, effects = self._forward(node)
            self.ledger.enter(node, dual, pulled, effects, form.moves)
            if self.keep:
                self.roundings[node.name] = effects.rounding
        if node.name == self.hints.coarsen:
            form = self._coarsened(node, form)
        if self.early and node is self.early[-1]:
            self.first = patches.first_layers(self.early, self.readers, self.layers, self.slopes)
        if node.name in self.hints.bases:
            form = self._based(node, form)
        self.forms[node.name] = form
        for name in {*node.inputs}:
            if node is self.readers[name][-1] and not self.keep:
                del self.forms[name]

    def _forward(self, node: Node) -> tuple[Form, forward.Effects]:
        sources = [self.forms[name] for name in node.inputs]
        if node.op == "silu" and any(node is other for other in self.early):
            self.slopes[node.name] = enclosure.silu_slopes(*sources[0].interval)
        counts = {source.error.n.shape[3] for source in sources}
        require(len(counts) == 1, "hint.coarsen", "two branches with different groups", node.name)
        none = Fix(np.zeros((*node.shape, 1)), 100)
        spread = self.spreads.get(node.name, columns.Spread(none, none))
        return forward.through(node, self.layers.get(node.name), self.hints, sources, spread)

    def _based(self, node: Node, form: Form) -> Form:
        """Carry the node's error on as columns of its own: from here on nothing is in error."""
        radius = form.error
        flat = radius.reshape(-1, radius.n.shape[3])
        for name, new in columns.spreads(self.nodes, node, self.layers, self.hints, flat).items():
            self.spreads[name] = self.spreads[name].plus(new) if name in self.spreads else new
        none = Fix(np.zeros_like(radius.n), radius.e)
        return replace(form, error=none, spread=total(form.spread, radius))

    def _coarsened(self, node: Node, form: Form) -> Form:
        """Take pixels in blocks from here on."""
        require(not self.spreads, "hint.coarsen", "after the base", node.name)
        channels, height, width = self.nodes[0].shape
        require(channels == 1, "hint.coarsen", "more than one input channel", node.name)
        down, across = np.divmod(np.arange(height * width), width)
        side = self.hints.block
        block = (down // side) * -(-width // side) + across // side
        self.groups[int(block.max()) + 2] = block
        return replace(form, error=columns.coarse(form.error, block))

    def conclude(self) -> Derived:
        """Add up what the ledger holds, for the pair of classes and the pixel where it is most."""
        ledger, names = self.ledger, {node.name for node in self.early}
        inner = names - {self.early[-1].name} if self.early else names
        early = [v for k, v in ledger.remainder.items() if k in names]
        early += [v for k, v in ledger.defect.items() if k in inner]
        late = [v for k, v in ledger.remainder.items() if k not in names]
        late += [v for k, v in ledger.defect.items() if k not in inner]
        none = Fix(np.zeros(ledger.direct.n.shape), 0)
        sums = {
            "first_layer": total(ledger.direct, *map(self._of_pixels, early)),
            "remainder": total(none, *map(self._of_pixels, late)),
            "rounding": total(none, *ledger.rounding.values()),
        }
        off = [Fix(2 * v.n[:, -1:], v.e) for v in early if v.n.shape[1] > 1]
        (row, pixel), parts = self._worst(sums, total(none[:, :1], *off))

        def at(x: Fix) -> Fraction:
            return _entry(x, row, self.groups[x.n.shape[1]][pixel])

        change = root(Fraction(2)) * self.forms[self.logits].change
        logits = {"linear-core": sum(parts.values(), Fraction(0)), "norms": min(change, FARTHEST)}
        soft = softmax_error(self.classes)
        upper = min(Fraction(1), enclosure.tanh_upper(min(logits.values()) / 4) + 2 * soft)
        # upper is divided in proportion to what each part adds to the change of the logits
        moved, whole = max(upper - 2 * soft, Fraction(0)), sum(parts.values())
        rate = moved / whole if whole else Fraction(0)
        kinds = {"remainder": ledger.remainder, "rounding": ledger.rounding,
                 "defect": ledger.defect}  # fmt: skip
        nodes = {
            name: {kind: at(v[name]) if name in v else Fraction(0) for kind, v in kinds.items()}
            for name in ledger.rounding
        }
        c, j = (int(v) for v in ledger.pairs[row])
        shares = {name: value * rate for name, value in parts.items()}
        return Derived(upper, logits, {**shares, "softmax": upper - moved}, nodes, (c, j, pixel),
                       self.forms if self.keep else {}, self.roundings)  # fmt: skip

    def _worst(
        self, sums: dict[str, Fix], noise: Fix
    ) -> tuple[tuple[int, int], dict[str, Fraction]]:
        """The pair and the pixel where the bound is largest, and its parts there.

        From the largest sum down each is derived once more with the first layers' exact form, until
        no sum that is left is larger than the largest bound so far.
        """
        everything = total(*sums.values())
        worst, parts, most = (0, 0), dict.fromkeys(sums, Fraction(0)), Fraction(-1)
        for k in np.argsort(-everything.n, axis=None, kind="stable").tolist():
            row, pixel = divmod(k, everything.n.shape[1])
            if _entry(everything, row, pixel) <= most:
                break
            found = {name: _entry(x, row, pixel) for name, x in sums.items()}
            once_more = self._first_layers(row, pixel)
            off = _entry(noise, row, 0)
            if once_more is not None and once_more + off < found["first_layer"]:
                found["first_layer"] = once_more + off
            found["rounding"] += off
            found["first_layer"] = max(found["first_layer"] - off, Fraction(0))
            if sum(found.values()) > most:
                worst, parts, most = (row, pixel), found, sum(found.values(), Fraction(0))
        return worst, parts

    def _first_layers(self, row: int, pixel: int) -> Fraction | None:
        if self.first is None:
            return None
        (c, j), dual = self.ledger.pairs[row], self.hints.dual(self.early[-1], self.classes)
        a = Fix(dual.n[..., c : c + 1] - dual.n[..., j : j + 1], dual.e)
        return self.first.change(a, *divmod(pixel, self.nodes[0].shape[2]))

    def _of_pixels(self, x: Fix) -> Fix:
        """By group -> by pixel."""
        return Fix(x.n[:, self.groups[x.n.shape[1]]], x.e)


def _entry(x: Fix, row: int, column: int) -> Fraction:
    return Fraction(int(x.n[row, column])) / Fraction(2) ** x.e


def _early(nodes: list[Node], hints: Hints) -> list[Node]:
    """The first layers: nodes up to the first base, or to the first SiLU if there is none."""
    stops = hints.bases or {n.name for n in nodes if n.op == "silu"}
    ends = [k for k, node in enumerate(nodes) if node.name in stops]
    return nodes[: ends[0] + 1] if ends else []


def softmax_error(classes: int) -> Fraction:
    """|computed softmax - softmax| of the computed logits (docs/bound.md, section 5).

    With theta = error of one exponential relative to the largest, (u/e)(1 + 2^-10) + 2^-20, and at
    most 2n roundings: 1.1 ((n + 1) theta + (2n + 1) u).
    """
    theta = UNIT / 2 + EXP_ERROR
    return Fraction(11, 10) * ((classes + 1) * theta + (2 * classes + 1) * UNIT)


def check(model: bytes, manifest: Manifest, blob: bytes, watch: Watch | None = None) -> Derived:
    """Accept by returning what was derived, or raise Rejected with the rule that fails."""
    require(sha256(model).hexdigest() == manifest.model_sha256, "model.sha256", "another file")
    require(sha256(blob).hexdigest() == manifest.blob_sha256, "certificate.blob", "another file")
    derived = derive(model, hints_of(manifest, blob), watch=watch)
    claim = manifest.claim
    _same("claim.upper", derived.upper, claim.upper)
    for method, value in derived.logits.items():
        _same(f"claim.logits.{method}", value, claim.logits[method])
    for part, value in derived.parts.items():
        _same(f"claim.parts.{part}", value, claim.parts[part])
    require({*manifest.nodes} == {*derived.nodes}, "claim.nodes", "not the nodes of the network")
    for name, entries in derived.nodes.items():
        require({*manifest.nodes[name]} == {*entries}, "claim.nodes", "not its effects", name)
        for kind, value in entries.items():
            _same(f"claim.nodes.{kind}", value, manifest.nodes[name][kind], name)
    return derived


def _same(rule: str, derived: Fraction, claimed: float, node: str = "") -> None:
    """The claim is the derived number, rounded up to a float64: neither smaller nor looser."""
    number = ceil_float(derived)
    require(claimed == number, rule, f"{claimed!r} claimed, {number!r} derived", node)


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for a finite one."""
    y = float(x)
    return y if Fraction(y) >= x else math.nextafter(y, math.inf)
