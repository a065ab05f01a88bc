"""The judge: every execution that is allowed is within, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from adversaries.charged import Weaker
from lastbit.audit.exact import columns
from lastbit.audit.sums import Known, SumInFloat64
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.operators.kernels import Places
from lastbit_check.operators.layers import Layer
from soundness.exactly import exact_value
from soundness.harness import NearlyLinear
from soundness.programs import LONG, ways
from support.audited import Audited, audited, small
from support.networks import RandomNetwork


@pytest.mark.parametrize("seed", range(10))
def test_every_allowed_execution_is_within(tmp_path: Path, seed: int) -> None:
    """Of the graph as it is written and of rewritten ones, with functions that err by most."""
    kind = NearlyLinear if seed % 2 else RandomNetwork
    subject = audited(kind(seed, adversarial=seed % 3 == 0).b, tmp_path)
    images = subject.images(seed)
    for way in islice(ways(seed), 6):
        found = subject.findings(images, subject.run(images, way))
        assert [*found] == subject.names
        assert all(finding.holds for finding in found.values()), (way, found)


def unit_of(made: SumInFloat64, unit: int) -> Layer:
    """One unit of a sum as a layer of its own, of the exact weights."""
    layer = made.layer
    channel = unit // (layer.shape[1] * layer.shape[2])
    parts = []
    for part, weights in zip(layer.parts, made.weights, strict=True):
        row = weights[[unit]].toarray().reshape(1, -1, 1, 1)
        there = part.w[[unit]].astype(bool).toarray().reshape(row.shape)
        rounds = part.matrix(part.roundings)[[unit]].toarray().reshape(row.shape)
        here = np.zeros((1, 1), np.intp)
        places = Places((1, 1, 1), (row.size, 1, 1), 1, here, here, row.size)
        parts.append(replace(part, places=places, kernel=row, e=0, off=0 * row, rounds=rounds,
                             there=there))  # fmt: skip
    one = replace(
        layer,
        parts=tuple(parts),
        constants=layer.constants[[channel]],
        constant_roundings=layer.constant_roundings[[channel]],
        shape=(1, 1, 1),
    )
    return replace(one, terms=one.terms + layer.steps - one.steps)


def wide(x: np.ndarray) -> Fix:
    """Magnitudes exactly, on a grid that is too fine for the checker."""
    return Fix(np.ldexp(np.abs(x), 200).reshape(-1, 1, 1, 1), 200)


@pytest.mark.parametrize("seed", range(6))
def test_a_share_is_never_below_the_true_one(tmp_path: Path, seed: int) -> None:
    """The true one by the formula of the document in fractions, and values to 64 bits."""
    subject = audited(RandomNetwork(seed).b, tmp_path)
    images = subject.images(seed, count=2)
    values = subject.run(images, {"order": "worst_first"})
    found, rule = subject.findings(images, values), Weaker()
    for node in subject.form.nodes[1:]:
        if node.op != "sum":
            continue
        made = subject.judge.nodes.sums[node.name]
        shares = []
        for k, image in enumerate(images):
            one = {n: v[k] for n, v in values.items()}
            one[subject.form.input.name] = image.astype(np.float64)
            exact = exact_value(subject.form, node, one).ravel()
            error = np.abs(one[node.name].ravel().astype(LONG) - exact)
            for unit in np.argsort(-error)[:8].tolist():
                reaches = [wide(one[name]) for name in node.inputs]
                whole = Fix(np.ldexp(np.abs(exact[unit : unit + 1]), 200).astype(float), 200)
                allowed = rule(unit_of(made, unit), reaches, whole.reshape(1, 1, 1, 1))
                shares.append(error[unit] / (LONG(allowed.largest()) + LONG(2.0**-149)))
        assert found[node.name].share >= max(shares) * (1 - 1e-9)
        assert found[node.name].share <= 1


@pytest.mark.parametrize("seed", range(4))
def test_the_cheap_bound_is_below_the_rule(tmp_path: Path, seed: int) -> None:
    """It decides which images are looked at: above the rule it would hide some."""
    subject = audited(RandomNetwork(seed, adversarial=seed > 1).b, tmp_path)
    images = subject.images(seed)
    values = subject.run(images, {"seed": seed})
    known = {n: Known(columns(v)) for n, v in values.items()}
    known[subject.form.input.name] = Known(columns(images))
    for name, made in subject.judge.nodes.sums.items():
        xs = [known[source] for source in subject.form.by_name[name].inputs]
        exact = made(xs)
        whole = np.abs(exact.value) + exact.off
        for k in range(len(images)):
            allowed = made.allowed(xs, whole, k)
            assert np.all(made.least(xs, whole)[:, k] <= allowed), name


def test_an_error_beyond_a_units_bound_is_found_at_that_node(tmp_path: Path) -> None:
    """A hundredth of what is allowed passes; two and a half times as much, in one unit, does not.

    How much is allowed is found out by the judge itself: an error of one float32 step has a share.
    """
    subject = small(tmp_path)
    images = subject.images(0, count=2)
    values = subject.run(images, {})
    before = subject.findings(images, values)
    for node in subject.form.nodes[1:]:
        unit = (1, 0, *(n // 2 for n in node.shape[1:]))
        allowed = allowance(subject, images, values, node.name, unit)
        for factor, holds in ((0.4, True), (2.5, False)):
            broken = values[node.name].copy()
            broken[unit] = exactly(subject, images, values, node.name, unit) + factor * allowed
            found = subject.findings(images, {**values, node.name: broken})
            assert found[node.name].holds is holds, (node.name, factor, found[node.name])
            if not holds:
                assert tuple(found[node.name].at) == unit
            earlier = subject.names[: subject.names.index(node.name)]
            assert all(found[name] == before[name] for name in earlier)


def exactly(subject: Audited, images, values, name: str, unit: tuple[int, ...]) -> float:
    """The unit's exact value of what the execution computed before it."""
    one = {n: v[unit[0]] for n, v in values.items()}
    one[subject.form.input.name] = images[unit[0]].astype(np.float64)
    return float(exact_value(subject.form, subject.form.by_name[name], one).reshape(
        subject.form.by_name[name].shape)[unit[1:]])  # fmt: skip


