"""For each term of the bound a network that needs it: without the term, an execution is outside."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.bound.walk import derive
from lastbit.hints import hints_for
from lastbit.graph import OnnxBuilder
from lastbit_check.certificate import Hints
from lastbit_check.check import Pass
from lastbit_check.verdict import Rejected
from soundness.harness import assault, built, flipped, off_exp, real, run, subject_of

NO_HINTS = Hints({})
WHITE = np.full((1, 4, 4), 255, np.uint8)
BLACK = np.zeros((1, 4, 4), np.uint8)


@pytest.mark.parametrize("exponent", [-126, -130, -140])
def test_underflow(tmp_path: Path, exponent: int) -> None:
    """Values and weights that flush-to-zero takes away."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 4, 4)), "mul", np.float32(2.0**exponent), name="tiny")
    x = b.conv(x, np.full((2, 1, 2, 2), 1.5 * 2.0**-3), name="sums")
    x = b.affine(b.mean(x), "mul", np.float32(2.0**100))
    b.softmax(b.dense(x, [[1.0, 0.0], [0.0, -1.0]]))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    for byte in range(1, 256, 2):
        for flush in (False, True):
            values = run(
                subject.network, np.full((1, 4, 4), byte, np.uint8), {"flush_to_zero": flush}
            )
            subject.check_values(values)
            subject.check_roundings(values)


@pytest.mark.parametrize("scale", [2.0**-9, 2.0**-11, 2.0**-14])
def test_what_silu_bends(tmp_path: Path, scale: float) -> None:
    """A SiLU kept as z/2 is z^2/4 above it at the end of the range, and on it at 0."""
    b = OnnxBuilder()
    x = b.silu(b.affine(b.input_bytes((1, 4, 4)), "mul", np.float32(scale)), name="s")
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    hints = Hints({"s": [2**19]})
    subject = subject_of(*built(b, tmp_path), hints=hints)
    for image in (WHITE, BLACK):
        subject.check_values(run(subject.network, image, {}))
    assault(subject, 0)


def test_a_bias_in_the_norm(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 4, 4)), [[[[1e-3]]]], [100.0])
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    assault(subject_of(*built(b, tmp_path), hints=NO_HINTS), 0)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5, 40.0])
def test_the_epsilon_of_batch_norm(tmp_path: Path, epsilon: float) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 4, 4)), np.ones((2, 1, 1, 1)) * 0.1)
    x = b.batch_norm(x, [1.5, -0.7], [3.0, 1.0], [10.0, -2.0], [0.25, 4.0], epsilon=epsilon)
    b.softmax(b.dense(b.mean(x), [[1.0, -1.0], [-1.0, 2.0]]))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    for image in (WHITE, BLACK):
        for fold in (False, True):
            subject.check_values(run(subject.network, image, {"fold_batch_norm": fold}))
    assault(subject, 0)


def test_the_error_of_softmax(tmp_path: Path) -> None:
    """Constant logits: only the two machines' exponentials differ."""
    b = OnnxBuilder()
    x = b.mean(b.input_bytes((1, 4, 4)))
    b.softmax(b.dense(x, np.zeros((4, 1)), np.zeros(4)))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    first, other = (run(subject.network, WHITE, {"exp": off_exp(r)}) for r in (1.0, -1.0))
    change = np.max(np.abs(first["probabilities"].astype(np.float64) - other["probabilities"]))
    assert 0 < change <= float(subject.derived.upper) < 1e-4
    subject.check_pair(first, other, 0)


def test_every_pixel_of_the_group(tmp_path: Path) -> None:
    """Pixels that are bounded together: the group's bound is that of its strongest pixel."""
    weight = np.zeros((2, 1, 14, 14), np.float32)
    weight[0] = np.arange(196).reshape(14, 14) / 196
    weight[1] = np.random.default_rng(0).normal(size=(14, 14))
    b = OnnxBuilder()
    x = b.silu(b.conv(b.div(b.input_bytes((1, 14, 14)), 255), weight, name="c"), name="s")
    b.softmax(b.dense(x, np.eye(2)))
    model, network = built(b, tmp_path)
    subject = subject_of(model, network)
    assert subject.derived.forms["c"].moves.n.shape[3] == 14 * 14 + 1
    assert subject.derived.forms["s"].moves.n.shape[3] == 1 + 1
    image = np.full((1, 14, 14), 254, np.uint8)
    values = run(network, image, {})
    for pixel in range(196):
        subject.check_pair(values, run(network, flipped(network, image, pixel), {}), pixel)


