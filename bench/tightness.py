"""Where U is lost, and what each way of counting the roundings of a sum would make of it.

    python bench/tightness.py [MODEL]

For every linear node the rounding of both runs, weighted by the dual vectors of the worst pair of
classes, in units of a difference of two logits:

    n u         (n + extra) u sum m_i: every term takes part in every rounding
    any tree    the worst tree, a chain in descending order
    alone       the same with every partial sum capped by what the whole can be, and with products
                by powers of two exact (docs/bound.md, section 4)
    signed      the same with partial sums of one sign at a time: max of the k largest positive and
                the k largest negative parts of the terms' ranges, for every k
    products    of `alone`, the roundings of the products alone: what weights that are powers of
                two throughout would save
    together    what is charged where the roundings of layers are taken together (section 4)

The last table takes the magnitudes of single images instead of those over all images: what
`alone` would charge for that image alone. All is computed in float64 and proves nothing;
docs/rounding.md draws the conclusions.
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from lastbit.bound import Kept, Walk, derive
from lastbit.bound.linear import LinearMap
from lastbit.bound.together import take_together
from lastbit.certificate import hints_for
from lastbit.float32.executor import execute_float64
from lastbit.float32.patches import patches
from lastbit.graph import Linear, Network, read_onnx
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.witness.files import read_witness
from lastbit_check.cores import Dual
from lastbit_check.exact import Fix

U = 2.0**-24
COLUMNS = ("n u", "any tree", "alone", "signed", "products")
Rows = dict[str, tuple[float, ...]]
Ranges = dict[str, tuple[np.ndarray, np.ndarray]]


def ranges_of(derived: Kept) -> Ranges:
    """What every node's values lie in, for all images."""
    return {
        name: (np.ldexp(low.n[..., 0], -low.e), np.ldexp(high.n[..., 0], -high.e))
        for name, (low, high) in ((name, form.interval) for name, form in derived.forms.items())
    }


