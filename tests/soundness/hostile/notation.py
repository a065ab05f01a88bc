"""Certificates that two readers of JSON understand differently."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lastbit_check.certificate import load
from soundness.rejected.cases import case
from soundness.small import Fields, certified, fields_of

Change = Callable[[Fields, str], str]


def text(rule: str, name: str, change: Change) -> None:
    """The text of a certificate, changed; its digest is that of what it said before."""

    def run(folder: Path) -> None:
        fields = fields_of(certified(folder))
        path = folder / "certificate.json"
        path.write_text(change(fields, json.dumps(fields)), "utf-8")
        load(path)

    run.__name__ = name
    case(rule)(run)


def put(field: str, value: str) -> Change:
    """A field with another value, as it stands in the file."""
    return lambda fields, _: json.dumps({**fields, field: "HERE"}).replace('"HERE"', value)


text("certificate.names", "a_field_twice", lambda _, t: t[:-1] + ', "claim": {}}')
text(
    "certificate.names",
    "a_field_twice_in_other_letters",
    lambda _, t: t[:-1] + ', "cl\\u0061im": {}}',
)
text("certificate.names", "a_name_twice_inside", put("witness", '{"a": 1, "a": 2}'))
text("certificate.number", "not_a_number", put("witness", '{"lower": NaN}'))
text("certificate.number", "an_infinity", put("witness", '{"lower": Infinity}'))
text("certificate.number", "a_negative_infinity", put("witness", '{"lower": -Infinity}'))
text("certificate.number", "a_number_too_large_for_a_float", put("witness", '{"lower": 1e999}'))
text("certificate.number", "a_decimal_fraction", put("witness", '{"lower": 0.1}'))
text("certificate.number", "an_integer_that_is_a_power_of_ten", put("witness", '{"class": 1e1}'))
text(
    "certificate.number",
    "an_integer_that_a_float_does_not_hold",
    put("slopes", '{"a": [9007199254740993]}'),
)
text("certificate.number", "a_long_integer", put("slopes", f'{{"a": [{10**400}]}}'))
text("certificate.number", "minus_0", put("slopes", '{"a": [-0]}'))
text("certificate.text", "half_of_a_surrogate_pair", put("boxes", '["\\ud800"]'))
text("certificate.text", "halves_in_the_wrong_order", put("witness", '{"a": "\\udc00\\ud800"}'))
text("certificate.text", "half_of_a_surrogate_pair_in_a_name", put("witness", '{"\\ud800": 1}'))
text(
    "certificate.fields",
    "a_negative_zero",
    lambda fields, _: json.dumps({**fields, "claim": {**fields["claim"], "logits": "-0x0.0p+0"}}),
)