def test_the_group_begins_on_all_branches_at_once(tmp_path: Path) -> None:
    """A shortcut around the first SiLU is in one group when it meets what the SiLU returns."""
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 14, 14)), 255), "sub", np.float32(0.5))
    y = b.silu(b.conv(x, np.full((1, 1, 3, 3), 0.25), padding=1))
    z = b.affine(b.mean(b.add(x, y)), "mul", np.float32(2))
    b.softmax(b.dense(z, [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    assault(subject_of(model, network), 0)


def test_dual_vectors_flow_through_both_terms_of_an_add(tmp_path: Path) -> None:
    """One that reads a node and what another makes of it."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 4, 4)), "mul", np.float32(0.5), name="x")
    y = b.affine(x, "mul", np.float32(0.25), name="y")
    z = b.add(x, y, name="sum")
    b.softmax(b.dense(b.mean(z, name="m"), [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    assault(subject_of(model, network), 0)


def test_both_executions_round(tmp_path: Path) -> None:
    """The ledger's rounding is twice sum |a_c - a_j| rho, in exact arithmetic."""
    rng = np.random.default_rng(1)
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 4, 4)), rng.normal(size=(3, 1, 2, 2)), name="c")
    x = b.silu(x, name="s")
    b.softmax(b.dense(b.mean(x, name="m"), rng.normal(size=(3, 3))))
    model, network = built(b, tmp_path)
    hints = hints_for(network)
    derived = derive(model, hints, keep=True)
    duals = Pass(model, hints).duals
    c, j, _ = derived.worst
    for name in ("c", "s", "m"):
        dual = duals[name].a.n
        apart = np.abs(dual[..., c] - dual[..., j]).reshape(-1)
        rho = np.broadcast_to(real(derived.roundings[name])[..., 0], network[name].shape)
        least = (
            sum(Fraction(int(a)) * Fraction(r) for a, r in zip(apart, rho.reshape(-1), strict=True))
            * 2
            / Fraction(2) ** duals[name].a.e
        )
        assert least <= derived.nodes[name]["rounding"] <= least * Fraction(1001, 1000)


def test_all_parts_are_in_the_bound(tmp_path: Path) -> None:
    """upper is the sum of its parts, and the logits' bound that of what the nodes add to it."""
    rng = np.random.default_rng(2)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.div(b.input_bytes((1, 5, 5)), 255), rng.normal(size=(3, 1, 3, 3))))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 3))))
    model, network = built(b, tmp_path)
    derived = derive(model, hints_for(network))
    assert abs(sum(derived.parts.values()) - derived.upper) < Fraction(1, 2**60)
    listed = {name: sum(entries.values()) for name, entries in derived.nodes.items()}
    everything, pixel = sum(listed.values()), listed[network.nodes[0].name]
    assert 0 < everything - pixel < derived.logits


def test_dual_vectors_flow_back_through_curves_and_gates(tmp_path: Path) -> None:
    """A gate passes them back to what it scales, and not to its factor."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 4, 4)), "mul", np.float32(2.0**-13), name="x")
    s = b.silu(x, name="s")
    g = b.gate(s, b.sigmoid(b.mean(x)), name="g")
    b.softmax(b.dense(b.mean(g, name="m"), [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    assault(subject_of(model, network), 0)


def test_a_weight_below_the_grid_of_the_core(tmp_path: Path) -> None:
    """1e-5 beside 1e5: the core's integer for it is 0, and all that it carries is a remainder."""
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 1, 1)), np.array([1e5, 1e-5]).reshape(2, 1, 1, 1), name="c")
    b.softmax(b.dense(x, [[0.0, 1e5], [0.0, -1e5]]))
    subject = subject_of(*built(b, tmp_path))
    for byte in (0, 254):
        image = np.full((1, 1, 1), byte, np.uint8)
        pair = [run(subject.network, v, {}) for v in (image, flipped(subject.network, image, 0))]
        subject.check_pair(pair[0], pair[1], 0)
    assert subject.derived.nodes["c"]["remainder"] >= Fraction(2)


