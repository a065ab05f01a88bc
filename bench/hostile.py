"""How much of each sharper rule's bound an adversary reaches.

    python bench/hostile.py

The adversaries are those of tests/adversaries: they choose weights, values, images, trees and wrong
functions so that what a rule bounds becomes as large as they can make it, and never exceeds it.
docs/rounding.md has the table, and says of each share what keeps it from 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from adversaries import curves, factored, first_layers, joint, ranges, sums


class Row(NamedTuple):
    """A rule, the share of its bound that was reached, and how."""

    rule: str
    share: float
    how: str


def of_sums() -> Iterator[Row]:
    """Sums made for a rule, then sums of any weights."""
    for rule, cases in sums.CASES.items():
        found = {label: case.share() for label, case in cases.items()}
        label = max(found, key=lambda one: found[one])
        yield Row(rule, found[label], label)
    for terms in (3, 5):
        share = max(sums.climbed(sums.random_sum(s, terms), s, 120)[0] for s in range(4))
        yield Row("any weights", share, f"{terms} terms, values searched for")
    for terms in (5, 12):
        share = max(sums.greedy(s, terms, part).share() for s in range(8) for part in (0.5, 1.0))
        yield Row("any weights and ranges", share, f"{terms} terms, last bits searched for")
    yield Row("second order", sums.second_order(200)[1], "200 terms, each operation u off")
    error, rounding, underflow = sums.flushed(1)
    yield Row("underflow", float(error / (rounding + underflow)), "one operand read as 0")


def of_factors() -> Iterator[Row]:
    """Factors that are folded, or applied to terms, partial sums or the whole, or moved here."""
    for label, case in factored.CASES.items():
        yield Row(label, case.share(), "one product")
    found = [factored.climbed(seed, 60) for seed in range(12)]
    share, case = max(found, key=lambda one: one[0])
    terms = sum(len(group.weights) for group in case.groups)
    yield Row("any factors", share, f"{terms} terms, all trees and foldings, numbers searched for")


def of_curves() -> Iterator[Row]:
    """Wrong functions, zone by zone; then how the errors of two runs differ."""
    for zone in curves.ZONES:
        for name, (share, z) in curves.shares(zone).items():
            yield Row(f"{name}, {zone}", share, f"z = {z:.4g}")
    for name in ("sigmoid", "silu"):
        shares = [curves.worst_apart(name, pair, k) for k, pair in enumerate(curves.PAIRS)]
        yield Row(f"{name}, errors of two runs", max(shares), "ranges around 0")


def of_first_layers() -> Iterator[Row]:
    """Small first layers with all images of a few levels, and larger ones with a search."""
    for stride in (1, 2):
        share, small = first_layers.made_for_change(stride)
        yield Row("exact form", share, f"stride {stride}, all images, 2 levels: {small.shape}")
    share = max(first_layers.local_search(seed) for seed in range(3))
    yield Row("exact form", share, "8 x 8 pixels, local search over bytes")
    share, small = first_layers.made_for_error()
    yield Row("errors of one run", share, f"every operation as far off as allowed: {small.shape}")
    for white in (255.0, 8.0):
        share, small = first_layers.made_for_difference(white)
        how = f"likewise, opposite where the pixel reaches: a step of 1/{white:g}"
        yield Row("errors of two runs", share, how)


def of_ranges() -> Iterator[Row]:
    """The nodes of small networks, all images of bytes 0 and 255: the least share of six seeds."""
    for curved in (False, True):
        chains = [ranges.random_chain(seed, curved=curved) for seed in range(6)]
        found = [ranges.shares(chain, ranges.ranges(chain)) for chain in chains]
        for node in ("sum", "logits"):
            share = min(shares[node] for shares in found)
            yield Row(f"range of {node}", share, "a SiLU near 0" if curved else "linear")


def of_joint() -> Iterator[Row]:
    """Several layers together: some that are made for it, then any weights."""
    for centred, how in ((True, "4 orthogonal forms"), (False, "one form of pixels")):
        yield Row("roundings together", joint.share_of_made(centred=centred), f"2 layers, {how}")
    for terms in (2, 3, 4):
        cases = ((joint.random_joint(s, terms), s) for s in range(5))
        share = max(joint.searched(case, s, 150) for case, s in cases)
        how = f"2 layers, {terms} terms, images and trees searched for"
        yield Row("roundings together, any weights", share, how)


def rows() -> list[Row]:
    """All of them."""
    parts = (of_sums, of_factors, of_curves, of_first_layers, of_ranges, of_joint)
    return [row for part in parts for row in part()]


def shown(share: float) -> str:
    """Four places, never more than it is."""
    return f"{math.floor(share * 10**4) / 10**4:.4f}"


def main() -> None:
    """Print the table."""
    table = Table("rule", "share", "how", box=None)
    for row in rows():
        table.add_row(row.rule, shown(row.share), row.how)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
