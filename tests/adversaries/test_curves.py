"""What sigmoid and SiLU are charged near 0: a hostile sigmoid stays within it, and needs it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from adversaries import curves
from adversaries.shown import Show
from lastbit_check.operators import KINDS, curves as rules

LEAST = {
    ("everywhere", "sigmoid"): 0.99,
    ("everywhere", "silu"): 0.8,
    ("|z| <= 2^-6", "sigmoid"): 0.99,
    ("|z| <= 2^-6", "silu"): 0.8,
    ("|z| <= 2^-27", "sigmoid"): 0.49,
    ("|z| <= 2^-27", "silu"): 0.49,
}


@pytest.mark.parametrize("zone", curves.ZONES)
def test_a_hostile_sigmoid_and_the_silu_made_from_it(zone: str, show: Show) -> None:
    """SiLU as two operators, the wrong sigmoid and a rounded product, is within its assumption."""
    for name, (share, z) in curves.shares(zone).items():
        assert LEAST[zone, name] <= share <= 1
        show(f"{name}, {zone}", share, f"z = {z:.6g}")


WEAKER: list[tuple[str, Fraction, str, str]] = [
    ("NEAR_ZERO", Fraction(1, 16), "everywhere", "sigmoid"),
    ("NEAR_ZERO", Fraction(1, 16), "everywhere", "silu"),
    ("AT_ZERO", Fraction(1, 2**20), "|z| <= 2^-6", "sigmoid"),
    ("AT_ZERO", Fraction(1, 2**20), "|z| <= 2^-6", "silu"),
    ("ERROR_AT_ZERO", Fraction(1, 64), "|z| <= 2^-27", "sigmoid"),
    ("ERROR_AT_ZERO", Fraction(1, 64), "|z| <= 2^-27", "silu"),
    ("error", Fraction(3), "everywhere", "sigmoid"),
    ("error", Fraction(4), "everywhere", "silu"),
]


@pytest.mark.parametrize(("name", "value", "zone", "function"), WEAKER)
def test_a_zone_too_wide_or_an_error_too_small_is_exceeded(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Fraction, zone: str, function: str
) -> None:
    if name == "error":
        kind = KINDS[function]
        assert isinstance(kind, rules.CurveKind)
        monkeypatch.setitem(KINDS, function, replace(kind, error=value))
    else:
        monkeypatch.setattr(rules, name, value)
    low, high = curves.ZONES[zone]
    if name in ("NEAR_ZERO", "AT_ZERO"):  # just beyond the right end of the zone
        monkeypatch.setitem(curves.ZONES, zone, (low, min(high, low * 3.9)))
    assert curves.shares(zone)[function][0] > 1


def test_a_correctly_rounded_sigmoid_is_half_where_it_is_assumed_to_be() -> None:
    """|z| / 4 is all that it misses at 2^-27, half of u / 16; from 2^-25 on it may be more."""
    for z in curves.candidates("|z| <= 2^-27", 1, 50):
        exact = curves.exact_sigmoid(z)
        assert float(exact) != 0.5 or abs(z) < 2.0**-52
        assert abs(exact - Fraction(1, 2)) <= Fraction(1, 2) * curves.allowed(z)


@pytest.mark.parametrize("function", ["silu", "sigmoid"])
@pytest.mark.parametrize("boxed", [True, False])
def test_the_errors_of_two_runs_differ_by_no_more_than_is_said(
    function: str, boxed: bool, show: Show
) -> None:
    shares = [
        curves.worst_apart(function, pair, k, boxed=boxed) for k, pair in enumerate(curves.PAIRS)
    ]
    assert max(shares) <= 1
    assert not boxed or max(shares) > 0.5
    show(f"{function}, errors of two runs", max(shares), "boxed" if boxed else "around a line")


@pytest.mark.parametrize("function", ["silu", "sigmoid"])
def test_without_what_the_move_turns_it_is_exceeded(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """What both runs are off by is felt as far as their slopes differ."""
    kind = KINDS[function]
    assert isinstance(kind, rules.CurveKind) and kind.turn is not None
    monkeypatch.setitem(KINDS, function, replace(kind, turn=kind.turn + 3))
    assert max(curves.worst_apart(function, pair, k) for k, pair in enumerate(curves.PAIRS)) > 1
