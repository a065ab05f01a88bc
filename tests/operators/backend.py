"""The node cases of ONNX's own test suite, each as a network that the reader is given.

The first axis of what a network reads is that of the images. So a case is run twice: as it stands,
image by image, and `lifted`, with all of it as one image.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from lastbit.graph import Asked
from lastbit_check.files.operators import OPSETS
from lastbit_check.operators import RULES
from lastbit_check.question import LAST_BIT, Box

Array = NDArray[Any]
ENDS = ("ArgMax", "LogSoftmax")
"""Read at the end of a file only: tests/commands/test_inputs.py."""
OF_IMAGES = (
    *("AveragePool", "BatchNormalization", "Conv", "DepthToSpace", "Flatten", "Gemm"),
    *("GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Softmax", "SpaceToDepth"),
)
"""Operators whose first axis is that of the images, whatever is said."""
BY_AXIS = {"Concat": 1, "Gather": 0, "Split": 0}
AXES_AT = {"ReduceMax": 1, "ReduceMean": 1, "ReduceSum": 1, "Squeeze": 1, "Unsqueeze": 1,
           "Slice": 3, "Pad": 3}  # fmt: skip
"""Which operand holds the axes."""
WHOLE = {"Expand": 1, "Reshape": 0, "Tile": 1}
"""Operators of whose sizes or repeats there is one for each axis."""


@dataclass(frozen=True)
class Case:
    """A node, what it is given and what it makes of that."""

    name: str
    node: NodeProto
    opset: int
    inputs: dict[str, Array]
    output: Array

    @property
    def numbers(self) -> list[str]:
        """The inputs that are float32."""
        return [n for n, x in self.inputs.items() if x.dtype == np.float32 and x.ndim and x.size]

    def variable(self) -> list[list[str]]:
        """Which inputs may be computed of an image, where the others are constants."""
        found, batch = self.numbers, {self.inputs[name].shape[0] for name in self.numbers}
        return [found[:1], found] if len(found) > 1 and len(batch) == 1 else [found[:1]]


@cache
def cases() -> dict[str, Case]:
    """Every case of one operator that the checker has a rule for, of float32 numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)  # type: ignore[arg-type]
    return {case.name: case for case in _cases(found) if case.numbers and case.output.size}


def _cases(found: Any) -> Iterator[Case]:
    for one in found:
        model, opset = one.model, one.model.opset_import[0].version
        (node, *more), data = model.graph.node, one.data_sets
        if more or node.domain or node.op_type in ENDS or node.op_type not in RULES:
            continue
        if not data or "_expanded" in one.name:
            continue
        inputs, outputs = data[0]
        tensors = all(isinstance(x, np.ndarray | np.generic) for x in (*inputs, *outputs))
        if not tensors or outputs[0].dtype != np.float32:
            continue
        names = [value.name for value in model.graph.input]
        given = {name: np.asarray(x) for name, x in zip(names, inputs, strict=True)}
        yield Case(one.name, node, min(opset, OPSETS[-1]), given, outputs[0])


def lifted(case: Case) -> Case | None:
    """The same with one more axis before all others; None where that means something else."""
    op, first = case.node.op_type, case.numbers[0]
    if op in OF_IMAGES:
        return None
    node, inputs, rank = NodeProto(), dict(case.inputs), case.inputs[first].ndim
    node.CopyFrom(case.node)
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if op in BY_AXIS:
        given["axis"] = _later(given.get("axis", BY_AXIS[op]))
    if op == "Transpose":
        given["perm"] = [0, *(axis + 1 for axis in given.get("perm", [*range(rank)][::-1]))]
    if op in WHOLE:
        (name,) = node.input[1:]
        missing = rank - inputs[name].size if WHOLE[op] else 0
        inputs[name] = np.array([1, *[1] * missing, *inputs[name]])
    if "axes" in given:
        given["axes"] = [_later(axis) for axis in given["axes"]]
    elif op in AXES_AT:
        _lift_axes(op, node, inputs, rank, given)
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in given.items())
    for name in case.numbers:
        x = inputs[name]
        inputs[name] = x[None] if name == first else x.reshape(1, *[1] * (rank - x.ndim), *x.shape)
    return replace(case, node=node, inputs=inputs, output=case.output[None])


def _lift_axes(
    op: str, node: NodeProto, inputs: dict[str, Array], rank: int, given: dict[str, Any]
) -> None:
    """Axes that an operand holds, or that are all of them."""
    at, name = AXES_AT[op], "all.axes"
    if len(node.input) > at and node.input[at]:
        name = node.input[at]
        inputs[name] = np.array([_later(axis) for axis in inputs[name].tolist()], np.int64)
        empty = inputs[name].size == 0 and not given.get("noop_with_empty_axes")
    else:
        empty = op != "Squeeze"
        node.input.extend([""] * (at - len(node.input)))
        node.input.insert(at, name)
    if empty:
        count = inputs[node.input[1]].size if op == "Slice" else rank
        inputs[name] = np.arange(1, count + 1)


def _later(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def network_of(case: Case, variable: list[str]) -> ModelProto:
    """A model around the node: its inputs are cut from one of float32 numbers.

    It returns what the node makes twice over, so that there are two classes at least.
    """
    batch = case.inputs[variable[0]].shape[0]
    nodes, constants = list[NodeProto](), dict[str, Array]()
    constants |= {name: x for name, x in case.inputs.items() if name not in variable}
    start = 0
    for name in variable:
        sizes = case.inputs[name].shape[1:]
        end = start + math.prod(sizes)
        for key, value in (("start", start), ("end", end), ("axis", 1)):
            constants[f"{name}.{key}"] = np.array([value])
        constants[f"{name}.sizes"] = np.array([0, *sizes])
        cut = [f"{name}.{key}" for key in ("start", "end", "axis")]
        nodes.append(helper.make_node("Slice", ["image", *cut], [f"{name}.flat"]))
        nodes.append(helper.make_node("Reshape", [f"{name}.flat", f"{name}.sizes"], [name]))
        start = end
    made = case.node.output[0]
    nodes.append(case.node)
    if case.node.op_type != "Softmax":
        nodes.append(helper.make_node("Flatten", [made], ["flat"]))
        nodes.append(helper.make_node("Concat", ["flat", "flat"], ["logits"], axis=1))
        made = "logits"
    sizes = [None] * (2 if made == "logits" else case.output.ndim)
    images = 1 if batch == 1 else "N"
    graph = helper.make_graph(
        nodes,
        case.name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [images, start])],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, sizes)],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    # Slice is by operands, as it is here, from 10 on
    opsets = [helper.make_opsetid("", max(case.opset, 10))]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def asked(case: Case, variable: list[str], folder: Path) -> tuple[Asked, Array]:
    """The model, of numbers between those of the case, and the case's images (N, ...)."""
    path = folder / "model.onnx"
    path.write_bytes(network_of(case, variable).SerializeToString())
    batch = case.inputs[variable[0]].shape[0]
    images = np.concatenate([case.inputs[v].reshape(batch, -1) for v in variable], axis=1)
    box = Box(float(images.min()) - 1, float(images.max()) + 1)
    return Asked(path, replace(LAST_BIT, box=box)), images
