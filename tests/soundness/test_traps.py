"""Networks built to break a bound: the two named traps, and sums that lose all they can."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.operators.affine import AffineKind
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.question import EXECUTIONS
from lastbit_check.verdict import Rejected
from soundness.harness import Subject, assault, built, subject_of

NO_HINTS = Hints({})


def test_trap_one_path_with_a_weight_of_1e_5(tmp_path: Path) -> None:
    """A power iteration with an epsilon, or a tolerance, calls this network constant."""
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 5, 5)), 255)
    first = np.zeros((4, 1, 3, 3), np.float32)
    first[2, 0, 1, 1] = 1e-5
    x = b.silu(b.conv(x, first, padding=1))
    second = np.zeros((4, 4, 1, 1), np.float32)
    second[1, 2] = 1e-5
    x = b.mean(b.conv(x, second))
    last = np.zeros((3, 4), np.float32)
    last[0, 1] = 3e10
    b.softmax(b.dense(x, last, np.zeros(3)))
    subject = subject_of(*built(b, tmp_path))
    white = np.full((1, 5, 5), 255, np.uint8)
    black = white.copy()
    black[0, 2, 2] = 254
    for way in ({"order": "pairwise"}, {"seed": 0}):
        values = [subject.run(image, way)["probabilities"] for image in (white, black)]
        change = float(np.abs(values[1] - values[0]).max())
        assert all(1e-6 < change <= float(subject.upper(name)) for name in EXECUTIONS)
    assault(subject, 0)


@pytest.mark.parametrize("gap", [0.0, 1e-7, 2.0**-24])
def test_trap_tied_logits(tmp_path: Path, gap: float) -> None:
    """All classes tie on every image, or nearly: the classes change places all the time."""
    rng = np.random.default_rng(3)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.div(b.input_bytes((1, 5, 5)), 255), rng.normal(size=(4, 1, 3, 3))))
    row = rng.normal(size=4)
    b.softmax(b.dense(b.mean(x), np.stack([row, row * (1 + gap), row]), np.zeros(3)))
    subject = subject_of(*built(b, tmp_path))
    assault(subject, 1)
    assert min(subject.upper(name) for name in EXECUTIONS) > 0


def _losing(tmp_path: Path, tiny: float) -> Subject:
    """257.55 and 48 products just below half a unit in its last place: forward sums lose them."""
    weight = np.full((2, 1, 7, 7), tiny * 2.0**-15 / 255, np.float32)
    weight[:, 0, 0, 0] = 1.01
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 7, 7)), weight)
    b.softmax(b.dense(x, np.eye(2), np.zeros(2)))
    return subject_of(*built(b, tmp_path), hints=NO_HINTS)


def test_a_sum_that_loses_all_it_can_attains_its_rounding_bound(tmp_path: Path) -> None:
    subject = _losing(tmp_path, 0.499)
    white = np.full((1, 7, 7), 255, np.uint8)
    name = subject.form.nodes[1].name
    for way in ({"order": "forward"}, {"order": "forward", "seed": 0}):
        values = subject.run(white, way)
        error, bound = dict(subject.roundings(values))[name], subject.noise(name)
        assert np.all(error <= bound)
        assert np.all(error > 0.9 * bound)
        subject.check_values(values)


def test_two_executions_of_a_losing_sum_stay_within_the_bound(tmp_path: Path) -> None:
    subject = _losing(tmp_path, 0.499)
    white = np.full((1, 7, 7), 255, np.uint8)
    other = white.copy()
    other[0, 0, 1] = 254
    for seed in ({}, {"seed": 0}):
        ways = [{"order": order, **seed} for order in ("forward", "reversed")]
        forward, reverse = (subject.run(white, way) for way in ways)
        subject.check_pair(forward, reverse, 1)
        subject.check_pair(forward, subject.run(other, ways[1]), 1)
        for way, values in zip(ways, (forward, reverse), strict=True):
            for executions in EXECUTIONS:
                subject.check_pair(values, subject.run(other, way), 1, executions)


@pytest.mark.parametrize("kind", ["mul", "div", "add", "sub"])
def test_one_rounding_comes_near_its_bound(tmp_path: Path, kind: AffineKind) -> None:
    """A single operation with many constants: the worst error is over half of what is allowed."""
    constants = np.float32(1) + np.arange(1, 65, 2, dtype=np.float32) * np.float32(
        2.0**-9 + 3 * 2.0**-23
    )
    worst = 0.0
    for constant in constants:
        b = OnnxBuilder()
        x = b.mean(b.affine(b.input_bytes((1, 1, 2)), kind, constant, name="one"))
        b.softmax(b.dense(x, [[1.0], [-1.0]]))
        subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
        for byte in (129, 255):
            values = subject.run(np.full((1, 1, 2), byte, np.uint8), {})
            error, bound = dict(subject.roundings(values))["one"], subject.noise("one")
            assert np.all(error <= bound)
            worst = max(worst, float(np.max(error / bound)))
    assert worst > (0.8 if kind == "mul" else 0.15)


def test_residual_sums_round(tmp_path: Path) -> None:
    """x + y with y near x 2^-k: the add rounds, in values, norms and moves."""
    for k in range(1, 9):
        b = OnnxBuilder()
        x = b.input_bytes((1, 2, 2))
        y = b.affine(x, "mul", np.float32(2.0**-k + 2.0**-23), name="y")
        x = b.mean(b.add(x, y))
        b.softmax(b.dense(x, [[1.0], [-1.0]]))
        assault(subject_of(*built(b, tmp_path), hints=NO_HINTS), k)


def test_a_mean_whose_sum_overflows_is_not_finite(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 8, 8)), "mul", np.float32(2.0**116))
    x = b.affine(b.mean(x), "mul", np.float32(2.0**-116))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    with pytest.raises(Rejected) as caught:
        subject_of(*built(b, tmp_path), hints=NO_HINTS)
    assert caught.value.rule == "finite.values"


def test_batch_norm_whose_variance_is_flushed_away_is_rejected() -> None:
    """With flush-to-zero, variance + epsilon = 1e-40 becomes 0, and 0 / 0 is not a number."""
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), np.ones((1, 1, 1, 1)))
    x = b.batch_norm(x, [1e-20], [0.0], [0.0], [0.0], epsilon=1e-40)
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    with pytest.raises(Rejected) as caught:
        network_in(b.to_bytes())
    assert caught.value.rule == "model.shape"


def twins(*, dead: bool) -> OnnxBuilder:
    b = OnnxBuilder()
    x = b.flatten(b.mean(b.input_bytes((1, 2, 2)), name="m"))
    logits = b.dense(x, [[1.0], [-1.0]], np.full(2, 0.5), name="logits")
    if dead:
        twin = b.dense(x, [[-1.0], [1.0]], np.full(2, 0.5), name="twin")
        b.sigmoid(b.add(logits, twin), name="dead")
    b.softmax(logits)
    return b


def test_what_no_answer_depends_on_is_left_out(tmp_path: Path) -> None:
    """Dual vectors on a dead node that reads the logits would cancel the whole sensitivity."""
    hints = Hints({}, bases=frozenset({"m"}))
    model, network = built(twins(dead=False), tmp_path)
    alone, both = (subject_of(v, network, hints) for v in (model, twins(dead=True).to_bytes()))
    assert both.derived.claims == alone.derived.claims
    assert [node.name for node in both.form.nodes] == [node.name for node in alone.form.nodes]
    assault(both, 0)
    for name in ("twin", "dead"):
        with pytest.raises(Rejected, match=r"rule hint\.node"):
            subject_of(twins(dead=True).to_bytes(), network, Hints({}, bases=frozenset({name})))


def test_softmax_of_the_image_itself_is_rejected() -> None:
    b = OnnxBuilder()
    x = b.flatten(b.input_bytes((3, 1, 1)))
    b._width = 3  # what `dense` would note
    b.softmax(x)
    with pytest.raises(Rejected) as caught:
        network_in(b.to_bytes())
    assert caught.value.rule == "model.output"


def test_columns_that_vanish_are_no_obstacle(tmp_path: Path) -> None:
    """A node whose dependence on a base cancels exactly."""
    b = OnnxBuilder()
    x = b.mean(b.input_bytes((1, 2, 2)), name="m")
    y = b.conv(x, [[[[1.0]]], [[[-1.0]]]], name="y")
    z = b.conv(x, [[[[-1.0]]], [[[1.0]]]], name="z")
    b.softmax(b.dense(b.add(y, z), np.eye(2), np.zeros(2)))
    model, network = built(b, tmp_path)
    assault(subject_of(model, network, Hints({}, bases=frozenset({"m"}))), 0)


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolutions_that_are_not_depthwise(tmp_path: Path, groups: int) -> None:
    """Two inputs a group, or two outputs for each input; strides and pads all different."""
    rng = np.random.default_rng(groups)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.div(b.input_bytes((1, 6, 5)), 255), rng.normal(size=(4, 1, 2, 2))))
    w = rng.normal(size=(8, 4 // groups, 3, 2))
    x = b.silu(b.conv(x, w, rng.normal(size=8), group=groups, stride=(2, 1), padding=(1, 0, 0, 2)))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 8)), np.zeros(3)))
    assault(subject_of(*built(b, tmp_path)), groups)
