"""Networks that arrange, pool and combine: every rewritten graph of theirs is matched."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastbit.audit.onnx_values import fused_run
from lastbit.audit.structure.hlo_graph import traced_hlo
from lastbit.audit.structure.hlo_text import parsed
from lastbit.audit.structure.runtimes import onnx_structure, xla_structure
from lastbit.audit.structure.tracing import Tracing
from lastbit.runtimes.onnx_runtime import LEVELS
from soundness.programs import ways
from support.arranged import ArrangedNetwork
from support.audited import audited
from support.written_in_jax import text_of

SEEDS = [*range(6), *(pytest.param(k, marks=pytest.mark.slow) for k in range(6, 50))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_level_is_matched_and_holds(tmp_path: Path, seed: int) -> None:
    """And what its tensors were found to be they are: the judge agrees, tensor by tensor."""
    network = audited(ArrangedNetwork(seed).model().SerializeToString(), tmp_path)
    images = network.images(seed)
    for level in LEVELS:
        found = onnx_structure(network.subject.structures, level)
        assert found.broken == found.unequal == (), level
        values = fused_run(network.subject.structures.fused(level))(images)
        judged = network.findings(images, values)
        assert all(finding.holds for finding in judged.values()), (level, judged)


@pytest.mark.parametrize("seed", SEEDS)
def test_executions_that_are_allowed_hold(tmp_path: Path, seed: int) -> None:
    network = audited(ArrangedNetwork(seed).model().SerializeToString(), tmp_path)
    images = network.images(seed, count=2)
    for way, _ in zip(ways(seed), range(6), strict=False):
        judged = network.findings(images, network.run(images, way))
        assert all(finding.holds for finding in judged.values()), (way, judged)


@pytest.mark.parametrize("seed", SEEDS)
def test_xlas_programs_are_matched(tmp_path: Path, seed: int) -> None:
    """Of the normal form, and of the network as one writes it in JAX."""
    pytest.importorskip("jax")
    made = ArrangedNetwork(seed)
    network = audited(made.model().SerializeToString(), tmp_path)
    structures = network.subject.structures
    assert xla_structure(structures, network.network).broken == ()
    tracing = Tracing(structures.expected)
    traced_hlo(parsed(text_of(made.model(), (3, *made.shape))), tracing)
    assert tracing.unknown == []
