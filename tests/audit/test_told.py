"""Networks made to tell: no runtime attains more than is proved, and one that does is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit import told as telling
from lastbit.audit.executions import executions
from lastbit.audit.programs import Program, programs
from lastbit.audit.structure.runtimes import structures
from lastbit.audit.telling import KINDS, Kind
from lastbit.audit.told import Told, judged, pairs_around, tell, told
from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.check import proved
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM
from lastbit_check.verdict import Rejected
from support.audited import audited

BY_NAME = {kind.name: kind for kind in KINDS}


def sound(one: Told) -> None:
    assert one.failures == ()
    assert set(one.upper) in (set(), set(EXECUTIONS))
    assert one.share <= 1


@pytest.mark.parametrize("seed", [3, 7])
@pytest.mark.slow
def test_no_runtime_attains_more_than_is_proved(seed: int) -> None:
    one = told(BY_NAME["anywhere"], seed)
    sound(one)
    assert one.upper[SAME_PROGRAM] <= one.upper[ANY_TWO]
    assert one.name == f"anywhere {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_runtime_attains_more_on_any_kind(kind: Kind) -> None:
    for one in tell(2, first=1, kinds=[kind]):
        sound(one)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_seed_is_a_network(kind: Kind) -> None:
    """The same bytes each time; another seed, factor or bias gives others."""
    first = kind.network(2, 1.0).to_bytes()
    assert kind.network(2, 1.0).to_bytes() == first
    others = [kind.network(3, 1.0), kind.network(2, 2.0), kind.network(2, 1.0, 0.5)]
    assert all(other.to_bytes() != first for other in others)


def test_pairs_differ_in_one_last_bit() -> None:
    centre = np.full((1, 4, 4), 7, np.uint8)
    first, second = pairs_around(centre, near=3)
    assert first.shape == second.shape == (48, 1, 4, 4)
    changed = first != second
    assert np.all(changed.sum(axis=(1, 2, 3)) == 1)
    assert np.all((first ^ second)[changed] == 1)
    assert np.all(changed[:16].reshape(16, 16) == np.eye(16, dtype=bool))


# ---- what breaks something is named ----------------------------------------------------------


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory):
    """A network with its bound, which all tests below share."""
    path = tmp_path_factory.mktemp("told") / "model.onnx"
    centre, derived = telling._scaled(BY_NAME["biases"], 2, path)
    return path, centre, derived


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """One honest program, no executions, no graphs: what a test adds is all there is."""
    honest = [programs]
    monkeypatch.setattr(telling, "programs", lambda path, network: honest[0](path, network)[:1])
    monkeypatch.setattr(telling, "executions", lambda subject, compiled: ([], {}))
    monkeypatch.setattr(telling, "structures", lambda found, network, compiled: ([], {}))


def with_program(monkeypatch: pytest.MonkeyPatch, spoil) -> None:
    """A second program, which returns something else."""

    def both(path: Path, network) -> list[Program]:
        first = programs(path, network)[0]
        return [first, Program("hasty 1", lambda images: spoil(first.run(images), images))]

    monkeypatch.setattr(telling, "programs", both)


@pytest.mark.usefixtures("little")
def test_an_honest_program_alone_is_within(subject) -> None:
    one = judged("biases 2", *subject)
    sound(one)
    assert one.attained[SAME_PROGRAM].by.startswith("onnxruntime")


@pytest.mark.usefixtures("little")
def test_a_program_that_exceeds_a_bound_is_named(subject, monkeypatch) -> None:
    """Of one program: the second image of each pair makes a difference that is too large."""
    upper = float(subject[2].claims[ANY_TWO].upper)

    def spoil(found, images):
        return found + np.float32(1.5 * upper) * (images.sum(axis=(1, 2, 3)) % 2)[:, None]

    with_program(monkeypatch, spoil)
    one = judged("biases 2", *subject)
    assert one.share > 1
    assert any("hasty 1 attains" in said and SAME_PROGRAM in said for said in one.failures)


@pytest.mark.usefixtures("little")
def test_two_programs_that_are_far_apart_are_named(subject, monkeypatch) -> None:
    """Each by itself moves as little as the honest one does."""
    upper = float(subject[2].claims[ANY_TWO].upper)
    with_program(monkeypatch, lambda found, _: found + np.float32(1.5 * upper))
    (said,) = judged("biases 2", *subject).failures
    assert "hasty 1" in said
    assert " and " in said
    assert ANY_TWO in said


@pytest.mark.usefixtures("little")
def test_a_program_without_numbers_is_named(subject, monkeypatch) -> None:
    with_program(monkeypatch, lambda found, _: found * np.float32(np.nan))
    one = judged("biases 2", *subject)
    assert any("hasty 1 returns no number" in said for said in one.failures)
    assert any("attains nan" in said for said in one.failures)


@pytest.mark.usefixtures("little")
def test_a_graph_that_is_not_allowed_is_named(subject, monkeypatch) -> None:
    def graphs(found, network, compiled):
        listed, missing = structures(found, network, compiled=compiled)
        return [replace(listed[0], broken=("Winograd: no operator that is known here",))], missing

    monkeypatch.setattr(telling, "structures", graphs)
    (said,) = judged("biases 2", *subject).failures
    assert "Winograd" in said


@pytest.mark.usefixtures("little")
def test_a_runtime_that_computes_a_node_twice_is_left_out(subject, monkeypatch) -> None:
    def graphs(found, network, compiled):
        listed, missing = structures(found, network, compiled=compiled)
        return [replace(listed[0], runtime="hasty 1", unequal=("twice",))], missing

    monkeypatch.setattr(telling, "structures", graphs)
    with_program(monkeypatch, lambda found, images: found * np.float32(0))
    one = judged("biases 2", *subject)
    assert one.failures == ()
    assert one.excluded == {"hasty 1": 0.0}
    assert "hasty" not in one.attained[ANY_TWO].by


@pytest.mark.usefixtures("little")
def test_an_execution_outside_of_its_bounds_is_named(subject, monkeypatch) -> None:
    def spoilt(subject, compiled):
        (first, *_), missing = executions(subject, compiled=compiled)

        def start():
            run = first.start()
            return lambda images: {n: v * np.float32(1 + 2.0**-9) for n, v in run(images).items()}

        return [replace(first, start=start)], missing

    monkeypatch.setattr(telling, "executions", spoilt)
    (said,) = judged("biases 2", *subject).failures
    assert "leaves its bounds at" in said


def test_a_network_of_which_nothing_is_proved_tells_nothing(monkeypatch) -> None:
    def refused(kind, seed, path):
        path.write_bytes(b"network")
        raise Rejected(rule, "it is so")

    monkeypatch.setattr(telling, "_scaled", refused)
    for rule in ("finite.values", ""):
        one = told(BY_NAME["twice"], 0)
        assert (one.upper, one.share) == ({}, 0.0)
        assert bool(one.failures) is not bool(rule)


def overflowing(folder: Path) -> Path:
    """A gate x s: 2^26 multiplies a small x, and 2^26 s is no float32 number."""
    random, b, channels = np.random.default_rng(0), OnnxBuilder(), 4
    x = b.div(b.input_bytes((1, 4, 4)), 255)
    x = b.silu(b.conv(x, random.uniform(0.5, 1, (channels, 1, 3, 3)), padding=1))
    s = b.conv(b.mean(x), random.uniform(0.5, 1, (channels, channels, 1, 1)) * 2.0**100)
    small = np.eye(channels)[:, :, None, None] * 2.0**-66
    y = b.affine(b.silu(b.conv(x, small)), "mul", np.float32(1.1 * 2.0**26))
    weight = random.normal(size=(channels, channels, 1, 1)) * 2.0**-64
    y = b.conv(b.gate(y, b.silu(s)), weight)
    b.softmax(b.dense(b.mean(y), random.normal(size=(2, channels)) * 2.0**-8))
    return b.save(folder / "model.onnx")


def test_a_factor_that_may_overflow_at_the_other_operand_is_refused(tmp_path: Path) -> None:
    """XLA multiplies the smaller operand by a factor of the other one: the result is NaN."""
    path = overflowing(tmp_path)
    network = read_onnx(path)
    images = np.random.default_rng(1).integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    found = {p.name.split()[0]: p.run(images) for p in programs(path, network)}
    assert np.all(np.isfinite(found["onnxruntime"]))
    if "jax" in found:
        assert np.all(np.isnan(found["jax"]))
    with pytest.raises(Rejected, match="may overflow") as refused:
        proved(path.read_bytes(), LAST_BIT, hints_for(network))
    assert refused.value.rule == "finite.values"
    assert refused.value.node.startswith("gate")


def test_the_best_hints_are_chosen(subject) -> None:
    """No worse than the usual ones."""
    path, _, derived = subject
    usual = proved(path.read_bytes(), LAST_BIT, hints_for(read_onnx(path)))
    assert derived.claims[ANY_TWO].logits <= usual.claims[ANY_TWO].logits


def test_a_factor_moved_to_a_node_that_has_factors_of_its_own_is_applied_once(
    tmp_path: Path,
) -> None:
    """By the reference executor of rewritten graphs; its values are what the judge admits."""
    subject = audited(BY_NAME["extremes"].network(5, 1.0), tmp_path)
    images = subject.images(0, count=1)
    for seed in range(24):
        values = execute_rewritten(subject.form, images[0], seed=seed)
        shown = {name: v[None] for name, v in values.items() if name != subject.form.input.name}
        found = subject.findings(images, shown)
        assert all(finding.holds for finding in found.values()), (seed, found)
