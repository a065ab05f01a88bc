"""The checker's tables of fields and operators, beside those of the ONNX library."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import defs

from lastbit_check.files.operators import OPSETS
from lastbit_check.files.protobuf import INT32, Field, Message
from lastbit_check.files.schema import MODEL
from lastbit_check.operators import FORMS, RULES

ALONE = {
    "Cast": {"round_mode"},  # of float8 only
    "Constant": {"sparse_value", "value_string", "value_strings"},
}
"""Attributes that are refused although ONNX has them."""


def messages() -> dict[str, tuple[Message, Any]]:
    """Every message that is read, with the library's descriptor of it."""
    found: dict[str, tuple[Message, Any]] = {}
    left: list[tuple[Message, Any]] = [(MODEL, onnx.ModelProto.DESCRIPTOR)]
    while left:
        ours, theirs = left.pop()
        found[ours.name] = (ours, theirs)
        for number, field in ours.fields.items():
            if isinstance(field.kind, Message) and field.kind.name not in found:
                left.append((field.kind, theirs.fields_by_number[number].message_type))
    return found


def kind_of(field: Field, theirs: Any) -> bool:
    """The kind is that of the library's field. Text attributes are bytes there."""
    if field.kind is float:
        return theirs.type == theirs.TYPE_FLOAT
    if field.kind is str:
        return theirs.type in (theirs.TYPE_STRING, theirs.TYPE_BYTES)
    if field.kind is bytes:
        return theirs.type == theirs.TYPE_BYTES
    if isinstance(field.kind, range):
        small = theirs.type == theirs.TYPE_INT32
        whole = (theirs.TYPE_INT32, theirs.TYPE_INT64, theirs.TYPE_ENUM)
        held = field.kind[0] in INT32 and field.kind[-1] in INT32
        return theirs.type in whole and (held or not small)
    return theirs.message_type is not None


@pytest.mark.parametrize("name", messages())
def test_fields_are_those_of_the_library(name: str) -> None:
    ours, theirs = messages()[name]
    assert theirs.full_name.endswith(name)
    assert {*theirs.fields_by_number} <= {*ours.fields}, "ONNX has fields that are new"
    for number, other in theirs.fields_by_number.items():
        field = ours.fields[number]
        assert field.name == other.name
        if field.kind is not None:
            assert field.many == other.is_repeated, field.name
            assert kind_of(field, other), field.name
    alone = {f.name for f in theirs.fields if f.containing_oneof is not None}
    read = {field.name for field in ours.fields.values() if field.kind is not None}
    assert alone & read <= {*ours.oneof} or len(alone & read) == 1


def test_every_rule_of_the_normal_form_has_a_row() -> None:
    assert RULES.keys() == FORMS.keys()


@pytest.mark.parametrize(
    ("op", "opset"), [(op, n) for op, forms in FORMS.items() for n in OPSETS if n >= min(forms)]
)
def test_attributes_and_operands_are_those_of_the_library(op: str, opset: int) -> None:
    form = FORMS[op][max(since for since in FORMS[op] if since <= opset)]
    schema = defs.get_schema(op, opset, "")
    assert {*form.attributes} <= {*schema.attributes}
    assert {*schema.attributes} - {*form.attributes} <= ALONE.get(op, set())
    assert schema.min_input <= form.least <= len(form.operands) <= schema.max_input
    later = [since for since in FORMS[op] if since > OPSETS[0]]
    assert all(defs.get_schema(op, since, "").since_version == since for since in later)


VALUES: dict[Any, list[Any]] = {
    defs.OpSchema.AttrType.INT: [1],
    defs.OpSchema.AttrType.FLOAT: [0.5],
    defs.OpSchema.AttrType.INTS: [[1, 1], [2, 3], [1, 1, 1, 1]],
    defs.OpSchema.AttrType.FLOATS: [[0.5]],
    defs.OpSchema.AttrType.STRING: ["NOTSET", "constant", "DCR", "none"],
}


@pytest.mark.parametrize("op", FORMS)
def test_attributes_are_of_the_library_s_type(op: str) -> None:
    for since, form in FORMS[op].items():
        schema = defs.get_schema(op, since, "")
        for name, legal in form.attributes.items():
            own = schema.attributes[name].type
            if own == defs.OpSchema.AttrType.TENSOR:
                continue
            assert any(legal(value) for value in VALUES[own]), name
            others = [v for kind, values in VALUES.items() if kind != own for v in values]
            assert not any(legal(value) for value in others), name
