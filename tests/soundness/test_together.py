"""Roundings that are taken together: the norm is what it is said to be, and no image beats it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from adversaries.weakened import weakened
from lastbit.bound.together import scales, take_together
from lastbit.bound.walk import Walk, derive
from lastbit.hints import hints_for
from lastbit.graph import OnnxBuilder
from lastbit_check import forward, together
from lastbit_check.certificate import Hints, Together
from lastbit_check.check import ceil_float
from lastbit_check.cores import unspread
from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.forward import Form, layer_underflow
from lastbit_check.layers import layer_of
from lastbit_check.network import Node, Norm, Weights, exact
from lastbit_check.verdict import Rejected
from soundness.harness import NearlyLinear, assault, built, real, subject_of
from soundness.known import with_base

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


def test_scales_of_another_shape_are_no_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many forms as columns: scales of shape (n, 1) would weigh rows, and show nothing."""
    n, g = 64, np.full(64, 1e-9)
    g[0] = 1.0
    b = np.array([[1.0]])
    while len(b) < n:
        b = np.block([[b, b], [b, -b]])
    b /= 16  # its norm is 1/2, and an image makes the first form 4
    monkeypatch.setattr(together, "gathered", lambda *_: (b.copy(), g.copy(), Fraction(0)))
    p = np.sqrt(g)
    hint = Together((0, 1), (), p.tolist(), (1.99 / p).tolist())
    with pytest.raises(Rejected, match=r"norm\.spectral"):
        together.bound([], np.ones(n - 1), hint)
    with pytest.raises(Rejected, match=r"together\.shape"):
        together.bound([], np.ones(n - 1), hint._replace(columns=[*hint.columns, 1.0]))


