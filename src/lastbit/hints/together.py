"""Which roundings are taken together, and with which scales (lastbit_check/refine/together.py).

The best scales solve the semidefinite relaxation of max sum_i g_i |(B v)_i| over |v_j| <= 1,

    max sum_i g_i u_i . (B V)_i    over vectors |u_i| <= 1, |V_j| <= 1,

which block-coordinate ascent solves in a few dimensions (Burer and Monteiro 2003; Alon and Naor,
"Approximating the cut-norm via Grothendieck's inequality", 2006): u_i and V_j in turn point where
the others want them. With t = |B V| by rows and d = |B^T (g u)| by columns, p = (g / t)^(1/2) and
q = d^(-1/2) are the scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lastbit.hints.breakdown import losses, shares
from lastbit_check.certificate import Together
from lastbit_check.derive.columns import Held, Spread, spreads
from lastbit_check.derive.conclude import Balance, Claim
from lastbit_check.derive.derivation import Cap, Derivation
from lastbit_check.derive.ledger import ROUNDING
from lastbit_check.network import Node
from lastbit_check.operators import KINDS
from lastbit_check.operators.kernels import Products
from lastbit_check.question import EXECUTIONS, SAME_PROGRAM
from lastbit_check.refine import together
from lastbit_check.refine.together import Terms, Trunk
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


def taken_together(derivation: Derivation, claims: Mapping[str, Claim]) -> Derivation:
    """The same with hints by which roundings after the first base are bounded together, and caps.

    For the pair of classes that is worst, for each executions. There are none where nothing is
    gained, or where no hint is accepted.

    Args:
        derivation: in which each node's rounding is bounded alone.
        claims: what follows from it.
    """
    asked: dict[tuple[int, ...], list[str]] = {}
    for name in EXECUTIONS:
        if 0 < claims[name].upper < 1:
            asked.setdefault(claims[name].worst[:2], []).append(name)
    candidates = {
        pair: _candidates(derivation, Balance(derivation, names[0]), claims[names[0]])
        for pair, names in asked.items()
    }
    every = {node.name for nodes in candidates.values() for node in nodes}
    held = _with_columns(derivation, [n for n in derivation.frame.later if n.name in every])
    if held is None:
        return derivation
    trunk, hints, caps = together.trunk_of(held), dict[str, Together](), dict[str, Cap]()
    for pair, names in asked.items():
        nodes = [n for n in candidates[pair] if {n.name, *n.weighing} <= trunk.rows.keys()]
        place = claims[names[-1]].worst[2]
        differing = {name: _alone(derivation, name, pair, claims[name].worst[2]) for name in names}
        for some in _divided(derivation, nodes, place if SAME_PROGRAM in names else None):
            terms = {n.name: together.terms(held, trunk, n.name, pair) for n in some}
            for group in _grouped(terms, trunk.widths):
                hint, most = _hint([terms[name] for name in group], trunk)
                gaining = [name for name in names if sum(differing[name][n] for n in group) > most]
                if hint is not None and gaining:
                    made = hint._replace(executions=(*gaining,), pair=pair, nodes=(*group,))
                    key = "-".join(map(str, pair)) + " " + group[0]
                    hints[key] = made
                    caps[key] = Cap((*gaining,), (pair[0], pair[1]), frozenset(group), most)
    frame = derivation.frame
    frame = replace(frame, hints=replace(frame.hints, together=hints))
    return replace(held, frame=frame, caps=(*caps.values(),))


def _alone(
    derivation: Derivation, executions: str, pair: tuple[int, ...], place: int
) -> dict[str, Fraction]:
    """Each node's roundings that may differ there, by itself."""
    balance = Balance(derivation, executions)
    return shares(balance, derivation.ledger.row(pair), place)


