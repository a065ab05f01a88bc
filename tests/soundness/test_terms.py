"""For each term of the bound a network that needs it: without the term, an execution is outside."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit.hints.breakdown import divided
from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.derive.ledger import difference
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM
from lastbit_check.verdict import Rejected
from soundness.attacks import flipped
from soundness.exactly import real
from soundness.harness import Subject, assault, built, subject_of
from soundness.programs import off_exp

NO_HINTS = Hints({})
WHITE = np.full((1, 4, 4), 255, np.uint8)
BLACK = np.zeros((1, 4, 4), np.uint8)


@pytest.mark.parametrize("exponent", [-126, -130, -140])
@pytest.mark.parametrize("factors", [(), (-20, -20)])
def test_underflow(tmp_path: Path, exponent: int, factors: tuple[int, ...]) -> None:
    """Values, weights and folded constants that flush-to-zero takes away.

    What is folded may be so small as well; a factor so small by itself is refused.
    """
    b = OnnxBuilder()
    x = b.input_bytes((1, 4, 4))
    for factor in factors:
        x = b.affine(x, "mul", np.float32(2.0**factor))
    x = b.conv(x, np.full((1, 1, 1, 1), 2.0 ** (exponent - sum(factors))), name="tiny")
    x = b.conv(x, np.full((2, 1, 2, 2), 1.5 * 2.0**-3), name="sums")
    b.softmax(b.dense(b.mean(x), [[2.0**100, 0.0], [0.0, -(2.0**100)]]))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    for byte in range(1, 256, 26):
        for flush in (False, True):
            for way in ({}, {"seed": byte}):
                image = np.full((1, 4, 4), byte, np.uint8)
                values = subject.run(image, {"flush_to_zero": flush, **way})
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
        subject.check_values(subject.run(image, {}))
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
        for form in ("centred", "scaled"):
            subject.check_values(subject.run(image, {"batch_norm_form": form}))
        for seed in range(4):
            subject.check_values(subject.run(image, {"seed": seed}))
    assault(subject, 0)


def test_the_error_of_softmax(tmp_path: Path) -> None:
    """Constant logits: only the two machines' exponentials differ."""
    b = OnnxBuilder()
    x = b.mean(b.input_bytes((1, 4, 4)))
    b.softmax(b.dense(x, np.zeros((4, 1)), np.zeros(4)))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    first, other = (subject.run(WHITE, {"exp": off_exp(r)}) for r in (1.0, -1.0))
    change = np.max(np.abs(first["probabilities"] - other["probabilities"]))
    for executions in EXECUTIONS:
        assert 0 < change <= float(subject.upper(executions)) < 1e-4
        subject.check_pair(first, other, 0, executions)


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
    for moves in subject.derivation.moves.values():
        assert moves["c"].error.n.shape[3] == moves["s"].error.n.shape[3] == 1
    for aspect in EXECUTIONS:
        assert subject.first[aspect]["c"].error.n.shape[3] == 14 * 14
    image = np.full((1, 14, 14), 254, np.uint8)
    for way in ({}, {"seed": 0}):
        values = subject.run(image, way)
        for pixel in range(196):
            others = subject.run(flipped(image, pixel), way)
            for executions in EXECUTIONS:
                subject.check_pair(values, others, pixel, executions)
                for name, bound in subject.first[executions].items():
                    change = np.abs(values[name] - others[name])
                    assert np.all(change <= real(bound.radius)[..., pixel])


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
    subject = subject_of(model, network, hints_for(network))
    for executions in EXECUTIONS:
        *pair, place = subject.derived.claims[executions].worst
        nodes = divided(subject.derived, executions).nodes
        for name in ("c", "s", "m"):
            dual = difference(subject.derivation.frame.duals[name], pair)
            rho = subject.noise(name) * (executions == ANY_TWO or subject.reached(name, place))
            least = 2 * exact_product(np.abs(dual.n), rho) / Fraction(2) ** dual.e
            assert least <= nodes[name]["rounding"] <= least * Fraction(1001, 1000)
    assert not subject.reached("c", subject.derived.claims[SAME_PROGRAM].worst[2]).all()


def exact_product(a: np.ndarray, b: np.ndarray) -> Fraction:
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return sum((Fraction(x) * Fraction(y) for x, y in pairs), Fraction(0))