def test_columns_keep_their_places_where_a_chunk_of_them_is_0() -> None:
    """Two channels of 300 units, in chunks of 256: the first one has none of the second channel."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 15, 20)), "mul", np.float32(2.0**-8))
    x = b.silu(b.conv(x, np.reshape([1.0, 0.5], (2, 1, 1, 1))), "base")
    x = b.conv(x, np.reshape([0.0, 3.0], (1, 2, 1, 1)), name="one")
    x = b.conv(x, np.reshape([0.5], (1, 1, 1, 1)), name="two")
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    name = frozenset({"base"})
    walk = Walk(b.to_bytes(), Hints({}, boxes=name, bases=name))
    walk.shared = {"one", "two"}
    walk.run()
    assert walk.trunk is not None
    for name, weight in (("one", 3.0), ("two", 1.5)):
        a = walk.trunk.rows[name].toarray()
        assert np.array_equal(a, np.concatenate([np.zeros((300, 300)), weight * np.eye(300)], 1))


@pytest.mark.parametrize("seed", range(24))
def test_a_layer_is_charged_no_less_than_alone(seed: int) -> None:
    """At the same magnitudes, whatever the layer: groups, strides, padding, biases, batch norm."""
    random = np.random.default_rng(seed)
    groups, side = int(random.choice([1, 4])), int(random.integers(1, 4))
    w = random.normal(size=(4, 4 // groups, side, side)) * (random.random((1, 1, side, side)) < 0.7)
    w = np.exp2(np.rint(w)) * (w != 0) if seed % 3 == 0 else w
    vectors = random.normal(size=(4, 4)).astype(np.float32) * (random.random((4, 4)) < 0.7)
    roots = exact(np.abs(vectors[3])) + Fraction(1, 1000)
    one, none = (exact(np.full(4, v, np.float32)) for v in (1, 0))
    norm = (
        Norm(exact(vectors[0]), exact(vectors[1]), exact(vectors[2]), roots)
        if seed % 2
        else Norm(one, none, none, one, 1)
    )
    weights = Weights(w.astype(np.float32), vectors[3], norm, (2, 1), (1, 0, 0, 2), groups)
    shape = (4, (5 + 1 - side) // 2 + 1, 6 + 2 - side + 1)
    layer = layer_of(Node("y", "linear", ("x",), shape, weights=weights), (4, 5, 6))
    x = Fix(np.rint(np.abs(random.normal(size=(4, 5, 6, 1))) * 2.0**20), 20 + seed)
    beta = Fix(random.integers(0, 2**20, (*shape, 1)).astype(np.float64), 12)
    mass = layer.spread(x)
    whole = Fix(np.floor(mass.n * random.random(mass.n.shape)), mass.e)
    flat = beta.reshape(-1, 1)
    read, given, rest = together._gains(layer, flat, x)
    parts = ((read, x.reshape(-1, 1)), (given, whole.reshape(-1, 1)))
    charged = rest + sum(Fraction(float(np.sum(real(g) * real(v)))) for g, v in parts)
    rounding = layer.rounding(x, whole)  # rounded up to its grid
    alone = total(Fix(np.maximum(rounding.n - 1, 0), rounding.e), layer_underflow(layer, x))
    one = Fraction(float(np.sum(real(beta) * real(alone))))
    assert one * (1 - Fraction(1, 2**30)) <= charged <= 1.5 * one


def charged_and_attained(op: str, seed: int) -> tuple[Fraction, Fraction]:
    """Of additions or products by a gate: what is charged, and u times the largest results."""
    random, shape = np.random.default_rng(seed), (4, 3, 2)

    def form(*shape: int) -> Form:
        c, e = random.integers(-(2**12), 2**12, (*shape, 1)), int(random.integers(4, 30))
        wide = np.array(random.integers(0, 2**12, (*shape, 1)) * [1.0, 0.0, 0.0], np.float64)
        return Form(Fix(c.astype(float), e), Fix(wide, e), Fix(np.zeros_like(wide), 0))

    x, y = form(*shape), form(*(shape if op == "add" else (4, 1, 1)))
    node = Node("n", op, ("x", "y"), shape)
    half = Fix(np.full((4, 1, 1, 1), 2.0**19), 20)
    made = forward.add(x, y) if op == "add" else forward.gate(half, x, y)
    forms = {"x": x, "y": y, "n": made.form(unspread(node))}
    nothing = {name: Fix(np.zeros((*shape, 1)), 0) for name in "xn"}
    unread = {name: csr_array(np.zeros((24, 1), np.float32)) for name in "xn"}
    a = Fix(random.integers(-(2**20), 2**20, (24, 1)).astype(float), 12)
    weighed, rest = together.Trunk(np.zeros(1), unread, nothing).terms(node, None, forms, a)
    charged = rest
    for gain, affine in weighed:
        most = Fraction(1) * np.abs(affine.c)[:, None] + real(affine.error)
        charged += Fraction(float(np.sum(real(gain) * most)))
    largest = [np.abs(real(v.c)) + real(v.radius)[..., :1] for v in (x, y)]
    ends = [np.sign(real(x.c)) * largest[0], np.sign(real(y.c)) * largest[1]]
    results = ends[0] + ends[1] if op == "add" else ends[0] * ends[1]
    attained = np.sum(2 * np.abs(real(a)) * np.abs(results).reshape(-1, 1)) * 2.0**-24
    return charged, Fraction(float(attained)) * (1 - Fraction(1, 2**30))


@pytest.mark.parametrize("op", ["add", "gate"])
@pytest.mark.parametrize("seed", range(12))
def test_sums_and_products_are_charged_no_less_than_they_err(op: str, seed: int) -> None:
    charged, attained = charged_and_attained(op, seed)
    assert attained <= charged <= 4 * attained


@pytest.mark.parametrize(("op", "right", "wrong"), [
    ("add", "factor.e + 24", "factor.e + 26"),
    ("gate", "factor.e + 24", "factor.e + 25"),
    ("gate", 'if node.op == "gate" else Fix', 'if node.op == "add" else Fix'),
])  # fmt: skip
def test_charging_less_is_exceeded(
    monkeypatch: pytest.MonkeyPatch, op: str, right: str, wrong: str
) -> None:
    weaker = weakened(together.Trunk.terms, right, wrong)
    monkeypatch.setattr(together.Trunk, "terms", weaker)
    exceeded = 0
    for seed in range(12):
        charged, attained = charged_and_attained(op, seed)
        exceeded += attained > charged
    assert exceeded >= 3


@pytest.mark.parametrize("seed", range(16))
def test_no_execution_exceeds_what_is_taken_together(tmp_path: Path, seed: int) -> None:
    """Sharper or as it was, for the pair that was worst; the walk of the checker agrees."""
    model, network, hints = with_base(tmp_path, seed)
    alone = derive(model, hints)
    walk = Walk(model, hints)
    found = take_together(walk, walk.run())
    assert found.logits <= alone.logits
    assert ceil_float(derive(model, walk.hints).upper) == ceil_float(found.upper)
    assault(subject_of(model, network, walk.hints), seed)


def test_most_networks_take_roundings_together(tmp_path: Path) -> None:
    """Their additions and gates among them."""
    taken, kinds = 0, set[str]()
    for seed in range(16):
        model, network = built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, tmp_path)
        walk = Walk(model, hints_for(network))
        take_together(walk, walk.run())
        taken += bool(walk.hints.together)
        shared = {name for hint in walk.hints.together.values() for name in hint.nodes}
        kinds |= {node.op for node in walk.nodes if node.name in shared}
    assert taken >= 6
    assert kinds == {"linear", "add", "gate"}