def _divided(derivation: Derivation, nodes: list[Node], place: int | None) -> list[list[Node]]:
    """Nodes all of whose units one place reaches, and the others, which may count for less."""
    if place is None:
        return [nodes]
    whole = [n for n in nodes if _reached(derivation, n, place) == 1]
    return [whole, [n for n in nodes if n not in whole]]


def _hint(terms: list[Terms], trunk: Trunk) -> tuple[Together | None, Fraction]:
    """Scales that the checker accepts, if any are found, and what they prove."""
    forms, gains, rest = together.gathered(terms, trunk.widths)
    for margin in MARGINS:
        hint = scales(forms, gains, margin)
        try:
            return hint, together.bound((forms.copy(), gains, rest), hint)
        except Rejected:  # a spectral norm is not shown to be below 1
            continue
    return None, Fraction(0)


def _with_columns(derivation: Derivation, nodes: list[Node]) -> Derivation | None:
    """With the columns of the first base for some nodes and what they read, if there are any."""
    frame = derivation.frame
    bases = [n for n in frame.network.computed if n.name in frame.hints.bases]
    if not bases or not nodes:
        return None
    cores = frame.kept_cores(bases[0])
    rows = {name: list[Held]() for n in nodes for name in (n.name, *n.weighing)}
    sums = dict[str, list[Spread]]()
    try:
        spreads([n for n in frame.network.computed if n.name in cores], bases[0], cores,
                derivation.radius, sums, rows)  # fmt: skip
    except Rejected:  # columns too small or too large to be held
        return None
    held = {name: parts for name, parts in rows.items() if name in sums}
    own = {name: sums[name][0].spread for name in held}
    return replace(derivation, columns=held, own=own) if held else None


def _reached(derivation: Derivation, node: Node, place: int) -> float:
    """The share of a node's units that one place reaches."""
    mask = derivation.reach[node.name]
    return 1.0 if mask is None else float(mask[:, place if mask.shape[1] > 1 else 0].mean())


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
    return Together((), (0, 0), (), p.tolist(), (q * ((1 - margin) / norm)).tolist())


def _norm(x: Float64Array, v: Float64Array) -> float:
    """The spectral norm, from below, by the power method from ``v``."""
    found = 0.0
    for _ in range(POWERS):
        v = x.T @ (x @ (v / np.linalg.norm(v)))
        found = float(np.sqrt(np.linalg.norm(v)))
    return found


def _candidates(derivation: Derivation, balance: Balance, claim: Claim) -> list[Node]:
    """Sums and products after the base whose roundings count for what it takes to bound them."""
    frame = derivation.frame
    units = {node.name: math.prod(node.shape) for node in frame.network.nodes}
    alone = {name: kinds[ROUNDING] for name, kinds in losses(balance, claim).items()}
    every = sum(alone.values())
    return [
        node
        for node in frame.later
        if "together" in KINDS[node.op].hinted
        and alone[node.name] > every * max(LEAST_SHARE, LEAST_EACH * units[node.inputs[0]])
        and _fits(derivation, node)
    ]


def _fits(derivation: Derivation, node: Node) -> bool:
    """Whether a sum is no mean, which loses by it, and does not read too many values."""
    layer = derivation.frame.settings[node.name].layer
    if layer is None or node.sum is None:
        return True
    kernel = node.sum.parts[0].weight.shape[2:]
    whole = node.shape[1:] == (1, 1) and math.prod(kernel) > 1 and node.sum.parts[0].factors
    return not whole and all(_units_read(part) <= MOST_UNITS for part in layer.parts)


def _units_read(part: Products) -> int:
    read = part.reading.T @ np.ones((part.reading.shape[0], 1))
    return int(np.count_nonzero(read))


def _grouped(terms: dict[str, Terms], widths: Float64Array) -> list[list[str]]:
    """Nodes one after the other, as long as their distinct forms are at most MOST_ROWS."""
    groups, held = list[list[str]](), set[int]()
    for name, each in terms.items():
        try:
            forms, _, _ = together.gathered([each], widths)
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
