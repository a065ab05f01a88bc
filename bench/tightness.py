"""Where U is lost, and what each way of counting the roundings of a sum would make of it.

    python bench/tightness.py [MODEL]

For every sum the rounding of both runs, weighted by the dual vectors of the worst pair of classes,
in units of a difference of two logits, all units counted (`any-two`):

    n u         (n + own roundings) u sum m_i: every term takes part in every rounding
    any tree    the worst tree, a chain in descending order
    alone       the same with every partial sum capped by what the whole can be, and with products
                by powers of two exact (docs/bound.md, section 4)
    own         of `alone`, the roundings of the terms by themselves: what weights that are powers
                of two throughout would save
    one program of `alone`, what the place with the worst bound can reach
    certified   what is charged for one program where the roundings of nodes are taken together

The last table takes the magnitudes of single images instead of those over all images: what `alone`
would charge for that image alone. It proves nothing; docs/rounding.md draws the conclusions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lastbit.float32.executor import execute_float64
from lastbit.graph import read_onnx
from lastbit.hints.breakdown import losses, shares
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.models.summary import summarise
from lastbit_check.arithmetic.exact import Fix, from_float
from lastbit_check.certificate import hints_of, load
from lastbit_check.check import Derived, claimed, network_in
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import Derivation, derive
from lastbit_check.network import Node
from lastbit_check.operators.layers import Layer
from lastbit_check.question import LAST_BIT, SAME_PROGRAM

U = 2.0**-24
COLUMNS = ("n u", "any tree", "alone", "own")
Floats = NDArray[np.float64]


def real(x: Fix) -> Floats:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)


def _terms(layer: Layer, reaches: list[Fix]) -> tuple[Floats, Floats]:
    """The magnitudes of the terms (units, terms), and those times their own roundings."""
    e, blocks = layer._grid(reaches), [*layer.magnitudes(reaches)]
    m = np.zeros((*layer.shape, blocks[0][1].shape[1]))
    own = np.zeros(layer.shape)
    for (some, here), terms, of_block in blocks:
        m[some, here] = terms.reshape(m[some, here].shape)
        own[some, here] = of_block.reshape(own[some, here].shape)
    return np.ldexp(m.reshape(own.size, -1), -e), np.ldexp(own.ravel(), -e)


def rules(derivation: Derivation, node: Node, sizes: Mapping[str, Fix], whole: Floats,
          pair: tuple[int, int]) -> dict[str, float]:  # fmt: skip
    """The columns of a sum, for what it reads of magnitudes ``sizes`` and exact sums ``whole``."""
    frame = derivation.frame
    layer, dual = frame.settings[node.name].layer, frame.duals[node.name].a
    assert layer is not None
    m, own = _terms(layer, [sizes[name] for name in node.inputs])
    weights = np.ldexp(np.abs(dual.n[:, pair[0]] - dual.n[:, pair[1]]), -dual.e)
    largest, count = np.cumsum(-np.sort(-m, axis=1), axis=1), np.count_nonzero(m, axis=1)
    mass, rank = largest[:, -1], np.arange(1.0, m.shape[1] + 1)
    inner = (rank > 1) & (rank < count[:, None])
    full = np.minimum(mass, whole.ravel())
    capped = np.minimum(largest, ((mass + full) / 2)[:, None])
    last = count > 1
    charged = {
        "n u": count * mass + own,
        "any tree": (largest * inner).sum(1) + np.where(last, mass, 0) + own,
        "alone": (capped * inner).sum(1) + np.where(last, full, 0) + own,
        "own": own,
    }
    return {name: 2 * U * float(weights @ v) for name, v in charged.items()}


def table_of(derived: Derived) -> tuple[Table, dict[str, float]]:
    """The table of sums, the largest first, and what each column is in all."""
    derivation, claim = derived.derivation, derived.claims[SAME_PROGRAM]
    pair, values = claim.worst[:2], derivation.values
    sizes = {name: value.magnitude for name, value in values.items()}
    row, place = derivation.ledger.row(pair), claim.worst[2]
    balance = Balance(derivation, SAME_PROGRAM)
    each = {name: float(x[0, place if x.n.shape[1] > 1 else 0].largest())
            for name, x in balance.node_roundings(row).items()}  # fmt: skip
    certified = {k: float(v) for k, v in shares(balance, row, place).items()}
    sums = [node for node in derivation.frame.network.computed if node.sum]
    found = {n.name: rules(derivation, n, sizes, real(sizes[n.name]), pair) for n in sums}
    table = Table("node", *COLUMNS, "one program", "certified", box=None)
    for name in sorted(found, key=lambda name: -found[name]["alone"])[:20]:
        cells = (*found[name].values(), each[name], certified[name])
        table.add_row(name, *(f"{value:.4f}" for value in cells))
    totals = {column: sum(rows[column] for rows in found.values()) for column in COLUMNS}
    totals["one program"] = sum(each[name] for name in found)
    totals["certified"] = sum(certified[name] for name in found)
    table.add_row("all sums", *(f"{value:.4f}" for value in totals.values()))
    return table, totals


def main(name: str) -> None:
    """Print the tables of one model."""
    files = resolve_model(name)
    model, hints = files.model.read_bytes(), hints_of(load(files.certificate))
    derived = claimed(derive(network_in(model), LAST_BIT, hints))
    console, claim = Console(), derived.claims[SAME_PROGRAM]
    table, totals = table_of(derived)
    console.print(table)
    lower, bound = summarise(files).lower, float(claim.logits)
    nodes = losses(Balance(derived.derivation, SAME_PROGRAM), claim)
    rounded = sum(float(kinds["rounding"]) for kinds in nodes.values())
    alone = bound - totals["certified"]
    summary = Table("one program", "R", "U = tanh(R/4)", "U/L", box=None)
    rows = {
        "as certified": bound,
        "each node alone": alone + totals["one program"],
        "if every unit counted": alone + totals["alone"],
        "without the nodes' rounding": bound - rounded,
    }
    for label, r in rows.items():
        u = float(np.tanh(r / 4))
        summary.add_row(label, f"{r:.4f}", f"{u:.4f}", f"{u / lower:.3f}" if lower else "-")
    console.print(summary)
    console.print(single_images(derived, str(files.model)))


def single_images(derived: Derived, path: str) -> Table:
    """What `alone` would charge for images by themselves."""
    network, derivation = read_onnx(path), derived.derivation
    pair, table = derived.claims[SAME_PROGRAM].worst[:2], Table("image", "alone", box=None)
    for label, image in images(network.input_shape).items():
        _, values = execute_float64(network, image)
        shown = {n.name: np.abs(values[n.name]) for n in derivation.frame.network.computed}
        sizes = {name: from_float(v[..., None], 30)[0] for name, v in shown.items()}
        sums = (n for n in derivation.frame.network.computed if n.sum)
        each = (rules(derivation, n, sizes, shown[n.name], pair)["alone"] for n in sums)
        table.add_row(label, f"{sum(each):.4f}")
    return table


def images(shape: tuple[int, ...]) -> dict[str, NDArray[np.uint8]]:
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
