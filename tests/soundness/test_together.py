"""Roundings that are taken together: the norm is what it is said to be, and no image beats it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for, taken_together
from lastbit.hints.together import scales
from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.certificate import Hints, Together
from lastbit_check.check import Derived, claimed, network_in, proved
from lastbit_check.derive.columns import Held, dense
from lastbit_check.derive.derivation import derive
from lastbit_check.derive.duals import Dual
from lastbit_check.network import Constant, Node, Part, Sum
from lastbit_check.operators import products
from lastbit_check.operators.affine import divided_by, multiplied_by
from lastbit_check.operators.forms import Bound, Value
from lastbit_check.operators.layers import Layer, layer_of
from lastbit_check.operators.sums import sum_underflow
from lastbit_check.question import EXECUTIONS, LAST_BIT
from lastbit_check.refine import together
from lastbit_check.verdict import Rejected
from soundness.exactly import real
from soundness.harness import NearlyLinear, assault, built, subject_of
from soundness.known import with_base
from support.seeds import seeds

Floats = NDArray[np.float64]


def accepted(x: Floats) -> bool:
    try:
        together.contracts(np.rint(x * 2.0**together.BITS))
    except Rejected as error:
        assert error.rule == "norm.spectral"
        return False
    return True


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("alike", [False, True])
def test_a_norm_is_accepted_below_1_only(seed: int, alike: bool) -> None:
    """Of any shape, with one large singular value or all of them 1."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(int(random.integers(1, 60)), int(random.integers(1, 90))))
    if alike:
        u, _, v = np.linalg.svd(x, full_matrices=False)
        x = u @ v
    x /= np.linalg.norm(x, 2)
    assert accepted(x * 0.999)
    assert not accepted(x * (1 + 1e-9))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0])
def test_what_is_no_contraction(value: float) -> None:
    x = np.zeros((3, 4))
    assert accepted(x)
    x[1, 2] = value
    with np.errstate(all="ignore"):
        assert not accepted(x)


