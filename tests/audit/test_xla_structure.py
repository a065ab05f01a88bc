"""What XLA makes of a graph is matched; what it must not make is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit.structure.hlo_graph import HloTrace, traced_hlo
from lastbit.audit.structure.hlo_text import parsed, shape_of
from lastbit.audit.structure.runtimes import xla_structure
from lastbit.audit.structure.tracing import Tracing
from lastbit.audit.telling import KINDS
from support.audited import Audited, audited, residual, small
from support.networks import RandomNetwork

pytest.importorskip("jax")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(residual(), tmp_path_factory.mktemp("residual"))


@pytest.fixture(scope="module")
def text(subject: Audited) -> str:
    from lastbit.runtimes.jax_network import jax_text

    return jax_text(subject.network, subject.subject.structures.images)


def traced(subject: Audited, text: str) -> HloTrace:
    return traced_hlo(parsed(text), Tracing(subject.subject.structures.expected))


# ---- what it makes ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_programs_are_matched(tmp_path: Path, seed: int) -> None:
    network = small(tmp_path) if not seed else audited(RandomNetwork(seed).b, tmp_path)
    for found in (network.subject.structures, network.subject.structures.of_one()):
        assert xla_structure(found, network.network).broken == ()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_networks_made_to_tell_are_matched(tmp_path: Path, kind) -> None:
    network = audited(kind.network(1, 1.0), tmp_path)
    assert xla_structure(network.subject.structures, network.network).broken == ()


def test_a_factor_at_the_other_operand_is_matched(tmp_path: Path) -> None:
    """XLA multiplies a gate's smaller operand by a factor of the other one."""
    (anywhere,) = (kind for kind in KINDS if kind.name == "anywhere")
    network = audited(anywhere.network(3, 1.0), tmp_path)
    found = xla_structure(network.subject.structures, network.network)
    assert found.broken == ()
    assert found.rewritings["scale"] >= 2


def test_rewritings_are_counted(subject: Audited) -> None:
    """A division becomes a product by the reciprocal; the logits are added up in two kernels."""
    found = xla_structure(subject.subject.structures, subject.network)
    assert (found.broken, found.unequal) == ((), ())
    assert found.rewritings["scale"] >= 1
    assert found.rewritings["hide"] >= 3
    assert found.rewritings["recomputes"] == 1
    assert found.twice == ("logits: 2 times",)


# ---- what it must not make -------------------------------------------------------------------

Mutate = Callable[[str], str]


def first(old: str, new: str) -> Mutate:
    """A text with what stands there first replaced; it has to stand there."""

    def mutate(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return mutate


def last(old: str, new: str) -> Mutate:
    def mutate(text: str) -> str:
        before, found, after = text.rpartition(old)
        assert found, old
        return before + new + after

    return mutate


MUTANTS: dict[str, tuple[Mutate, str]] = {
    "an unknown operation": (
        first(" exponential(", " cosine("),
        "no operation that is known here",
    ),
    "a call of something": (
        last("= f32[75,16]{1,0} dot(", "= f32[75,16]{1,0} custom-call("),
        "no operation that is known here",
    ),
    "bfloat16": (last("= f32[75,16]{1,0} dot(", "= bf16[75,16]{1,0} dot("), "of the type bf16"),
    "products in bfloat16": (
        last("rhs_contracting_dims={0}", "rhs_contracting_dims={0}, algorithm=dot_bf16_bf16_f32"),
        "the algorithm dot_bf16_bf16_f32",
    ),
    "a sum in place of a maximum": (
        first("maximum(reduce_max", "multiply(reduce_max"),
        "a reduction by multiply",
    ),
    "another constant": (first("constant(0.04)", "constant(0.040001)"), "something of|sum of"),
    "a constant that is not folded as it may be": (
        first("constant(0.00392156886)", "constant(0.0039217)"),
        "something of|sum of",
    ),
    "a residual that is subtracted": (
        first("add(copy.13, param_1.24)", "subtract(copy.13, param_1.24)"),
        "something of|sum of",
    ),
    "a window that is not known": (
        first("size=3x3 pad=1_1x1_1", "size=3x3 pad=1_1x1_1 batch_dilate=2x2"),
        "a convolution with",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_matches_nothing_is_named(subject: Audited, text: str, name: str) -> None:
    mutate, words = MUTANTS[name]
    assert traced(subject, text).tracing.unknown == []
    unknown = traced(subject, mutate(text)).tracing.unknown
    assert any(word in line for line in unknown for word in words.split("|")), unknown


def test_a_step_that_scale_allows_is_no_mutant(subject: Audited, text: str) -> None:
    """1 / 255 as the float32 number after the nearest one."""
    after = np.nextafter(np.float32(0.00392156886), np.float32(1))
    near = traced(subject, first("constant(0.00392156886)", f"constant({after:.9g})")(text))
    assert near.tracing.unknown == []


def test_numbers_that_are_left_out_are_no_constant() -> None:
    with pytest.raises(ValueError, match="left out"):
        parsed("ENTRY main {\n  ROOT c = f32[3]{0} constant({...})\n}\n")
    with pytest.raises(ValueError, match="no shape"):
        shape_of("token")
    with pytest.raises(ValueError, match="no entry"):
        parsed("HloModule nothing\n")


# ---- computed once ---------------------------------------------------------------------------


def test_a_product_that_is_added_in_one_of_two_kernels_is_named(
    tmp_path: Path, subject: Audited, text: str
) -> None:
    """XLA computes a product for each of two readers, of which one adds it to something."""
    (twice,) = (kind for kind in KINDS if kind.name == "twice")
    network = audited(twice.network(0, 1.0), tmp_path)
    found = xla_structure(network.subject.structures, network.network)
    assert found.broken == ()
    assert any("computed-once does not hold" in line for line in found.unequal)
    assert traced(subject, text).unequal() == []


def test_a_copy_made_by_other_operations_is_named(subject: Audited, text: str) -> None:
    """One of the two sums of the logits adds in the other order."""
    other = first("add(copy.10, add.11)", "add(add.11, copy.10)")(text)
    found = traced(subject, other).tracing.copies["logits"]
    assert len({made for _, made in found}) == 2
    assert len({made for _, made in traced(subject, text).tracing.copies["logits"]}) == 1