def allowance(subject: Audited, images, values, name: str, unit: tuple[int, ...]) -> float:
    """What is allowed to a unit, from the share that a huge error has."""
    broken, huge = values[name].copy(), 1e6
    broken[unit] = exactly(subject, images, values, name, unit) + huge
    return huge / subject.findings(images, {**values, name: broken})[name].share


def test_a_bound_is_of_these_operands(tmp_path: Path) -> None:
    """What all images together allow is not allowed to a small value of one image."""
    subject = small(tmp_path)
    images = np.stack([np.zeros((1, 6, 6), np.uint8), np.full((1, 6, 6), 255, np.uint8)])
    values = subject.run(images, {})
    (name,) = (n.name for n in subject.form.nodes if n.name == subject.names[0])
    dark, bright = (
        allowance(subject, images, values, name, (k, 0, 1, 1)) for k in range(len(images))
    )
    charged = subject.derivation.values[name].noise
    assert dark < bright <= Fraction(charged.largest()) * 2
    broken = values[name].copy()
    broken[0, 0, 1, 1] = exactly(subject, images, values, name, (0, 0, 1, 1)) + bright
    assert not subject.findings(images, {**values, name: broken})[name].holds
    assert subject.findings(images, {**values, name: broken})[name].outside == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_value_that_is_no_number_or_far_away_is_outside(tmp_path: Path, bad: float) -> None:
    subject = small(tmp_path)
    images = subject.images(0, count=2)
    values = subject.run(images, {})
    for name in subject.names:
        broken = values[name].copy()
        broken[0, 0, 0, 0] = bad
        finding = subject.findings(images, {**values, name: broken})[name]
        assert finding.outside == 1
        assert not finding.holds
        assert finding.at.image == 0


def test_a_range_is_left_by_the_least_step(tmp_path: Path) -> None:
    """A value beyond its interval counts even where the rounding bound would allow it."""
    subject = small(tmp_path)
    images = subject.images(0, count=1)
    values, name, ranges = subject.run(images, {}), subject.names[0], subject.judge.ranges
    top = values[name].reshape(1, -1).T
    everything = np.full_like(top, np.inf)
    for high, outside in ((everything, 0), (top, 0), (np.nextafter(top, -np.inf), top.size)):
        ranges[name] = (-everything, high)
        assert subject.findings(images, values)[name].outside == outside


@pytest.mark.parametrize("seed", range(4))
def test_hidden_nodes_are_allowed_their_own_roundings_and_no_more(
    tmp_path: Path, seed: int
) -> None:
    subject = audited(NearlyLinear(seed).b, tmp_path) if seed else small(tmp_path)
    images = subject.images(seed)
    hidden = {n.name for n in subject.form.nodes[1:-1] if n.op != "silu"}
    for way in ({}, {"order": "worst_first"}, {"seed": 3}):
        values = {k: v for k, v in subject.run(images, way).items() if k not in hidden}
        found = subject.findings(images, values)
        assert set(found) == set(values)
        assert all(finding.holds for finding in found.values())
    for name, finding in found.items():
        wrong = values[name] * 1.001 + 1e-3
        assert finding.share < 1 < subject.findings(images, {**values, name: wrong})[name].share


def test_the_judge_refuses_what_does_not_fit(tmp_path: Path) -> None:
    subject = small(tmp_path)
    images = subject.images(0, count=2)
    values = subject.run(images, {})
    with pytest.raises(ValueError, match="show the output"):
        subject.findings(images, {k: v for k, v in values.items() if k != "probabilities"})
    with pytest.raises(ValueError, match="has the shape"):
        subject.findings(images, {**values, "probabilities": values["probabilities"][:1]})