def rounding_rules(network: Network, duals: dict[str, Dual], derived: Kept, ranges: Ranges) -> Rows:
    """Node -> the columns of the table, for values in these ranges."""
    shapes = {node.name: node.shape for node in network}
    found: Rows = {}
    for node in network:
        if not isinstance(node, Linear):
            continue
        weights = dual_weights(duals[node.name].a, derived, len(node.weight))
        low, high = ranges[node.x]
        layer = LinearMap(node, shapes[node.x])
        w = layer.weight.reshape(node.group, len(node.weight) // node.group, -1)[..., None]
        lo, hi = patches(low, node)[:, None], patches(high, node)[:, None]
        most = np.maximum(w, 0) * hi + np.minimum(w, 0) * lo
        least = np.maximum(w, 0) * lo + np.minimum(w, 0) * hi
        count = len(node.weight)
        bias = np.broadcast_to(layer.bias[:, None, None], (count, 1, most.shape[-1]))
        most, least = (
            np.concatenate([v.reshape(count, -1, v.shape[-1]), bias], axis=1) for v in (most, least)
        )
        sizes = np.maximum(np.abs(most), np.abs(least))
        live = np.count_nonzero(sizes, axis=1)
        extra = 1 if node.bn is None else 11
        mass = sizes.sum(1)
        whole = np.maximum(*map(np.abs, ranges[node.name])).reshape(mass.shape)
        rounds = (
            np.ones(layer.weight.shape) if node.bn else np.frexp(np.abs(layer.weight))[0] != 0.5
        )
        rounded = sizes_of(w * rounds.reshape(w.shape), lo, hi, count).sum(1) + np.abs(bias)[:, 0]
        charged = {
            "n u": (live + extra) * mass,
            "any tree": _partial(sizes, sizes, live) + extra * mass,
            "alone": _capped(sizes, np.minimum(whole, mass), live) + extra * rounded,
            "signed": _partial(np.maximum(most, 0), np.maximum(-least, 0), live) + extra * mass,
            "products": extra * rounded,
        }
        found[node.name] = tuple(2 * U * float((weights * v).sum()) for v in charged.values())
    return found


def sizes_of(w: np.ndarray, low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
    """Largest magnitude of each product (rows, terms, places)."""
    sizes = np.abs(w) * np.maximum(np.abs(low), np.abs(high))
    return sizes.reshape(count, -1, sizes.shape[-1])


def dual_weights(dual: Fix, derived: Kept, channels: int) -> np.ndarray:
    """|a_c - a_j| of the worst pair (channels, places)."""
    c, j, _ = derived.worst
    return np.ldexp(np.abs(dual.n[:, c] - dual.n[:, j]), -dual.e).reshape(channels, -1)


def _partial(positive: np.ndarray, negative: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Sum over k = 2..live of the larger of the k largest of either (rows, places)."""
    sums = [np.cumsum(-np.sort(-part, axis=1), axis=1) for part in (positive, negative)]
    rank = np.arange(1, positive.shape[1] + 1)[None, :, None]
    inside = (rank >= 2) & (rank <= live[:, None])
    return (np.maximum(*sums) * inside).sum(1)


def _capped(sizes: np.ndarray, whole: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Sum over k = 2..live of the k largest, capped by what the whole can be (rows, places)."""
    largest, mass = np.cumsum(-np.sort(-sizes, axis=1), axis=1), sizes.sum(1)
    rank = np.arange(1, sizes.shape[1] + 1)[None, :, None]
    inside = (rank >= 2) & (rank < live[:, None])
    partial = np.minimum(largest, (mass + whole)[:, None] / 2)
    return (partial * inside).sum(1) + np.where(live > 1, whole, 0)


def main(name: str) -> None:
    """Print the table of one model."""
    files = resolve_model(name)
    network, model = read_onnx(files.model), files.model.read_bytes()
    hints = hints_for(network)
    derived = derive(model, hints, keep=True)
    walk = Walk(model, hints)
    rules = rounding_rules(network, walk.duals, derived, ranges_of(derived))
    certified = take_together(walk, walk.run())
    table = Table("node", *COLUMNS, "together", box=None)
    charged = {k: float(v["rounding"]) for k, v in certified.nodes.items() if k in rules}
    for node, row in sorted(rules.items(), key=lambda item: -item[1][2])[:20]:
        table.add_row(node, *(f"{value:.4f}" for value in (*row, charged[node])))
    totals = [sum(row[k] for row in rules.values()) for k in range(len(COLUMNS))]
    table.add_row("all sums", *(f"{value:.4f}" for value in (*totals, sum(charged.values()))))
    console = Console()
    console.print(table)
    bound = float(derived.logits)
    lower = read_witness(files.witness).lower if files.witness.exists() else None
    shares = {k: float(v / derived.upper) for k, v in derived.parts.items()}
    sums = Table("", "R", "U = tanh(R/4)", "U/L", box=None)
    rows = {
        "as certified": float(certified.logits),
        "each layer alone": bound,
        "with n u": bound + totals[0] - totals[2],
        "with any tree": bound + totals[1] - totals[2],
        "with exact products": bound - totals[4],
        "without any rounding": bound * (1 - shares["rounding"]),
    }
    for label, r in rows.items():
        u = float(np.tanh(r / 4))
        sums.add_row(label, f"{r:.4f}", f"{u:.4f}", f"{u / lower:.3f}" if lower else "-")
    console.print(sums)
    single = Table("image", "alone", box=None)
    for label, image in images(network.input_shape).items():
        _, values = execute_float64(network, image)
        exact = {name: (value, value) for name, value in values.items()}
        charged = rounding_rules(network, walk.duals, derived, exact).values()
        single.add_row(label, f"{sum(row[2] for row in charged):.4f}")
    console.print(single)


def images(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """A few images that are nothing like one another."""
    random = np.random.default_rng(0)
    return {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "noise": random.integers(0, 256, shape, dtype=np.uint8),
        "black and white noise": (255 * random.integers(0, 2, shape)).astype(np.uint8),
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