def climbed(b: Floats, g: Floats, random: np.random.Generator) -> float:
    """The largest sum_i g_i |(B v)_i| over signs v that turning them one after another finds."""
    best = 0.0
    for _ in range(20):
        v = random.choice([-1.0, 1.0], b.shape[1])
        for _ in range(40):
            v = np.sign(b.T @ (g * np.sign(b @ v))) + 0.0
            v[v == 0] = 1.0
        best = max(best, float(g @ np.abs(b @ v)))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_scales_are_nearly_the_best(seed: int, record_property: object) -> None:
    """No signs exceed what the scales say, and the best ones come within Grothendieck's factor."""
    random = np.random.default_rng(seed)
    shape = int(random.integers(2, 80)), int(random.integers(2, 120))
    b, g = random.normal(size=shape), random.uniform(0.01, 1, shape[0])
    b[:, : shape[1] // 2] *= 0.01
    hint = scales(b, g, 2e-3)
    p, q = np.array(hint.rows), np.array(hint.columns)
    assert accepted(b * p[:, None] * q)
    bound = float(np.linalg.norm(g / p) * np.linalg.norm(1 / q))
    reached = climbed(b, g, random) / bound
    assert 1 / 1.8 < reached <= 1
    assert callable(record_property)
    record_property("share", round(reached, 4))
    assert bound < float(g @ np.abs(b).sum(axis=1)) * 1.01


def test_scales_of_another_shape_are_no_scales() -> None:
    """As many forms as columns: scales of shape (n, 1) would weigh rows, and show nothing."""
    n, g = 64, np.full(64, 1e-9)
    g[0] = 1.0
    b = np.array([[1.0]])
    while len(b) < n:
        b = np.block([[b, b], [b, -b]])
    b /= 16  # its norm is 1/2, and an image makes the first form 4
    p = np.sqrt(g)
    hint = Together(EXECUTIONS, (0, 1), (), p.tolist(), (1.99 / p).tolist())
    with pytest.raises(Rejected, match=r"norm\.spectral"):
        together.bound((b.copy(), g, Fraction(0)), hint)
    with pytest.raises(Rejected, match=r"together\.shape"):
        together.bound((b.copy(), g, Fraction(0)), hint._replace(columns=[*hint.columns, 1.0]))


def test_columns_keep_their_places_where_a_chunk_of_them_is_0() -> None:
    """Two channels of 300 units, in chunks of 256: the first one has none of the second channel."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 15, 20)), "mul", np.float32(2.0**-8))
    x = b.silu(b.conv(x, np.reshape([1.0, 0.5], (2, 1, 1, 1))), "base")
    x = b.conv(x, np.reshape([0.0, 3.0], (1, 2, 1, 1)), name="one")
    x = b.conv(x, np.reshape([0.5], (1, 1, 1, 1)), name="two")
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    base, asked = frozenset({"base"}), Together((), (0, 1), ("two",), (), ())
    hints = Hints({}, boxes=base, bases=base, together={"": asked})
    trunk = together.trunk_of(derive(network_in(b.to_bytes()), LAST_BIT, hints))
    for name, weight in (("one", 3.0), ("two", 1.5)):
        a = np.concatenate([dense(part) for part in trunk.rows[name]], axis=1)
        assert np.array_equal(a, np.concatenate([np.zeros((300, 300)), weight * np.eye(300)], 1))


def part(random: np.random.Generator, source: str, *, groups: int, side: int, even: bool) -> Part:
    """Weights of 4 channels of 4, some of them 0, or powers of two if ``even``."""
    w = random.normal(size=(4, 4 // groups, side, side)) * (random.random((1, 1, side, side)) < 0.7)
    w = np.exp2(np.rint(w)) * (w != 0) if even else w
    return Part(source, w.astype(np.float32), (2, 1), (1, 0, 0, 2), groups)


def layer_at_random(seed: int) -> Layer:
    """Two parts or one; factors of each of them, moved ones, constants that have been scaled."""
    random = np.random.default_rng(seed)
    groups, side = int(random.choice([1, 4])), int(random.integers(1, 4))
    one, *more = [part(random, name, groups=groups, side=side, even=seed % 3 == 0)
                  for name in "xy"[: 1 + seed % 2]]  # fmt: skip
    factor = multiplied_by(random.normal(size=4).astype(np.float32))
    third = divided_by(np.full(4, 3, np.float32))
    numbers = random.normal(size=(2, 4)).astype(np.float32) * (random.random((2, 4)) < 0.7)
    what = Sum((one._replace(moved=(third,)), *more), (Constant(numbers[0]),))
    what = what.scaled(factor).plus(Sum((), (Constant(numbers[1]),)))
    shape = (4, (5 + 1 - side) // 2 + 1, 6 + 2 - side + 1)
    names = tuple(part.source for part in what.parts)
    return layer_of(Node("z", "sum", names, shape, sum=what), {"x": (4, 5, 6), "y": (4, 5, 6)})


def sized(n: Floats, e: int) -> Value:
    """A value of such a magnitude."""
    x, none = Fix(n, e), Fix(0 * n, 0)
    return Value(none, Bound(x, none), none)


@pytest.mark.parametrize("seed", range(24))
def test_a_layer_is_charged_no_less_than_alone(seed: int) -> None:
    """At the same magnitudes, whatever the sum: groups, strides, padding, parts, factors."""
    random, layer = np.random.default_rng(seed), layer_at_random(seed)
    values = [sized(np.rint(np.abs(random.normal(size=(4, 5, 6, 1))) * 2.0**20), 20 + seed)
              for _ in layer.parts]  # fmt: skip
    reaches = [value.magnitude for value in values]
    beta = Fix(random.integers(0, 2**20, (*layer.shape, 1)).astype(np.float64), 12)
    mass = total(layer.spread(reaches), layer.bias_size)
    whole = Fix(np.floor(mass.n * random.random(mass.n.shape)), mass.e)
    read, given, rest = together._gains(layer, beta.reshape(-1, 1), values)
    parts = [*zip(read, reaches, strict=True), (given, whole)]
    charged = rest + sum(exact_product(real(g), real(v)) for g, v in parts)
    rounding = layer.rounding(reaches, whole)  # rounded up to its grid
    top = max(value.largest for value in values)
    alone = total(Fix(np.maximum(rounding.n - 1, 0), rounding.e), sum_underflow(layer, top))
    one = exact_product(real(beta), real(alone))
    assert one * (1 - Fraction(1, 2**30)) <= charged <= 1.5 * one


def exact_product(a: Floats, b: Floats) -> Fraction:
    return Fraction(float(np.sum(a.ravel() * b.ravel())))


# ---- additions and gates, by themselves ------------------------------------------------------


def value(random: np.random.Generator, *shape: int) -> Value:
    c, e = random.integers(-(2**12), 2**12, (*shape, 1)), int(random.integers(4, 30))
    wide = random.integers(0, 2**12, (*shape, 1)).astype(float)
    none = Fix(np.zeros_like(wide), 0)
    return Value(Fix(c.astype(float), e), Bound(Fix(wide, e), none), none)


def charged_and_attained(op: str, seed: int) -> tuple[Fraction, Fraction]:
    """Of additions or products by a gate: what is charged, and u times the largest results.

    Every other gate's x has a factor that is applied to the product: u times it once more.
    """
    random, shape = np.random.default_rng(seed), (4, 3, 2)
    x, y = value(random, *shape), value(random, *(shape if op == "sum" else (4, 1, 1)))
    node, layer, scaled = Node("n", op, ("x", "y"), shape), None, seed % 2
    if op == "sum":
        ones = np.ones((4, 1, 1, 1), np.float32)
        parts = tuple(Part(name, ones, groups=4, copies=True) for name in "xy")
        node = replace(node, sum=Sum(parts))
        layer = layer_of(node, {"x": shape, "y": shape})
    elif scaled:
        node = replace(node, trailing=(multiplied_by(np.full(4, 3, np.float32)),))
    largest = [np.abs(real(v.c)) + real(v.bound.radius) for v in (x, y)]
    ends = [np.sign(real(v.c)) * most for v, most in zip((x, y), largest, strict=True)]
    results = ends[0] + ends[1] if op == "sum" else ends[0] * ends[1]
    n = Value(Fix(np.floor(np.ldexp(results, 40)), 40), x.bound, x.noise)
    n = replace(n, bound=Bound(x.noise, x.noise))
    a = Fix(random.integers(-(2**20), 2**20, (24, 2)).astype(float), 12)
    frame = SimpleNamespace(
        network=SimpleNamespace(by_name={"n": node}),
        settings={"n": SimpleNamespace(layer=layer)},
        duals={"n": Dual(a, Fix(np.zeros(1), 0))},
    )
    derivation: Any = SimpleNamespace(frame=frame, values={"x": x, "y": y, "n": n})
    nothing = {name: Fix(np.zeros((*shape, 1)), 0) for name in "xyn"}
    unread = {name: list[Held]() for name in "xyn"}
    trunk = together.Trunk(np.zeros(1), unread, nothing)
    weighed, charged = together.terms(derivation, trunk, "n", (0, 1))
    for gain, affine in weighed:
        charged += exact_product(real(gain), np.abs(affine.c)[:, None] + real(affine.error))
    weights = 2 * np.abs(np.ldexp(a.n[:, 0] - a.n[:, 1], -a.e))
    often = 1 + (op == "gate" and scaled)
    attained = often * np.sum(weights * np.abs(results).ravel()) * 2.0**-24
    return charged, Fraction(float(attained)) * (1 - Fraction(1, 2**30))


@pytest.mark.parametrize("op", ["sum", "gate"])
@pytest.mark.parametrize("seed", range(12))
def test_sums_and_products_are_charged_no_less_than_they_err(op: str, seed: int) -> None:
    charged, attained = charged_and_attained(op, seed)
    assert attained <= charged <= 4 * attained


def exceeded(op: str) -> int:
    found = [charged_and_attained(op, seed) for seed in range(12)]
    return sum(attained > charged for charged, attained in found)


def test_half_of_a_rounding_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    half = together.half_roundings
    monkeypatch.setattr(together, "half_roundings", lambda x: Fix(half(x).n, half(x).e + 1))
    assert exceeded("sum") >= 3


@pytest.mark.parametrize("fewer", ["half of it", "nothing of a factor", "nothing of the gate"])
def test_less_than_what_a_gate_rounds_is_exceeded(
    monkeypatch: pytest.MonkeyPatch, fewer: str
) -> None:
    rounded = products.gate_roundings

    def less(node: Node, top: Fraction, s: Value) -> tuple[Fix, Fix]:
        if fewer == "nothing of a factor":
            return rounded(replace(node, trailing=()), top, s)
        weight, lost = rounded(node, top, s)
        if fewer == "half of it":
            return Fix(weight.n, weight.e + 1), lost
        return Fix(0 * weight.n, weight.e), lost

    monkeypatch.setattr(together, "gate_roundings", less)
    assert exceeded("gate") >= 3


# ---- in a certificate ------------------------------------------------------------------------


def shared(derived: Derived) -> Derived:
    """The same with the roundings that are worth it taken together."""
    return claimed(taken_together(derived.derivation, derived.claims))


@pytest.mark.parametrize("seed", seeds(6, 16))
def test_no_execution_exceeds_what_is_taken_together(tmp_path: Path, seed: int) -> None:
    """Sharper or as it was, for both claims; the checker derives the same from the hints."""
    model, network, hints = with_base(tmp_path, seed)
    alone = proved(model, LAST_BIT, hints)
    found = shared(alone)
    for executions in EXECUTIONS:
        assert found.claims[executions].logits <= alone.claims[executions].logits
    subject = subject_of(model, network, found.derivation.frame.hints)
    assert subject.derived.claims == found.claims
    assault(subject, seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_taken_together_twice_counts_twice(tmp_path: Path, seed: int) -> None:
    model, network, hints = with_base(tmp_path, seed)
    once = shared(proved(model, LAST_BIT, hints))
    hints = once.derivation.frame.hints
    assert hints.together
    doubled = {f"{name} {k}": hint for name, hint in hints.together.items() for k in range(2)}
    twice = subject_of(model, network, replace(hints, together=doubled))
    for executions in EXECUTIONS:
        assert twice.logits(executions) >= once.claims[executions].logits
    assault(twice, seed)


def test_a_hint_is_for_the_executions_that_it_names(tmp_path: Path) -> None:
    model, _, hints = with_base(tmp_path, 1)
    alone = proved(model, LAST_BIT, hints)
    made = shared(alone).derivation.frame.hints

    def only(*executions: str) -> Sequence[Fraction]:
        named = {key: hint._replace(executions=executions) for key, hint in made.together.items()}
        found = proved(model, LAST_BIT, replace(made, together=named))
        return [found.claims[name].logits for name in EXECUTIONS]

    plain, both = [alone.claims[name].logits for name in EXECUTIONS], only(*EXECUTIONS)
    assert both[0] < plain[0]
    assert only() == plain
    assert only(EXECUTIONS[0]) == [both[0], plain[1]]
    assert only(EXECUTIONS[1]) == [plain[0], both[1]]


def test_most_networks_take_roundings_together(tmp_path: Path) -> None:
    """Their gates among them, and sums of several parts."""
    taken, kinds, several = 0, set[str](), 0
    for seed in range(16):
        model, network = built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, tmp_path)
        frame = shared(proved(model, LAST_BIT, hints_for(network))).derivation.frame
        taken += bool(frame.hints.together)
        names = {name for hint in frame.hints.together.values() for name in hint.nodes}
        nodes = [node for node in frame.network.nodes if node.name in names]
        kinds |= {node.op for node in nodes}
        several += any(node.sum and len(node.sum.parts) > 1 for node in nodes)
    assert taken >= 6
    assert kinds == {"sum", "gate"}
    assert several >= 2
