"""Derive the bound that a certificate's hints give, and compare it with what it claims."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check import columns, enclosure, forward, norms
from lastbit_check.certificate import METHODS, Manifest, hints_of
from lastbit_check.duals import Ledger, pulled_back, spread_over, summed, unit_duals
from lastbit_check.exact import Fix, total
from lastbit_check.forms import UNIT, Form, input_form, root
from lastbit_check.hints import Hints
from lastbit_check.layers import Layer, layer_of
from lastbit_check.network import Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import require

EXP_ERROR = Fraction(1, 2**20)
MOST_CLASSES = 2**14  # that softmax_error covers: its factor 1.1 stands for 1 / (1 - n theta)
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
    require(
        nodes[-1].shape[0] <= MOST_CLASSES, "model.output", "too many classes for softmax_error"
    )
    shapes = {node.name: node.shape for node in nodes}
    linear = [node for node in nodes if node.op in ("linear", "affine", "mean")]
    layers = {node.name: layer_of(node, shapes[node.inputs[0]]) for node in linear}
    _known(hints, nodes)
    pass_ = _Pass(nodes, layers, hints, keep)
    for k, node in enumerate(nodes):
        pass_.visit(node)
        if watch:
            watch("check", k + 1, len(nodes))
    return pass_.conclude()


def _known(hints: Hints, nodes: list[Node]) -> None:
    """Rule hint.node: hints name nodes of the network, of a kind that has such hints."""
    names = {node.name for node in nodes}
    curved = {node.name for node in nodes if node.op in ("silu", "sigmoid", "gate")}
    linear = {node.name for node in nodes if node.op == "linear"}
    require({*hints.duals} <= names, "hint.node", "duals of a node that is not there")
    require(
        {*hints.duals} == {*hints.exponents}, "hint.node", "duals without exponents, or the reverse"
    )
    require({*hints.slopes, *hints.boxes} <= curved, "hint.node", "slopes of a node without slopes")
    require({*hints.norms} <= linear, "hint.node", "norm of a node without weights")
    require({*hints.bases} | ({hints.coarsen} - {""}) <= names, "hint.node", "base or coarsen")


class _Pass:
    """One walk through the network: forms forward, effects and defects into the ledger."""

    def __init__(
        self, nodes: list[Node], layers: dict[str, Layer], hints: Hints, keep: bool
    ) -> None:
        self.nodes, self.layers, self.keep = nodes, layers, keep
        logits = nodes[-1].inputs[0]
        self.classes = nodes[-1].shape[0]
        self.hints = Hints({**hints.slopes}, {**hints.duals, logits: unit_duals(self.classes)},
                           {**hints.exponents, logits: 0}, hints.norms, hints.boxes,
                           hints.bases, hints.coarsen, hints.block)  # fmt: skip
        self.ledger = Ledger(self.classes)
        self.forms: dict[str, Form] = {}
        self.kept: dict[str, Form] = {}
        self.roundings: dict[str, Fix] = {}
        self.spreads: dict[str, columns.Spread] = {}
        self.readers = {n.name: [r for r in nodes if n.name in r.inputs] for n in nodes}
        self.left = {name: len(r) for name, r in self.readers.items()}
        pixels = int(np.prod(nodes[0].shape))
        self.groups = {pixels: np.arange(float(pixels))}

    def visit(self, node: Node) -> None:
        if node.op == "softmax":
            return
        if node.op == "input":
            form = input_form(node.shape)
            self.ledger.close(self._pulled(node), int(np.prod(node.shape)))
        else:
            form, effects = self._forward(node)
            extra = self.spreads.get(node.name)
            if extra:
                form = Form(
                    form.c, total(form.error, extra.slack), form.spread, form.size, form.change
                )
            dual = self.hints.dual(node, self.classes)
            pulled = dual if node.name == self.nodes[-1].inputs[0] else self._pulled(node)
            self.ledger.enter(node, dual, pulled, effects, form.moves)
            if self.keep:
                self.roundings[node.name] = effects.rounding
        if node.name == self.hints.coarsen:
            form = self._coarsened(node, form)
        if node.name in self.hints.bases:
            form = self._based(node, form)
        self._store(node, form)

    def _based(self, node: Node, form: Form) -> Form:
        """Carry the node's error on as columns of its own: from here on nothing is in error."""
        radius = form.error
        flat = Fix(radius.n.reshape(-1, radius.n.shape[3]), radius.e)
        new = columns.spreads(self.nodes, node, self.layers, self.hints, flat)
        for name, spread in new.items():
            self.spreads[name] = self.spreads[name].plus(spread) if name in self.spreads else spread
        none = Fix(np.zeros_like(radius.n), radius.e)
        return Form(form.c, none, total(form.spread, radius), form.size, form.change)

    def _pulled(self, node: Node) -> Fix | None:
        return pulled_back(node, self.readers[node.name], self.layers, self.hints, self.classes)

    def _store(self, node: Node, form: Form) -> None:
        self.forms[node.name] = form
        if self.keep:
            self.kept[node.name] = form
        for name in set(node.inputs):
            self.left[name] -= 1
            if not self.left[name]:
                del self.forms[name]

    def _forward(self, node: Node) -> tuple[Form, forward.Effects]:
        sources = [self.forms[name] for name in node.inputs]
        counts = {s.error.n.shape[3] for s in sources}
        require(len(counts) == 1, "hint.coarsen", "two branches with different groups", node.name)
        none = Fix(np.zeros((*node.shape, 1)), 100)
        extra = self.spreads.get(node.name)
        spread = extra.spread if extra else none
        if node.op == "silu":
            return forward.silu(node, self.hints, sources[0], spread)
        if node.op == "sigmoid":
            return forward.sigmoid(node, self.hints, sources[0], spread)
        if node.op == "gate":
            return forward.gate(node, self.hints, sources[0], sources[1], spread)
        if node.op == "add":
            return forward.add(node, sources[0], sources[1], spread)
        layer = self.layers[node.name]
        norm = norms.gain(layer, node, self.hints.norms.get(node.name))
        return forward.linear(layer, node, sources[0], spread, norm)

    def _coarsened(self, node: Node, form: Form) -> Form:
        require(not self.spreads, "hint.coarsen", "after the base", node.name)
        channels, height, width = self.nodes[0].shape
        require(channels == 1, "hint.coarsen", "more than one input channel", node.name)
        across = -(-width // self.hints.block)
        rows, cols = np.divmod(np.arange(height * width), width)
        block = (rows // self.hints.block) * across + cols // self.hints.block
        self.groups[int(block.max()) + 1] = block.astype(np.float64)
        return Form(form.c, columns.coarse(form.error, block.astype(np.float64)), form.spread,
                    form.size, form.change)  # fmt: skip

    def conclude(self) -> Derived:
        ledger, direct = self.ledger, self.ledger.direct
        assert direct is not None
        shape = direct.n.shape
        early = self._early()
        per_pixel = {
            "first": [direct, *(self._wide(v) for k, v in ledger.remainder.items() if k in early)],
            "rest": [self._wide(v) for k, v in ledger.remainder.items() if k not in early]
            + [self._wide(v) for v in ledger.defect.values()],
            "rounding": list(ledger.rounding.values()),
        }
        sums = {name: summed(parts, shape) for name, parts in per_pixel.items()}
        everything = total(*sums.values())
        row, pixel = divmod(int(np.argmax(everything.n)), shape[1])
        core = _real(everything, row, pixel)
        euclid = root(Fraction(2)) * self.forms[self.nodes[-1].inputs[0]].change
        logits = {"linear-core": core, "norms": euclid}
        best = min(logits[m] for m in METHODS)
        soft = softmax_error(self.classes)
        upper = min(Fraction(1), enclosure.tanh_upper(best / 4) + 2 * soft)
        shares = {name: _real(s, row, pixel) for name, s in sums.items()}
        c, j = (int(v) for v in ledger.pairs[row])
        return Derived(upper, logits, _parts(upper, soft, shares), self._by_node(row, pixel),
                       (c, j, pixel), self.kept, self.roundings)  # fmt: skip

    def _early(self) -> set[str]:
        """The first layer: nodes up to the first base, or to the first SiLU if there is none."""
        names = [n.name for n in self.nodes]
        stops = self.hints.bases or {n.name for n in self.nodes if n.op == "silu"}
        return set(names[: min((names.index(s) for s in stops), default=-1) + 1])

    def _wide(self, value: Fix) -> Fix:
        count = value.n.shape[1]
        return Fix(spread_over(value.n, self.groups[count]), value.e) if count > 1 else value

    def _by_node(self, row: int, pixel: int) -> dict[str, dict[str, Fraction]]:
        def at(value: Fix | None) -> Fraction:
            if value is None:
                return Fraction(0)
            wide = self._wide(value)
            return _real(wide, row, pixel if wide.n.shape[1] > 1 else 0)

        ledger = self.ledger
        return {
            name: {
                "remainder": at(ledger.remainder.get(name)),
                "rounding": at(ledger.rounding[name]),
                "defect": at(ledger.defect[name]),
            }
            for name in ledger.rounding
        }


def _real(x: Fix, row: int, column: int) -> Fraction:
    n = x.n[row, column if x.n.shape[1] > 1 else 0]
    return Fraction(int(n)) / Fraction(2) ** x.e


def softmax_error(classes: int) -> Fraction:
    """|computed softmax - softmax| of the computed logits (docs/bound.md, section 5).

    With theta = error of one exponential relative to the largest, (u/e)(1 + 2^-10) + 2^-20, and at
    most 2n roundings: 1.1 ((n + 1) theta + (2n + 1) u).
    """
    theta = UNIT / 2 + EXP_ERROR
    return Fraction(11, 10) * ((classes + 1) * theta + (2 * classes + 1) * UNIT)


def _parts(upper: Fraction, soft: Fraction, shares: dict[str, Fraction]) -> dict[str, Fraction]:
    """upper divided in proportion to what each part adds to the change of the logits."""
    rest, whole = max(upper - 2 * soft, Fraction(0)), sum(shares.values(), Fraction(0))
    rate = rest / whole if whole else Fraction(0)
    return {"first_layer": shares["first"] * rate, "remainder": shares["rest"] * rate,
            "rounding": shares["rounding"] * rate, "softmax": upper - rest}  # fmt: skip


def check(model: bytes, manifest: Manifest, blob: bytes, watch: Watch | None = None) -> Derived:
    """Accept by returning what was derived, or raise Rejected with the rule that fails."""
    require(
        hashlib.sha256(model).hexdigest() == manifest.model_sha256, "model.sha256", "another file"
    )
    require(
        hashlib.sha256(blob).hexdigest() == manifest.blob_sha256, "certificate.blob", "another file"
    )
    derived = derive(model, hints_of(manifest, blob), watch=watch)
    claim = manifest.claim
    _same("claim.upper", derived.upper, claim.upper)
    for method in METHODS:
        _same(f"claim.logits.{method}", derived.logits[method], claim.logits[method])
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
    require(
        claimed == ceil_float(derived),
        rule,
        f"{claimed!r} claimed, {float(derived)!r} derived",
        node,
    )


def ceil_float(x: Fraction) -> float:
    """The least float64 >= x, for x >= 0 (the largest finite one for what is beyond)."""
    if x > Fraction(np.finfo(np.float64).max):
        return float(np.finfo(np.float64).max)
    y = float(x)
    return y if Fraction(y) >= x else float(np.nextafter(y, np.inf))
