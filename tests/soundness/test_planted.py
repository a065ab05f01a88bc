"""The whole system against networks whose Q is known: bound, certificate, checker and replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.certificate import draft
from lastbit.graph import read_onnx
from lastbit.hints import hints_for
from lastbit.runtimes import OnnxRuntime, Reference
from lastbit.witness import measure
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import parse
from lastbit_check.check import check
from lastbit_check.derive import changes, conclude
from lastbit_check.derive.ledger import REMAINDER, Entry
from lastbit_check.network import Node
from lastbit_check.operators import curves, products
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM
from support.planted import CLOSE, FAMILIES, Planted, plant

pytestmark = pytest.mark.slow

EACH = 40
"""Networks of each family; 5 * 40 in all."""


@dataclass(frozen=True)
class Verdict:
    """What the system says of a planted network: L <= Q <= U, for both claims.

    The pair was run by one program; so was what is planted.
    """

    planted: Planted
    lower: float
    upper: dict[str, float]

    @property
    def brackets(self) -> bool:
        """Whether what it says can be true: nothing proved below Q, nothing shown above it."""
        return min(self.upper.values()) >= self.planted.low and self.lower <= self.planted.high


def judged(folder: Path, planted: Planted) -> Verdict:
    """Certificate written, parsed and checked; the planted pair run on two runtimes."""
    path = planted.builder.save(folder / "planted.onnx")
    network, model = read_onnx(path), path.read_bytes()
    witness = measure(path, planted.image, planted.pixel, 0, [OnnxRuntime(), Reference()])
    made = draft(model, hints_for(network), witness)
    manifest = parse(json.loads(made.manifest))
    derived = check(model, manifest)
    upper = {name: manifest["claim"][name]["upper"] for name in EXECUTIONS}
    assert all(Fraction(upper[name]) >= derived.claims[name].upper for name in EXECUTIONS)
    return Verdict(planted, witness.lower, upper)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_system_brackets_every_q_that_is_known(tmp_path: Path, family: str) -> None:
    for seed in range(EACH):
        verdict = judged(tmp_path, plant(seed, family))
        planted = verdict.planted
        assert verdict.brackets, (seed, verdict.lower, verdict.upper, planted.low, planted.high)
        assert verdict.lower <= verdict.upper[SAME_PROGRAM] <= verdict.upper[ANY_TWO], seed
        # the pair attains what was planted: the truth is not only a bracket of its own making
        assert planted.low <= verdict.lower, (seed, verdict.lower, planted.low)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_known_of_q_is_known_closely(family: str) -> None:
    widths, values = [], []
    for seed in range(EACH):
        planted = plant(seed, family)
        widths.append(planted.high - planted.low)
        values.append(planted.high)
        assert 0 <= planted.low <= planted.high <= 1
    assert max(widths) <= CLOSE
    if family == "between":
        assert min(values) < 0.1
        assert max(values) > 0.8
        assert len({round(value, 3) for value in values}) > EACH // 2
    else:
        assert (min(values) > 0.99) if family == "one" else (max(values) <= CLOSE)


def test_the_bound_is_close_to_q_where_nothing_bends(tmp_path: Path) -> None:
    """Where every SiLU is near zero the linear core is all there is, but for rounding."""
    ratios = []
    for seed in range(2 * EACH):
        planted = plant(seed)
        if planted.straight and 0.2 < planted.low < 0.9:
            upper = judged(tmp_path, planted).upper
            ratios.append([upper[name] / planted.low for name in EXECUTIONS])
    assert len(ratios) > 10
    assert np.min(ratios) >= 1
    assert np.all(np.median(ratios, axis=0) < 1.15)


# ---- the suite notices a system that is broken -----------------------------------------------


def smaller_tanh(patch: pytest.MonkeyPatch) -> None:
    """U a hundredth too small."""
    tanh = conclude.tanh_upper
    patch.setattr(conclude, "tanh_upper", lambda x: tanh(x) * Fraction(99, 100))


def smaller_first_layer(patch: pytest.MonkeyPatch) -> None:
    """|b . D_0| a fifth too small."""
    booked = changes.booked

    def weaker(frame: Any, node: Node, aspect: str, *x: Fix) -> dict[Entry, Fix]:
        effects = booked(frame, node, aspect, *x)
        if node.op == "input":
            entry = Entry(aspect, REMAINDER, node.name)
            effects[entry] = Fix(np.floor(effects[entry].n * 0.8), effects[entry].e)
        return effects

    patch.setattr(changes, "booked", weaker)


def no_remainder(patch: pytest.MonkeyPatch) -> None:
    """Curves that are taken for their lines."""
    for module in (curves, products):
        patch.setattr(module, "deviation", lambda m, least, most: Fix(0 * least.n, least.e))


MUTATIONS = (smaller_tanh, smaller_first_layer, no_remainder)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda f: f.__name__)
def test_a_bound_that_is_too_small_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutate(monkeypatch)
    missed = [judged(tmp_path, plant(seed)) for seed in range(EACH)]
    for executions in EXECUTIONS:
        below = [verdict.upper[executions] < verdict.planted.low for verdict in missed]
        assert sum(below) >= 3, (mutate.__doc__, executions)


def test_a_witness_that_claims_too_much_is_noticed(tmp_path: Path) -> None:
    planted = plant(0)
    verdict = judged(tmp_path, planted)
    more = Verdict(planted, planted.high + 1e-9, verdict.upper)
    assert verdict.brackets
    assert not more.brackets
