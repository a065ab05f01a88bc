"""Where U is lost, and what each way of counting the roundings of a sum would make of it.

    python bench/tightness.py [MODEL]

For every linear node the rounding of both runs, weighted by the dual vectors of the worst pair of
classes, in units of a difference of two logits:

    n u         (n + extra) u sum m_i: every term takes part in every rounding
    any tree    what is certified: the worst tree, a chain in descending order (docs/bound.md, 4)
    signed      the same with partial sums of one sign at a time: max of the k largest positive and
                the k largest negative parts of the terms' ranges, for every k
    products    of `any tree`, the roundings of the products alone: what weights that are powers of
                two would save

The last table takes the magnitudes of single images instead of those over all images: what `any
tree` would charge for that image alone. All but `any tree` is computed in float64 and proves
nothing; docs/rounding.md draws the conclusions.
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from lastbit.bound.linear import LinearMap
from lastbit.certificate import hints_for
from lastbit.float32.executor import execute_float64
from lastbit.float32.patches import patches
from lastbit.graph import Linear, Network, read_onnx
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.witness.files import read_witness
from lastbit_check.check import Derived, derive
from lastbit_check.hints import Hints

U = 2.0**-24
Rows = dict[str, tuple[float, float, float, float]]
Ranges = dict[str, tuple[np.ndarray, np.ndarray]]


def ranges_of(derived: Derived) -> Ranges:
    """What every node's values lie in, for all images."""
    return {
        name: (np.ldexp(low.n[..., 0], -low.e), np.ldexp(high.n[..., 0], -high.e))
        for name, (low, high) in ((name, form.interval) for name, form in derived.forms.items())
    }


def rounding_rules(network: Network, hints: Hints, derived: Derived, ranges: Ranges) -> Rows:
    """Node -> the four columns of the table, for values in these ranges."""
    shapes = {node.name: node.shape for node in network}
    found: Rows = {}
    for node in network:
        if not isinstance(node, Linear):
            continue
        weights = dual_weights(node.name, hints, derived, network)
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
        products = extra * sizes.sum(1)
        sums = {
            "n u": live * sizes.sum(1),
            "any tree": _partial(sizes, sizes, live),
            "signed": _partial(np.maximum(most, 0), np.maximum(-least, 0), live),
        }
        totals = [2 * U * float((weights * (v + products)).sum()) for v in sums.values()]
        found[node.name] = (
            totals[0],
            totals[1],
            totals[2],
            2 * U * float((weights * products).sum()),
        )
    return found


def dual_weights(name: str, hints: Hints, derived: Derived, network: Network) -> np.ndarray:
    """|a_c - a_j| of the worst pair (channels, places)."""
    c, j, _ = derived.worst
    shape = network[name].shape
    if name == network.logits:
        a = np.zeros(shape)
        a[[c, j]] = 1.0
    elif name in hints.duals:
        dual = np.ldexp(hints.duals[name].astype(np.float64), -hints.exponents[name])
        a = np.abs(dual[c] - dual[j])
    else:
        a = np.zeros(shape)
    return a.reshape(shape[0], -1)


def _partial(positive: np.ndarray, negative: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Sum over k = 2..live of the larger of the k largest of either (rows, places)."""
    sums = [np.cumsum(-np.sort(-part, axis=1), axis=1) for part in (positive, negative)]
    rank = np.arange(1, positive.shape[1] + 1)[None, :, None]
    inside = (rank >= 2) & (rank <= live[:, None])
    return (np.maximum(*sums) * inside).sum(1)


def main(name: str) -> None:
    """Print the table of one model."""
    files = resolve_model(name)
    network = read_onnx(files.model)
    hints = hints_for(network)
    derived = derive(files.model.read_bytes(), hints, keep=True)
    rules = rounding_rules(network, hints, derived, ranges_of(derived))
    table = Table("node", "n u", "any tree", "signed", "products", box=None)
    for node, row in sorted(rules.items(), key=lambda item: -item[1][1])[:20]:
        table.add_row(node, *(f"{value:.4f}" for value in row))
    totals = [sum(row[k] for row in rules.values()) for k in range(4)]
    table.add_row("all sums", *(f"{value:.4f}" for value in totals))
    console = Console()
    console.print(table)
    bound = float(derived.logits["linear-core"])
    lower = read_witness(files.witness).lower if files.witness.exists() else None
    everything = sum(float(e["rounding"]) for e in derived.nodes.values())
    sums = Table("", "R", "U = tanh(R/4)", "U/L", box=None)
    rows = {
        "as certified": bound,
        "with n u": bound + totals[0] - totals[1],
        "with signed partial sums": bound + totals[2] - totals[1],
        "with exact products": bound - totals[3],
        "without any rounding": bound - everything,
    }
    for label, r in rows.items():
        u = float(np.tanh(r / 4))
        sums.add_row(label, f"{r:.4f}", f"{u:.4f}", f"{u / lower:.3f}" if lower else "-")
    console.print(sums)
    single = Table("image", "any tree", box=None)
    for label, image in images(network.input_shape).items():
        _, values = execute_float64(network, image)
        exact = {name: (value, value) for name, value in values.items()}
        charged = rounding_rules(network, hints, derived, exact).values()
        single.add_row(label, f"{sum(row[1] for row in charged):.4f}")
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
