"""Which roundings are taken together, and with which scales (lastbit_check/together.py).

The best scales solve the semidefinite relaxation of max sum_i g_i |(B v)_i| over |v_j| <= 1,

    max sum_i g_i u_i . (B V)_i    over vectors |u_i| <= 1, |V_j| <= 1,

which block-coordinate ascent solves in a few dimensions (Burer and Monteiro 2003; Alon and Naor,
"Approximating the cut-norm via Grothendieck's inequality", 2006): u_i and V_j in turn point where
the others want them. With t = |B V| by rows and d = |B^T (g u)| by columns, p = (g / t)^(1/2) and
q = d^(-1/2) are the scales.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit.bound.walk import Kept, Walk
from lastbit_check import cores, together
from lastbit_check.certificate import Together
from lastbit_check.layers import Layer
from lastbit_check.network import Node
from lastbit_check.together import Terms
from lastbit_check.verdict import Rejected

DIMENSIONS, STEPS, POWERS = 12, 60, 40
MARGINS = 2e-3, 2e-2
"""How far below 1 a spectral norm is kept: integers and an incomplete ascent use it up."""
UNREAD = 1e-6
"""Of the most that a unit of the base weighs, what it is taken to weigh at least."""
LEAST_SCALE = 2.0**-30
"""Of the largest scale of a form, what any is at least."""
LEAST_SHARE, LEAST_EACH = Fraction(1, 300), Fraction(1, 250_000)
"""Of all rounding, what a node's must be to be taken together with others, and by unit read."""
MOST_ROWS, MOST_UNITS = 3300, 6000

Float64Array = NDArray[np.float64]


def take_together(walk: Walk, derived: Kept) -> Kept:
    """What a finished walk derives when the roundings of its trunk are taken together.

    For the pair of classes that is worst; ``walk.hints`` then hold the hints for it.

    Args:
        walk: over.
        derived: what it derived while each layer's rounding was bounded alone.
    """
    nodes = _candidates(walk, derived)
    if walk.base is None or not nodes:
        return derived
    base, radius = walk.base
    rows = {name: list[csr_array]() for node in nodes for name in (node.name, node.inputs[0])}
    spreads = dict[str, cores.Spread]()
    try:
        cores.spreads(walk.nodes, base, walk.layers, walk.hints, radius, spreads, rows)
    except Rejected:  # columns too small or too large to be held
        return derived
    held = {name: parts for name, parts in rows.items() if name in spreads}
    nodes = [node for node in nodes if {node.name, node.inputs[0]} <= held.keys()]
    trunk = together.trunk(radius, held, spreads)
    place = walk.ledger.row(derived.worst[:2])
    terms = {
        n.name: trunk.terms(n, walk.layers.get(n.name), walk.forms, walk.difference(place, n))
        for n in nodes
    }
    groups = _grouped(terms, trunk.radius)
    bare, walk.trunk = walk.hints, trunk
    alone = dict(walk.ledger.effects)
    for margin in MARGINS:
        chosen = dict[str, Together]()
        for group in groups:
            forms, gains, _ = together.gathered([terms[name] for name in group], trunk.radius)
            hint = scales(forms, gains, margin)
            chosen[group[0]] = hint._replace(pair=derived.worst[:2], nodes=tuple(group))
            del forms
        walk.hints = dataclasses.replace(bare, together=chosen)
        try:
            return walk.conclude()
        except Rejected:  # a spectral norm is not shown to be below 1
            walk.ledger.effects.update(alone)
    walk.hints = bare
    return derived


def scales(forms: Float64Array, gains: Float64Array, margin: float, *, seed: int = 0) -> Together:
    """Scales for forms B (n, N + 1) with weights g (n,), for no pair and no nodes yet.

    Args:
        forms: see `lastbit_check.together.gathered`.
        gains: likewise.
        margin: how far below 1 the spectral norm is kept.
        seed: of the first vectors.
    """
    b, tiny = forms.astype(np.float32), np.finfo(np.float32).tiny
    v = np.random.default_rng(seed).normal(size=(b.shape[1], DIMENSIONS))
    t, d = np.ones(1), np.linalg.norm(v, axis=1)
    for _ in range(STEPS):
        u = b @ (v / d[:, None]).astype(np.float32)
        t = np.maximum(np.linalg.norm(u, axis=1), tiny)
        v = b.T @ (u * (gains / t)[:, None]).astype(np.float32)
        d = np.maximum(np.linalg.norm(v, axis=1), tiny)
    p = np.sqrt(gains / t)
    p = np.maximum(p / np.max(p), LEAST_SCALE)
    q = 1 / np.sqrt(np.maximum(d, UNREAD * np.max(d)))
    norm = _norm(forms * p[:, None] * q, v[:, 0] / d / q)
    return Together((0, 0), (), p.tolist(), (q * ((1 - margin) / norm)).tolist())


def _norm(x: Float64Array, v: Float64Array) -> float:
    """The spectral norm, from below, by the power method from ``v``."""
    found = 0.0
    for _ in range(POWERS):
        v = x.T @ (x @ (v / np.linalg.norm(v)))
        found = float(np.sqrt(np.linalg.norm(v)))
    return found


def _candidates(walk: Walk, derived: Kept) -> list[Node]:
    """Sums and products after the base whose roundings count for what it takes to bound them."""
    names = [node.name for node in walk.nodes]
    start = names.index(walk.base[0].name) if walk.base else len(names)
    units = {node.name: math.prod(node.shape) for node in walk.nodes}
    losses = {name: entry["rounding"] for name, entry in derived.nodes.items()}
    every = sum(losses.values())
    return [
        node
        for node in walk.nodes[start + 1 : -1]
        if node.op in ("linear", "add", "gate")
        and losses[node.name] > every * max(LEAST_SHARE, LEAST_EACH * units[node.inputs[0]])
        and _fits(walk.layers.get(node.name))
    ]


def _fits(layer: Layer | None) -> bool:
    """Whether a layer is not a mean, which loses by it, and does not read too many values."""
    return layer is None or (layer.extra != 2 and np.unique(layer.w.indices).size <= MOST_UNITS)


def _grouped(terms: dict[str, Terms], radius: Float64Array) -> list[list[str]]:
    """Nodes one after the other, as long as their distinct forms are at most MOST_ROWS."""
    groups, held = list[list[str]](), set[int]()
    for name, each in terms.items():
        try:
            forms, _, _ = together.gathered([each], radius)
        except Rejected:  # it reads what does not depend on the base
            continue
        new = {hash(row.tobytes()) for row in forms}
        if len(new) > MOST_ROWS:
            continue
        if groups and len(held | new) <= MOST_ROWS:
            groups[-1].append(name)
            held |= new
        else:
            groups.append([name])
            held = new
    return groups
