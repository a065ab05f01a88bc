"""Networks built to break a bound: the two named traps, and sums that lose all they can."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.graph.network import AffineKind
from lastbit_check.certificate import Hints
from lastbit_check.check import derive
from lastbit_check.verdict import Rejected
from soundness.harness import Subject, assault, built, exact_value, real, run, subject_of

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
    ways = {"order": "pairwise"}
    change = np.abs(
        run(subject.network, white, ways)["probabilities"]
        - run(subject.network, black, ways)["probabilities"]
    )
    assert 1e-6 < float(change.max()) <= float(subject.derived.upper)
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
    assert subject.derived.upper > 0


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
    values = run(subject.network, white, {"order": "forward"})
    node = subject.network.nodes[1]
    error = np.abs(values[node.name] - exact_value(node, values))
    bound = real(subject.derived.roundings[node.name])[..., 0]
    assert np.all(error <= bound)
    assert np.all(error > 0.9 * bound)
    subject.check_values(values)


def test_two_executions_of_a_losing_sum_stay_within_the_bound(tmp_path: Path) -> None:
    subject = _losing(tmp_path, 0.499)
    white = np.full((1, 7, 7), 255, np.uint8)
    forward, reverse = (run(subject.network, white, {"order": o}) for o in ("forward", "reversed"))
    other = white.copy()
    other[0, 0, 1] = 254
    subject.check_pair(forward, reverse, 1)
    subject.check_pair(forward, run(subject.network, other, {"order": "reversed"}), 1)


@pytest.mark.parametrize("kind", ["mul", "div", "add", "sub"])
def test_one_rounding_comes_near_its_bound(tmp_path: Path, kind: AffineKind) -> None:
    """A single operation with many constants: the worst error is over half of what is allowed."""
    constants = np.float32(1) + np.arange(1, 65, dtype=np.float32) * np.float32(
        2.0**-9 + 3 * 2.0**-23
    )
    worst = 0.0
    for constant in constants:
        b = OnnxBuilder()
        x = b.mean(b.affine(b.input_bytes((1, 1, 2)), kind, constant, name="one"))
        b.softmax(b.dense(x, [[1.0], [-1.0]]))
        subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
        node = subject.network["one"]
        for byte in (129, 255):
            values = run(subject.network, np.full((1, 1, 2), byte, np.uint8), {})
            error = np.abs(values["one"] - exact_value(node, values))
            bound = real(subject.derived.roundings["one"])[..., 0]
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


def test_batch_norm_whose_variance_is_flushed_away_is_rejected(tmp_path: Path) -> None:
    """With flush-to-zero, variance + epsilon = 1e-40 becomes 0, and 0 / 0 is not a number."""
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), np.ones((1, 1, 1, 1)))
    x = b.batch_norm(x, [1e-20], [0.0], [0.0], [0.0], epsilon=1e-40)
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    with pytest.raises(Rejected) as caught:
        subject_of(*built(b, tmp_path), hints=NO_HINTS)
    assert caught.value.rule == "model.shape"


def test_logits_that_another_node_reads_are_rejected() -> None:
    """Dual vectors on a dead node that reads the logits would cancel the whole sensitivity."""
    b = OnnxBuilder()
    x = b.flatten(b.mean(b.input_bytes((1, 2, 2)), name="m"))
    logits = b.dense(x, [[1.0], [-1.0]], np.full(2, 0.5), name="logits")
    twin = b.dense(x, [[-1.0], [1.0]], np.full(2, 0.5), name="twin")
    b.add(logits, twin, name="dead")
    b.softmax(logits)
    with pytest.raises(Rejected) as caught:
        derive(b.to_bytes(), Hints({}, bases=frozenset({"m"})))
    assert caught.value.rule == "model.output"


def test_softmax_of_the_image_itself_is_rejected(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.flatten(b.input_bytes((3, 1, 1)))
    b._width = 3  # what `dense` would note
    b.softmax(x)
    with pytest.raises(Rejected) as caught:
        subject_of(*built(b, tmp_path), hints=NO_HINTS)
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