def test_silu_steeper_than_one(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.silu(b.affine(b.input_bytes((1, 1, 1)), "mul", np.float32(0.01)))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    image = np.full((1, 1, 1), 240, np.uint8)
    pair = [run(subject.network, v, {}) for v in (image, flipped(subject.network, image, 0))]
    subject.check_pair(pair[0], pair[1], 0)


def test_two_logits_that_move_apart(tmp_path: Path) -> None:
    """Their difference is sqrt(2) times the Euclidean norm of the change: no less will do."""
    b = OnnxBuilder()
    b.softmax(b.dense(b.affine(b.input_bytes((1, 1, 1)), "mul", 0.25), [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    subject = subject_of(model, network, hints=NO_HINTS)
    image = np.full((1, 1, 1), 128, np.uint8)
    pair = [run(subject.network, v, {}) for v in (image, flipped(subject.network, image, 0))]
    subject.check_pair(pair[0], pair[1], 0)
    found = subject.derived.norms.bound(network.logits)
    assert Fraction(1, 2) <= found < Fraction(51, 100)


def test_a_boxed_node_changes_by_its_width_at_most(tmp_path: Path) -> None:
    """A step: sigmoid of something steep. Its slope allows 5e4, its interval 1: it is reached."""
    b = OnnxBuilder()
    x = b.affine(
        b.affine(b.input_bytes((1, 1, 1)), "sub", np.float32(126.5)), "mul", np.float32(2e5)
    )
    b.softmax(b.dense(b.sigmoid(x, name="step"), [[1.0], [-1.0]]))
    hints = Hints({}, boxes=frozenset({"step"}))
    subject = subject_of(*built(b, tmp_path), hints=hints)
    first, other = (
        run(subject.network, np.full((1, 1, 1), byte, np.uint8), {}) for byte in (126, 127)
    )
    assert float(np.abs(first["step"] - other["step"]).max()) == 1
    subject.check_pair(first, other, 0)
    moves = subject.derived.forms["step"].moves
    assert 1 <= real(moves).max() < Fraction(1001, 1000)


@pytest.mark.parametrize("shift", [-300.0, -100.0, 0.0, 100.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_gate_of_any_sign(tmp_path: Path, shift: float, sign: float) -> None:
    """Every combination of signs of x and s, about a factor far from and near to the core's."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "add", np.float32(shift), name="x")
    s = b.affine(
        b.mean(b.affine(x, "mul", np.float32(sign / 64))), "add", np.float32(1.5), name="s"
    )
    b.softmax(b.dense(b.mean(b.gate(x, s, name="g")), [[1e-3], [-1e-3]]))
    for slope in (0, 3 * 2**19):
        hints = Hints({"g": [slope]})
        subject = subject_of(*built(b, tmp_path), hints=hints)
        for image in (
            np.zeros((1, 2, 2)),
            np.full((1, 2, 2), 255),
            np.array([[[0, 255], [9, 200]]]),
        ):
            subject.check_values(run(subject.network, image.astype(np.uint8), {}))
        low, high = (real(v).reshape(-1)[0] for v in subject.derived.forms["g"].interval)
        ends = [
            (Fraction(shift) + v) * (Fraction(sign) * (Fraction(shift) + w) / 64 + Fraction(3, 2))
            for v in (0, 255)
            for w in (0, 255)
        ]
        assert low <= min(ends) and max(ends) <= high
        assault(subject, 0)


@pytest.mark.parametrize(
    ("exponent", "silu", "sigmoid"),
    [(-35, Fraction(1, 16), Fraction(1, 16)), (-34, 3, 2), (-14, 3, 2), (-13, 6, 4)],
)
def test_what_a_curve_may_round(
    tmp_path: Path, exponent: int, silu: Fraction, sigmoid: Fraction
) -> None:
    """255 2^-35 is within 2^-27, 255 2^-14 within 2^-6: from there on more error is assumed."""
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**exponent))
    g = b.gate(b.silu(x, name="silu"), b.sigmoid(b.mean(x), name="sigmoid"))
    b.softmax(b.dense(b.mean(g), [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    subject = subject_of(model, network, hints_for(network))
    unit, most = Fraction(1, 2**24), Fraction(255) * Fraction(2) ** exponent
    rounding = {
        name: Fraction(float(real(subject.derived.roundings[name]).max()))
        for name in ("silu", "sigmoid")
    }
    for name, least in (("silu", silu * unit * most), ("sigmoid", sigmoid * unit)):
        assert least <= rounding[name] <= least * Fraction(1001, 1000) + Fraction(1, 2**98)
    assault(subject, 0)


def test_softmax_of_more_classes_than_its_rule_covers(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 1, 1)), "mul", np.float32(2.0**-8))
    b.softmax(b.dense(x, np.zeros((2**14 + 1, 1))))
    with pytest.raises(Rejected, match=r"rule model\.output.*too many classes"):
        derive(built(b, tmp_path)[0], NO_HINTS)
