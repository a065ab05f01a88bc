"""Numbers as people see them: what is shortened stays true, and all bits are there."""

import re
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from lastbit.report.numbers import number, shortened

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.integers(1, 17))
def test_shortened_numbers_stay_true(value: float, digits: int) -> None:
    exact, ulp = Fraction(value), Fraction(10) ** (1 - digits)
    up, down = (Fraction(shortened(value, way, digits)) for way in ("up", "down"))
    assert down <= exact <= up
    assert up - down <= abs(exact) * ulp * 10
    assert abs(Fraction(shortened(value, "", digits)) - exact) <= abs(exact) * ulp


@given(FINITE)
def test_an_element_has_all_bits(value: float) -> None:
    found = re.fullmatch(r'<data value="(.*)" title="(.*)">(.*)</data>', number(value))
    assert found is not None
    assert float.fromhex(found[1]) == float(found[2]) == value


@pytest.mark.parametrize(
    ("value", "way", "text"),
    [
        (0.2528579, "up", "0.252858"), (0.2528571, "up", "0.252858"),
        (0.2528579, "down", "0.252857"),
        (1.0, "up", "1"), (0.0, "", "0"), (123456.5, "up", "123457"), (1234567.0, "", "1234570"),
        (1.5e-7, "", "1.5e-7"), (4.487e15, "up", "4.487e+15"),
        (float("inf"), "up", "too large for float64"),
    ],
)  # fmt: skip
def test_examples(value: float, way: str, text: str) -> None:
    assert shortened(value, way) == text


def test_what_is_not_known_is_said() -> None:
    assert "not known" in number(None)
    assert 'value="0x0.0p+0"' in number(-0.0)