def test_all_parts_are_in_the_bound(tmp_path: Path) -> None:
    """upper is the sum of its parts, and the logits' bound that of what the nodes add to it."""
    rng = np.random.default_rng(2)
    b = OnnxBuilder()
    x = b.silu(b.conv(b.div(b.input_bytes((1, 5, 5)), 255), rng.normal(size=(3, 1, 3, 3))))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 3))))
    model, network = built(b, tmp_path)
    subject = subject_of(model, network)
    for executions in EXECUTIONS:
        division = divided(subject.derived, executions)
        upper, logits = subject.upper(executions), subject.logits(executions)
        assert abs(sum(division.parts.values()) - upper) < Fraction(1, 2**60)
        listed = {name: sum(entries.values()) for name, entries in division.nodes.items()}
        everything, pixel = sum(listed.values()), listed[network.nodes[0].name]
        assert 0 < everything - pixel < logits


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
        check_both(subject, np.full((1, 1, 1), byte, np.uint8))
    for executions in EXECUTIONS:
        assert divided(subject.derived, executions).nodes["c"]["remainder"] >= Fraction(2)


def check_both(subject: Subject, image: np.ndarray, place: int = 0) -> None:
    """A pair of images, run by one program, as written and rewritten."""
    for way in ({}, {"seed": 0}):
        pair = [subject.run(v, way) for v in (image, flipped(image, place))]
        for executions in EXECUTIONS:
            subject.check_pair(pair[0], pair[1], place, executions)


def test_silu_steeper_than_one(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.silu(b.affine(b.input_bytes((1, 1, 1)), "mul", np.float32(0.01)))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    subject = subject_of(*built(b, tmp_path), hints=NO_HINTS)
    check_both(subject, np.full((1, 1, 1), 240, np.uint8))


def test_two_logits_that_move_apart(tmp_path: Path) -> None:
    """Their difference moves by the distance of their rows: no less will do."""
    b = OnnxBuilder()
    b.softmax(b.dense(b.affine(b.input_bytes((1, 1, 1)), "mul", 0.25), [[1.0], [-1.0]]))
    model, network = built(b, tmp_path)
    subject = subject_of(model, network, hints=NO_HINTS)
    check_both(subject, np.full((1, 1, 1), 128, np.uint8))
    assert subject.norms is not None
    for most, pair in subject.norms.worst.values():
        assert Fraction(1, 2) <= most < Fraction(51, 100)
        assert pair == (0, 1)


def test_a_boxed_node_changes_by_its_width_at_most(tmp_path: Path) -> None:
    """A step: sigmoid of something steep. Its slope allows 5e4, its interval 1: it is reached."""
    b = OnnxBuilder()
    x = b.affine(
        b.affine(b.input_bytes((1, 1, 1)), "sub", np.float32(126.5)), "mul", np.float32(2e5)
    )
    b.softmax(b.dense(b.sigmoid(x, name="step"), [[1.0], [-1.0]]))
    hints = Hints({}, boxes=frozenset({"step"}))
    subject = subject_of(*built(b, tmp_path), hints=hints)
    first, other = (subject.run(np.full((1, 1, 1), byte, np.uint8), {}) for byte in (126, 127))
    assert float(np.abs(first["step"] - other["step"]).max()) == 1
    for executions in EXECUTIONS:
        subject.check_pair(first, other, 0, executions)
        moves = subject.derivation.moves[executions]["step"].radius
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
            subject.check_values(subject.run(image.astype(np.uint8), {}))
        low, high = (real(v).reshape(-1)[0] for v in subject.derivation.values["g"].interval)
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
    rounding = {name: Fraction(float(subject.noise(name).max())) for name in ("silu", "sigmoid")}
    for name, least in (("silu", silu * unit * most), ("sigmoid", sigmoid * unit)):
        assert least <= rounding[name] <= least * Fraction(1001, 1000) + Fraction(1, 2**98)
    assault(subject, 0)


def test_softmax_of_more_classes_than_its_rule_covers(tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 1, 1)), "mul", np.float32(2.0**-8))
    b.softmax(b.dense(x, np.zeros((2**14 + 1, 1))))
    with pytest.raises(Rejected, match=r"rule model\.output.*too many classes"):
        proved(built(b, tmp_path)[0], LAST_BIT, NO_HINTS)
