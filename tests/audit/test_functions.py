"""Elementary functions: the reference is rigorous, and nothing that breaks an assumption passes."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from mpmath import erf, erfc, iv, mpf, sqrt, workprec

from lastbit.audit import functions as listing
from lastbit.audit.assumptions import ETA, Judge, Peak, Tally, allowed, assumption, units
from lastbit.audit.exhaustive import (
    CHUNK,
    SEGMENT,
    at_special_values,
    exhaustive,
    sample,
    sampled,
)
from lastbit.audit.functions import Implementation, implementations
from lastbit.audit.reference import (
    EXP_ULPS,
    FUNCTIONS,
    NORMAL,
    FunctionName,
    largest_exp_error,
    largest_log_error,
    largest_normal_error,
    reference,
    special_points,
)
from lastbit.float32 import correctly_rounded_sigmoid
from lastbit.graph import Float32Array
from lastbit_check.derive.conclude import EXP_ERROR
from lastbit_check.operators import elu, gelu, gelu_tanh, hard, soft, tanh
from lastbit_check.operators.curves import (
    AT_ZERO,
    ERROR_AT_ZERO,
    NEAR_ZERO,
    SIGMOID_ERROR,
    SILU_ERROR,
)

U = 2.0**-24
AT_ZERO_IS = {"sigmoid": "0.5", "hardsigmoid": "0.5", "exp": "1.0", "softplus": "0.6931472"}
HARD_SIGMOID, HARD_SWISH = (cast("Any", hard.KINDS[name]) for name in ("hardsigmoid", "hardswish"))


def enclosed(function: FunctionName, z: float) -> tuple[Any, Any]:
    """The true value by interval arithmetic of 400 bits."""
    iv.prec = 400
    x: Any = iv.mpf(z)  # pyright: ignore[reportArgumentType]
    if function.startswith("hard"):
        value: Any = (x + 3) / 6 if -3 < z < 3 else iv.mpf(0 if z < 0 else 1)
        value = x * value if function == "hardswish" else value
        return value.a, value.b
    if function == "elu":
        value = x if z >= 0 else cast("Any", iv.exp(x)) - 1
        return value.a, value.b
    if function == "softsign":
        value = x / (1 + abs(x))
        return value.a, value.b
    if function == "softplus":
        power: Any = iv.exp(-abs(x))
        value = (x if z > 0 else 0) + cast("Any", iv).log(1 + power)
        if z < -200:  # p - p^2 <= ln(1 + p) <= p
            value = power * iv.mpf([1 - mpf(2) ** -200, 1])  # pyright: ignore[reportArgumentType]
        return value.a, value.b
    if function == "mish":
        power = iv.exp(-abs(x))
        above = (1 + 2 * power) / (1 + 2 * power + 2 * power**2)
        value = x * (above if z > 0 else power * (power + 2) / (power * (power + 2) + 2))
        return value.a, value.b
    if function == "gelutanh":
        inner = (
            2
            * cast("Any", iv).sqrt(2 / cast("Any", iv.pi))
            * (x + cast("Any", iv.mpf(44715)) / 10**6 * x**3)
        )
        power = iv.exp(-abs(inner))
        value = x * (1 if z > 0 else power) / (1 + power)
        return value.a, value.b
    if function == "tanh":
        value = 1 - 2 / (1 + cast("Any", iv.exp(2 * x)))
        return value.a, value.b
    if function in ("erf", "gelu"):
        with workprec(400):
            w: Any = mpf(z)
            found = erf(w) if function == "erf" else w * erfc(-w / sqrt(2)) / 2
        return found, found
    if function == "exp":
        value = iv.exp(x)
    elif z >= 0:
        value = 1 / (1 + cast("Any", iv.exp(-x)))
    else:  # without a quotient of two large numbers
        value = cast("Any", iv.exp(x)) / (1 + cast("Any", iv.exp(x)))
    value = x * value if function == "silu" else value
    return value.a, value.b


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.first_is_quick
def test_the_reference_is_as_near_the_truth_as_it_says(function: FunctionName) -> None:
    random = np.random.default_rng(1)
    special = special_points()
    points = random.choice(special[np.isfinite(special)], 1500)
    points = np.concatenate([points, random.uniform(-110, 90, 500).astype(np.float32)])
    if function == "exp":
        points = points[points <= 0]
    found = reference(function, points)
    for z, value, error in zip(points.tolist(), found.value.tolist(), found.error, strict=True):
        low, high = enclosed(function, z)
        assert max(abs(high - mpf(value)), abs(mpf(value) - low)) <= mpf(float(error)), z


def test_what_is_assumed_of_the_float64_exp_holds_with_room() -> None:
    assert 0.4 < largest_exp_error(300) < EXP_ULPS / 2


def test_what_is_assumed_of_the_float64_normal_distribution_holds_with_room() -> None:
    assert 2.0**-54 < largest_normal_error() < NORMAL / 8


def test_what_is_assumed_of_the_float64_logarithm_holds_with_room() -> None:
    assert 2.0**-56 < largest_log_error(300) < NORMAL / 8


def test_a_worse_float64_exp_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = np.exp
    monkeypatch.setattr(np, "exp", lambda x: exp(x) * (1 + 2.0**-49))
    assert largest_exp_error(100) > EXP_ULPS


def test_the_names_and_the_numbers_are_those_of_the_checker() -> None:
    rest = 1 / ERROR_AT_ZERO
    numbers = f"{SIGMOID_ERROR}u-{SIGMOID_ERROR / 2}u-u/{rest}"
    assert assumption("sigmoid") == f"sigmoid-absolute-{numbers}"
    numbers = f"{SILU_ERROR}u|z|-{SILU_ERROR / 2}u|z|-u|z|/{rest}"
    assert assumption("silu") == f"silu-absolute-{numbers}"
    assert assumption("exp") == f"exp-relative-2^-{EXP_ERROR.denominator.bit_length() - 1}"
    assert assumption("hardsigmoid") == f"hardsigmoid-absolute-{HARD_SIGMOID.error}u"
    assert assumption("hardswish") == f"hardswish-absolute-{HARD_SWISH.error}u|z|"
    assert assumption("erf") == f"erf-absolute-{gelu.ERF_ERROR}u"
    assert assumption("gelu") == f"gelu-absolute-{gelu.PLAIN.error}u|z|"
    assert assumption("gelutanh") == f"gelutanh-absolute-{gelu_tanh.ERROR}u|z|"
    assert assumption("elu") == f"elu-absolute-{elu.ERROR}u|ga|"
    softplus, softsign, mish = (soft.KINDS[name] for name in ("softplus", "softsign", "mish"))
    assert assumption("softplus") == f"softplus-absolute-{softplus.error}u-{softplus.also}u|z|"
    assert assumption("softsign") == f"softsign-relative-{softsign.error}u"
    assert assumption("mish") == f"mish-absolute-{mish.error}u|z|"
    assert units("softplus", near=False) == (4, "u + 2u|z|")
    assert assumption("tanh") == f"tanh-relative-{tanh.KINDS['tanh'].error}u"
    assert units("hardswish", near=True) == units("hardswish", near=False) == (6, "u|z|")
    assert units("sigmoid", near=False) == (SIGMOID_ERROR, "u")
    assert units("silu", near=True) == (SILU_ERROR / 2, "u|z|")
    assert Fraction(units("exp", near=False)[0]) / 2**24 == EXP_ERROR


def test_what_is_allowed_is_the_assumption_never_more() -> None:
    z = np.array([-3.0, -(2.0**-7), -(2.0**-140)])
    for function in FUNCTIONS:
        for near in (False, True):
            true = reference(function, z)
            got = allowed(function, z, true, near=near)
            for k, argument in enumerate(z.tolist()):
                rate = Fraction(units(function, near=near)[0]) / 2**24
                if near and function in ("sigmoid", "silu") and abs(argument) <= AT_ZERO:
                    rate = ERROR_AT_ZERO / 2**24
                value = Fraction(float(true.value[k]))
                stated = {
                    "sigmoid": rate,
                    "silu": rate * abs(Fraction(argument)) + Fraction(ETA),
                    "hardsigmoid": rate,
                    "hardswish": rate * abs(Fraction(argument)) + Fraction(ETA),
                    "erf": rate,
                    "gelu": rate * abs(Fraction(argument)) + Fraction(ETA),
                    "tanh": rate * abs(value) + Fraction(ETA),
                    "gelutanh": rate * abs(Fraction(argument)) + Fraction(ETA),
                    "elu": rate,
                    "softplus": rate + 2 * abs(Fraction(argument)) / 2**24,
                    "softsign": rate * abs(value) + Fraction(ETA),
                    "mish": rate * abs(Fraction(argument)) + Fraction(ETA),
                    "exp": rate * value + Fraction(ETA),
                }[function]
                assert stated * (1 - Fraction(1, 2**30)) < Fraction(float(got[k])) < stated


def off_by(function: FunctionName, z: Float32Array, error: np.ndarray | float) -> Tally:
    """The tally of results that are the true values plus `error`, as float32."""
    y = (reference(function, z).value + error).astype(np.float32)
    return Judge(function, z).tally(y)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_assumptions_end_where_they_say(sign: int) -> None:
    z = np.array([-3.0, -9.5, -20.0], np.float32)
    assert off_by("sigmoid", z, sign * 3.9 * U).meets
    assert not off_by("sigmoid", z, sign * 4.1 * U).meets
    assert off_by("silu", z, sign * 5.9 * U * np.abs(z)).meets
    assert not off_by("silu", z, sign * 6.1 * U * np.abs(z)).meets
    assert off_by("exp", z, sign * 14.9 * U * np.exp(z.astype(float))).meets
    assert not off_by("exp", z, sign * 17.1 * U * np.exp(z.astype(float))).meets
    assert off_by("erf", z, sign * 18.9 * U).meets
    assert not off_by("erf", z, sign * 21.1 * U).meets
    assert off_by("gelu", z, sign * 15.4 * U * np.abs(z)).meets
    assert not off_by("gelu", z, sign * 16.6 * U * np.abs(z)).meets
    assert off_by("gelutanh", z, sign * 11.4 * U * np.abs(z)).meets
    assert not off_by("gelutanh", z, sign * 12.6 * U * np.abs(z)).meets
    assert off_by("mish", z, sign * 11.4 * U * np.abs(z)).meets
    assert not off_by("mish", z, sign * 12.6 * U * np.abs(z)).meets
    assert off_by("elu", z, sign * 2.9 * U).meets
    assert not off_by("elu", z, sign * 5.1 * U).meets
    assert off_by("softplus", z, sign * (3.9 + 2 * np.abs(z)) * U).meets
    assert not off_by("softplus", z, sign * (4.2 + 2 * np.abs(z)) * U).meets
    true = np.abs(reference("softsign", z).value)
    assert off_by("softsign", z, sign * 2.9 * U * true).meets
    assert not off_by("softsign", z, sign * 5.1 * U * true).meets
    for z in (np.array([-9.5, 0.75], np.float32), np.array([-(2.0**-9), 2.0**-70], np.float32)):
        true = np.abs(reference("tanh", z).value)
        assert off_by("tanh", z, sign * 10.9 * U * true).meets
        assert not off_by("tanh", z, sign * 13.1 * U * true).meets
    z = np.array([-9.5, -2.0, -0.001, 0.25, 2.5], np.float32)
    assert off_by("hardsigmoid", z, sign * 3.4 * U).meets
    assert not off_by("hardsigmoid", z, sign * 4.6 * U).meets
    assert off_by("hardswish", z, sign * 5.4 * U * np.abs(z)).meets
    assert not off_by("hardswish", z, sign * 6.6 * U * np.abs(z)).meets


def test_at_zero_a_half_is_assumed() -> None:
    """1/2 and z/2 meet the assumption where |z| <= 2^-27; their neighbours in float32 do not."""
    z = np.array([AT_ZERO, -AT_ZERO, AT_ZERO / 8, 2.0**-149, 0.0], np.float32)
    half = np.full(z.shape, 0.5, np.float32)
    assert Judge("sigmoid", z).tally(half).meets
    below = np.full(z.shape, 0.5 - 2.0**-25, np.float32)
    assert not Judge("sigmoid", z).tally(below).meets
    assert Judge("silu", z).tally((z / 2).astype(np.float32)).meets
    assert (
        not Judge("silu", z[:3])
        .tally((z[:3] * np.float32(0.5 + 2.0**-22)).astype(np.float32))
        .meets
    )


def test_near_zero_half_of_it_is_assumed() -> None:
    edge = np.float32(NEAR_ZERO)
    inside = np.array([-edge, edge / 4], np.float32)
    beyond = np.array([-np.nextafter(edge, np.float32(1))], np.float32)
    for z, limit in ((inside, 2.0), (beyond, 4.0)):
        assert off_by("sigmoid", z, (limit - 0.5) * U).meets
        assert not off_by("sigmoid", z, (limit + 0.6) * U).meets
    assert off_by("silu", inside, 2.4 * U * np.abs(inside)).meets
    assert not off_by("silu", inside, 3.6 * U * np.abs(inside)).meets
    tally = off_by("sigmoid", np.concatenate([inside, beyond]), 2.5 * U)
    assert tally.near.value > 1 > tally.far.value
    assert tally.near.at in inside
    assert tally.far.at == beyond[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_result_that_is_no_number_breaks_the_assumption(bad: float) -> None:
    z = np.array([-2.0, -1.0, -0.5], np.float32)
    for function in FUNCTIONS:
        y = reference(function, z).value.astype(np.float32)
        assert Judge(function, z).tally(y).meets
        y[1] = bad
        tally = Judge(function, z).tally(y)
        assert not tally.meets
        assert tally.far == Peak(math.inf, -1.0)


def test_infinities_and_nan_are_not_judged_but_a_lost_nan_is_counted() -> None:
    z = np.array([np.nan, np.nan, np.inf, -np.inf, -1.0], np.float32)
    y = reference("sigmoid", z).value.astype(np.float32)
    y[0] = 0.25
    tally = Judge("sigmoid", z).tally(y)
    assert (tally.count, tally.nan_lost, tally.meets) == (1, 1, True)


def test_saturation_is_where_the_function_ends() -> None:
    z = np.array([-30, -20, -10, 10, 20, 30], np.float32)
    y = np.array([0, 0, 4.5e-5, 0.99995, 1, 1], np.float32)
    tally = Judge("sigmoid", z).tally(y)
    assert (tally.zero, tally.top) == (-20, 20)


def test_an_error_counts_in_units_of_the_last_place() -> None:
    z = np.array([-1.0], np.float32)  # sigmoid is 0.2689, in [2^-2, 2^-1): an ulp is 2^-25
    exact = correctly_rounded_sigmoid(z)
    tally = Judge("sigmoid", z).tally(exact + np.float32(3 * 2.0**-25))
    assert 2.5 < tally.ulps.value < 3.5


def test_a_tally_survives_being_written() -> None:
    tally = off_by("sigmoid", np.array([-3.0, 0.0], np.float32), 3 * U)
    assert Tally.from_json(tally.to_json()) == tally
    assert Tally.from_json(Tally().to_json()) == Tally()
    assert not Tally().meets


# ---- the sweep -------------------------------------------------------------------------------


def one(call, function: FunctionName = "sigmoid", memory: str = "contiguous") -> Implementation:
    return Implementation("ours", function, memory, call)  # type: ignore[arg-type]


def test_a_sample_holds_the_special_points_and_every_range() -> None:
    points = sample(10)
    bits = points.view(np.uint32)
    assert {0, 0x80000000, 0x7F800000, 0xFF800000, 0x00000001, 0x807FFFFF} <= set(bits.tolist())
    assert np.isnan(points).any()
    assert len(set((bits[-1024:] >> 22).tolist())) == 1024
    assert np.array_equal(bits, sample(10).view(np.uint32))


@pytest.mark.parametrize("pattern", [0, 5, SEGMENT - 1, SEGMENT, SEGMENT + CHUNK, 2 * SEGMENT - 1])
def test_one_wrong_number_among_millions_is_found(tmp_path: Path, pattern: int) -> None:
    def wrong(z: Float32Array) -> Float32Array:
        y = correctly_rounded_sigmoid(z)
        return np.where(z.view(np.uint32) == pattern, np.float32(0.75), y)

    sweep = exhaustive([one(wrong)], tmp_path / "state", patterns=2 * SEGMENT)
    (tally,) = sweep.tallies.values()
    assert not tally.meets
    assert np.float32(tally.near.at).view(np.uint32) == pattern
    assert tally.count == 2 * SEGMENT


def test_an_interrupted_sweep_goes_on_to_the_same_end(tmp_path: Path) -> None:
    listed = [one(correctly_rounded_sigmoid), one(correctly_rounded_sigmoid, memory="short")]
    at_once = exhaustive(listed, tmp_path / "a", patterns=3 * SEGMENT, short_bits=4)
    visited: list[int] = []

    def interrupt(stage: str, done: int, total: int) -> None:
        visited.append(done)
        if len(visited) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exhaustive(listed, tmp_path / "b", patterns=3 * SEGMENT, short_bits=4, progress=interrupt)
    resumed = exhaustive(
        listed, tmp_path / "b", patterns=3 * SEGMENT, short_bits=4, progress=interrupt
    )
    assert visited == [0, 1, 2, 2, 3]
    assert resumed.tallies == at_once.tallies


def test_a_state_of_another_sweep_or_a_broken_one_is_not_used(tmp_path: Path) -> None:
    state = tmp_path / "state"
    exhaustive([one(correctly_rounded_sigmoid)], state, patterns=SEGMENT)
    stored = state.read_bytes()
    for content in (stored, stored[:100], b"[]", b'{"identity": 3}', b""):
        state.write_bytes(content)
        done: list[int] = []

        def watch(stage: str, done: int, total: int, seen: list[int] = done) -> None:
            seen.append(done)

        exhaustive([one(lambda z: z)], state, patterns=2 * SEGMENT, progress=watch)
        assert done == [0, 1, 2]


# ---- the runtimes ----------------------------------------------------------------------------


@pytest.mark.slow
def test_every_runtime_meets_the_assumptions_on_a_sample() -> None:
    listed, _ = implementations(compiled=False)
    sweep = sampled(listed, bits=10)
    assert {i.runtime.split()[0] for i in listed} >= {"lastbit-reference", "onnxruntime", "torch"}
    assert len(sweep.tallies) == len(listed) >= 30
    for key, tally in sweep.tallies.items():
        assert tally.meets, key
        assert tally.count > 7_000, key


def test_special_values_come_out_as_they_must() -> None:
    listed, _ = implementations(compiled=False)
    for (_, function), values in at_special_values(listed).items():
        at_minus_zero, at_zero = values[1], values[2]
        assert at_minus_zero.lstrip("-") == at_zero == AT_ZERO_IS.get(function, "0.0")
        assert values[-1] == "nan"


def test_short_and_strided_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def spy(z: Float32Array) -> Float32Array:
        seen.append((len(z), z.strides[0]))
        return z.copy()

    monkeypatch.setattr(listing, "correctly_rounded_sigmoid", spy)
    listed = [i for i in implementations(compiled=False)[0] if i.runtime.startswith("lastbit")]
    z = np.arange(400, dtype=np.float32)
    for memory, lengths, stride in (
        ("contiguous", {400}, 4),
        ("strided", {400}, 8),
        ("short", {*range(1, 18), 31}, 4),
    ):
        seen.clear()
        (i,) = (i for i in listed if (i.function, i.memory) == ("sigmoid", memory))
        assert np.array_equal(i.call(z), z)
        assert {length for length, _ in seen} - {400 - sum(range(1, 18)) - 31} >= lengths - {400}
        assert {step for _, step in seen} == {stride}


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.importlib.util, "find_spec", lambda name: None)
    listed, missing = implementations(compiled=True)
    assert {i.runtime.split()[0] for i in listed} == {"lastbit-reference", "onnxruntime"}
    assert "extra `train`" in missing["torch"]
    assert "extra `jax`" in missing["jax"]


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr(listing, "compiler_problem", listing.compiler_problem.__wrapped__)
    _, missing = implementations(compiled=True)
    (reason,) = (why for name, why in missing.items() if name.endswith("compiled"))
    assert reason.endswith("it needs a C++ compiler): No working C++ compiler found")


def test_jax_is_held_to_the_assumptions_too() -> None:
    pytest.importorskip("jax")
    listed = [i for i in implementations(compiled=False)[0] if i.runtime.startswith("jax")]
    tallies = sampled([i for i in listed if i.memory == "contiguous"], bits=12).tallies
    assert len(tallies) == len(FUNCTIONS)
    assert all(tally.meets for tally in tallies.values())
