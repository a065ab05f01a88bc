"""What ONNX Runtime makes of a graph is matched, at every level; what it must not make is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lastbit.audit.structure.onnx_graph import traced_onnx
from lastbit.audit.structure.runtimes import onnx_structure
from lastbit.audit.structure.tracing import Tracing
from lastbit.audit.telling import KINDS
from lastbit.graph import OnnxBuilder
from lastbit.runtimes.onnx_runtime import LEVELS, Level, optimised
from support.audited import Audited, audited, residual, small
from support.networks import RandomNetwork


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(residual(), tmp_path_factory.mktemp("residual"))


def traced(subject: Audited, model: onnx.ModelProto) -> Tracing:
    return traced_onnx(model, Tracing(subject.subject.structures.expected)).tracing


# ---- what it makes ---------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(4))
def test_every_level_is_matched(tmp_path: Path, seed: int, level: Level) -> None:
    network = small(tmp_path) if not seed else audited(RandomNetwork(seed).b, tmp_path)
    found = onnx_structure(network.subject.structures, level)
    assert found.broken == found.unequal == ()
    if level == "off":
        assert found.nodes == found.all_nodes == len(network.form.nodes)
        assert not any(found.rewritings.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_networks_made_to_tell_are_matched(tmp_path: Path, kind) -> None:
    for seed in range(2):
        network = audited(kind.network(seed, 1.0), tmp_path)
        for level in ("off", "all"):
            found = onnx_structure(network.subject.structures, level)
            assert found.broken == found.unequal == (), seed


def test_rewritings_are_counted(subject: Audited) -> None:
    """The residual joins a convolution, batch norm is folded, SiLU hides its sigmoid."""
    off, most = (onnx_structure(subject.subject.structures, level) for level in ("off", "all"))
    assert (off.rewritings["sum"], most.rewritings["sum"]) == (0, 1)
    assert most.rewritings["scale"] >= 1
    assert most.rewritings["hide"] >= 2
    assert most.operations < off.operations


def test_the_optimised_models_values_are_the_nodes(subject: Audited) -> None:
    """What a tensor was found to be is what it holds: the judge agrees, tensor by tensor."""
    from lastbit.audit.onnx_values import fused_run

    images = subject.images(5)
    for level in LEVELS:
        values = fused_run(subject.subject.structures.fused(level))(images)
        found = subject.findings(images, values)
        assert len(found) >= 5
        assert all(finding.holds for finding in found.values()), (level, found)


# ---- what it must not make -------------------------------------------------------------------

Mutate = Callable[[onnx.ModelProto], None]


def node_of(model: onnx.ModelProto, kind: str, which: int = 0) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][which]


def constant_of(model: onnx.ModelProto, name: str) -> np.ndarray:
    (found,) = (t for t in model.graph.initializer if t.name == name)
    return numpy_helper.to_array(found).copy()


def put_constant(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    (found,) = (t for t in model.graph.initializer if t.name == name)
    found.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def with_residual(model: onnx.ModelProto) -> onnx.NodeProto:
    """The convolution that a fourth input was fused to."""
    return next(n for n in model.graph.node if n.op_type == "Conv" and len(n.input) > 3)


def unknown_operator(model: onnx.ModelProto) -> None:
    node_of(model, "QuickGelu").op_type = "BiasSplitGelu"


def other_alpha(model: onnx.ModelProto) -> None:
    node = node_of(model, "QuickGelu")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("alpha", 1.702))


def other_activation(model: onnx.ModelProto) -> None:
    node_of(model, "Conv").attribute.append(helper.make_attribute("activation", "ThresholdedRelu"))


def no_residual(model: onnx.ModelProto) -> None:
    """The fourth input is another tensor of the same shape, that nobody adds in the file."""
    outer = with_residual(model)
    outer.input[3] = outer.input[0]


def residual_twice(model: onnx.ModelProto) -> None:
    outer = with_residual(model)
    again = helper.make_node("Add", ["again", outer.input[3]], [outer.output[0]])
    model.graph.node.insert([*model.graph.node].index(outer) + 1, again)
    outer.output[0] = "again"


def half(model: onnx.ModelProto) -> None:
    """Between two operators numbers go through float16."""
    node = node_of(model, "Softmax")
    cast = helper.make_node("Cast", [node.input[0]], ["half"], to=onnx.TensorProto.FLOAT16)
    model.graph.node.insert([*model.graph.node].index(node), cast)
    node.input[0] = "half"


def swapped_classes(model: onnx.ModelProto) -> None:
    node = node_of(model, "Gemm")
    put_constant(model, node.input[2], constant_of(model, node.input[2])[::-1])


def no_softmax(model: onnx.ModelProto) -> None:
    node = node_of(model, "Softmax")
    node.op_type = "Identity"
    del node.attribute[:]


def no_bias(model: onnx.ModelProto) -> None:
    """The inner one is left out before the curve is applied."""
    node = node_of(model, "Conv", 1)
    bias = constant_of(model, node.input[2])
    put_constant(model, node.input[2], np.zeros_like(bias))


MUTANTS: dict[Mutate, str] = {
    unknown_operator: "no operator that is known here",
    other_alpha: "a layer of something of normed",
    other_activation: "the activation ThresholdedRelu",
    no_residual: "not probabilities, but something of bent",
    residual_twice: "a curve of an unfinished sum of read, scaled",
    half: "another type than float32",
    swapped_classes: "it is not probabilities",
    no_softmax: "it is not probabilities",
    no_bias: "a layer of something of read",
}


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_what_matches_nothing_is_named(subject: Audited, mutate: Mutate) -> None:
    model = optimised(str(subject.path), "all")
    assert traced(subject, model).unknown == []
    mutate(model)
    unknown = traced(subject, model).unknown
    assert unknown
    assert any(_says(line, MUTANTS[mutate]) for line in unknown), unknown


def _says(line: str, words: str) -> bool:
    return any(word in line for word in words.split("|"))


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_a_fold_outside_of_what_scale_allows_is_named(subject: Audited, level: Level) -> None:
    """A weight with batch norm folded in rounds a few times: not 2^-18 of itself."""
    model = optimised(str(subject.path), level)
    node = next(n for n in model.graph.node if n.op_type in ("Conv", "FusedConv"))
    weights = constant_of(model, node.input[1])
    for step, allowed in ((2.0**-23, True), (2.0**-18, False)):
        moved = weights.copy()
        moved.flat[np.flatnonzero(weights)[40]] *= 1 + step
        put_constant(model, node.input[1], moved)
        assert (traced(subject, model).unknown == []) is allowed


def test_a_bias_moved_through_a_convolution_is_named(tmp_path: Path) -> None:
    """The same function, but an additive constant stays on its side of a convolution."""
    network, first, second, model = two_convolutions(tmp_path)
    one, two = (node_of(model, "Conv", k) for k in range(2))
    later = second[:, :, 0, 0] @ constant_of(model, one.input[2])
    two.input.append("later")
    model.graph.initializer.append(numpy_helper.from_array(later.astype(np.float32), "later"))
    put_constant(model, one.input[2], np.zeros(len(first)))
    assert any("something of image" in line for line in traced(network, model).unknown)


def two_convolutions(folder: Path) -> tuple[Audited, np.ndarray, np.ndarray, onnx.ModelProto]:
    """Nothing stands between them; their weights, and the model as it is written."""
    random, b = np.random.default_rng(2), OnnxBuilder()
    first, second = random.normal(size=(3, 1, 1, 1)), random.normal(size=(4, 3, 1, 1))
    x = b.conv(b.input_bytes((1, 3, 3)), first, random.normal(size=3), name="one")
    b.softmax(b.dense(b.mean(b.silu(b.conv(x, second, name="two"))), random.normal(size=(2, 4))))
    network = audited(b, folder)
    model = optimised(str(network.path), "off")
    assert traced(network, model).unknown == []
    return network, first, second, model


def test_two_convolutions_in_one_are_named(tmp_path: Path) -> None:
    """One with the product of the weights gives the same values: it is the rule that says no."""
    network, first, second, model = two_convolutions(tmp_path)
    one, two = (node_of(model, "Conv", k) for k in range(2))
    composed = (second[:, :, 0, 0] @ first[:, :, 0, 0]).astype(np.float32)[:, :, None, None]
    later = second[:, :, 0, 0] @ constant_of(model, one.input[2])
    model.graph.initializer.append(numpy_helper.from_array(composed, "composed"))
    model.graph.initializer.append(numpy_helper.from_array(later.astype(np.float32), "later"))
    two.input[:] = [one.input[0], "composed", "later"]
    model.graph.node.remove(one)
    assert any("something of image" in line for line in traced(network, model).unknown)


def test_a_copy_made_by_other_operations_is_named(subject: Audited) -> None:
    """What two read is computed for each: alike is allowed, by other operations it is not."""
    for kind, equal in (("QuickGelu", True), ("Mul", False)):
        model = optimised(str(subject.path), "extended")
        given = next(n for n in model.graph.node if n.output[0] == "read")
        at = [*model.graph.node].index(given)
        copy = onnx.NodeProto()
        copy.CopyFrom(given)
        copy.output[0] = "copy"
        copies = [copy]
        if kind == "Mul":
            copies = [helper.make_node("Sigmoid", [given.input[0]], ["s"]),
                      helper.make_node("Mul", [given.input[0], "s"], ["copy"])]  # fmt: skip
        node_of(model, "Add").input[1] = "copy"
        for node in copies[::-1]:
            model.graph.node.insert(at + 1, node)
        found = subject.subject.structures
        found.known["extended"] = model, traced_onnx(model, Tracing(found.expected))
        structure = onnx_structure(found, "extended")
        found.known.clear()
        assert structure.broken == ()
        assert structure.rewritings["recomputes"] == 1
        assert structure.twice == ("read: 2 times",)
        assert (structure.unequal == ()) is equal
        if not equal:
            assert "not always by the same operations" in structure.unequal[0]


@pytest.mark.parametrize("level", LEVELS)
def test_a_value_that_loses_its_places_and_gets_them_back_is_matched(
    tmp_path: Path, level: Level
) -> None:
    """(N, C) as (N, C, 1, 1) again, by Unsqueeze and by Reshape, then a convolution."""
    b = OnnxBuilder()
    x = b.mean(b.conv(b.input_bytes((1, 4, 4)), np.ones((3, 1, 2, 2)) * 0.01, name="c"))
    for axes, sizes in (("axes", [2, 3]), ("sizes", [0, 3, 1, 1])):
        x = b.flatten(x, f"{axes}.flat")
        b._constants.append(numpy_helper.from_array(np.array(sizes), axes))
        x = b.operator("Unsqueeze" if axes == "axes" else "Reshape", [x, axes], f"{axes}.back")
        b._flat.discard(x)
        x = b.silu(b.conv(x, np.eye(3).reshape(3, 3, 1, 1), name=f"{axes}.conv"))
    b.softmax(b.dense(x, np.eye(3)))
    subject = audited(b, tmp_path)
    found = onnx_structure(subject.subject.structures, level)
    assert found.broken == found.unequal == ()
