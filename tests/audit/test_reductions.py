"""A runtime makes one reduction of two: the normal form has it, or its bound would be exceeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lastbit.audit.structure.hlo_graph import traced_hlo
from lastbit.audit.structure.hlo_text import parsed
from lastbit.audit.structure.tracing import Tracing
from lastbit_check import reading
from lastbit_check.check import network_in
from lastbit_check.verdict import Rejected
from support.audited import Audited, audited
from support.written_in_jax import text_of

SIZE = 16
SMALL = np.float32(0.99 * 2.0**-24)


def totals(between: str = "", *, first: str = "ReduceSum") -> ModelProto:
    """relu(x / 255 + SMALL), its total along one axis, an operator on that, and its total again."""
    constants = {
        "255": np.float32(255),
        "small": SMALL,
        "across": np.array([3]),
        "down": np.array([2]),
        "factor": np.float32(1.5),
        "weights": np.array([[1, -1]], np.float32),
        "biases": np.zeros(2, np.float32),
    }
    node = helper.make_node
    reads = {"Concat": ["rows", "rows"], "Mul": ["rows", "factor"]}
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Div", ["float", "255"], ["grey"]),
        node("Add", ["grey", "small"], ["shifted"]),
        node("Relu", ["shifted"], ["terms"]),
        node("ReduceMean", ["terms"], ["rows"], axes=[3], keepdims=0)
        if first == "ReduceMean"
        else node("ReduceSum", ["terms", "across"], ["rows"], keepdims=0),
        *([node(between, reads[between], ["read"])] if between else []),
        node("ReduceSum", ["read" if between else "rows", "down"], ["total"], keepdims=0),
        node("Flatten", ["total"], ["flat"], axis=1),
        node("Gemm", ["flat", "weights", "biases"], ["logits"]),
        node("Softmax", ["logits"], ["p"], axis=1),
    ]
    for one in nodes:
        if one.op_type == "Concat":
            one.attribute.append(helper.make_attribute("axis", 2))
    used = {name for one in nodes for name in one.input}
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, SIZE, SIZE])
    output = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 2])
    given = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()
             if name in used]  # fmt: skip
    graph = helper.make_graph(nodes, "totals", [image], [output], given)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def unknown(found: Audited, model: ModelProto) -> list[str]:
    """What of a natural JAX program matches nothing."""
    tracing = Tracing(found.subject.structures.expected)
    traced_hlo(parsed(text_of(model, (3, 1, SIZE, SIZE))), tracing)
    return tracing.unknown


def one_reduction(model: ModelProto, folder: Path) -> float:
    """The share of an execution that adds all up from left to right, one large term first."""
    found = audited(model.SerializeToString(), folder)
    image = np.zeros((1, 1, SIZE, SIZE), np.uint8)
    image[0, 0, 0, 0] = 255
    terms = (image / 255).astype(np.float32) + SMALL
    total = np.add.accumulate(terms.ravel())[-1:]
    logits = total * np.array([[1, -1]], np.float32)
    p = np.exp(logits - total) / np.exp(logits - total).sum()
    values = {"terms": terms, "total": total, "logits": logits, "p": p}
    shapes = {node.name: node.shape for node in found.form.nodes}
    shown = {name: v.astype(np.float64).reshape(1, *shapes[name]) for name, v in values.items()}
    return found.findings(image, shown)["total"].share


def test_a_total_of_totals_is_one_sum(tmp_path: Path) -> None:
    form = audited(totals().SerializeToString(), tmp_path).form
    assert [node.name for node in form.nodes] == [
        "image",
        "shifted",
        "terms",
        "total",
        "logits",
        "p",
    ]
    what = form.by_name["total"].sum
    assert what is not None
    (part,) = what.parts
    assert part.source == "terms"
    assert part.weight.shape == (1, 1, SIZE**2, 1)


def test_with_a_factor_between_they_are_two(tmp_path: Path) -> None:
    form = audited(totals("Mul").SerializeToString(), tmp_path).form
    assert form.by_name["total"].inputs == ("read",)


@pytest.mark.parametrize(
    ("first", "between"),
    [
        ("ReduceSum", ""),
        ("ReduceSum", "Mul"),
        ("ReduceMean", ""),
    ],
)
def test_what_xla_makes_of_them_is_matched(tmp_path: Path, first: str, between: str) -> None:
    pytest.importorskip("jax")
    model = totals(between, first=first)
    assert unknown(audited(model.SerializeToString(), tmp_path), model) == []


def test_a_total_of_totals_put_side_by_side_is_refused() -> None:
    """XLA makes it the total of each, and of totals of totals one."""
    with pytest.raises(Rejected, match="put side by side") as caught:
        network_in(totals("Concat", first="ReduceSum").SerializeToString())
    assert caught.value.rule == "model.operator"


def test_what_is_allowed_of_two_is_exceeded_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times what two reductions may be off; it is what one of all terms may."""
    assert one_reduction(totals(), tmp_path) <= 1
    monkeypatch.setattr(reading, "of_terms", lambda part, *_: part)
    assert one_reduction(totals(), tmp_path) > 4


def test_xlas_one_reduction_is_named_where_two_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr(reading, "of_terms", lambda part, *_: part)
    model = totals()
    found = unknown(audited(model.SerializeToString(), tmp_path), model)
    assert any("reduce(" in line for line in found)
