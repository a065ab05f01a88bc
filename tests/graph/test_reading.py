"""What the reader makes of valid files: the normal form, and the same numbers as a runtime."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from lastbit.float32 import execute_float64
from lastbit.graph import (
    Add,
    Affine,
    BatchNorm,
    Gate,
    Linear,
    Mean,
    Network,
    Sigmoid,
    Silu,
    Softmax,
    read_onnx,
)
from lastbit.runtimes import OnnxRuntime
from support.networks import random_images, random_network

Node = tuple[str, list[str], str, dict[str, Any]]

CONV = np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3) / 9 - 1
DENSE = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]], np.float32)


def f32(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def kinds(network: Network) -> list[str]:
    return [type(node).__name__ for node in network]


def save(
    folder: Path,
    nodes: list[Node],
    constants: dict[str, Any] | None = None,
    *,
    shape: tuple[int, ...] = (1, 5, 6),
    batch: int | str = "N",
    opset: int = 17,
) -> Path:
    """A model of `nodes` (operator, inputs, output, attributes) between "image" and "p"."""
    arrays = {"W": CONV, "D": DENSE, "scale": np.float32(255), **(constants or {})}
    used = {name for _, inputs, _, _ in nodes for name in inputs}
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [out], out, **attrs) for op, inputs, out, attrs in nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, *shape])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [batch, "classes"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items() if k in used],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


HEAD: list[Node] = [
    ("Cast", ["image"], "float", {"to": TensorProto.FLOAT}),
    ("Div", ["float", "scale"], "x", {}),
    ("Conv", ["x", "W"], "c", {"pads": [1, 1, 1, 1]}),
]
"""The image as "x", and a convolution of it as "c", (2, 5, 6)."""
POOL: Node = ("GlobalAveragePool", ["c"], "m", {})
END: list[Node] = [
    ("Flatten", ["m"], "flat", {}),
    ("Gemm", ["flat", "D"], "logits", {"transB": 1}),
    ("Softmax", ["logits"], "p", {"axis": 1}),
]


def agrees_with_onnxruntime(path: Path, network: Network) -> None:
    """The normal form, in float64, gives what ONNX Runtime gives.

    The bound is 2^-24 times 500: values of these networks are at most about 10, and pass some 50
    roundings.
    """
    run = OnnxRuntime().load(path)
    for image in random_images(network, 0):
        got = run(image)
        expected, _ = execute_float64(network, image)
        assert abs(got.reshape(-1) - expected).max() < 3e-5


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_mean_what_onnxruntime_computes(tmp_path: Path, seed: int):
    path, network = random_network(tmp_path, seed)
    agrees_with_onnxruntime(path, network)


def test_normal_form_of_a_network_with_everything(tmp_path: Path):
    ones = np.ones(2, np.float32)
    nodes: list[Node] = [
        *HEAD,
        ("BatchNormalization", ["c", "one", "one", "one", "one"], "bn", {"epsilon": 0.001}),
        ("Sigmoid", ["bn"], "sig", {}),
        ("Mul", ["sig", "bn"], "act", {}),
        ("ReduceMean", ["act"], "squeezed", {"axes": [2, 3], "keepdims": 1}),
        ("Sigmoid", ["squeezed"], "s", {}),
        ("Mul", ["s", "act"], "gated", {}),
        ("Add", ["gated", "bn"], "sum", {}),
        ("Identity", ["sum"], "same", {}),
        ("GlobalAveragePool", ["same"], "m", {}),
        *END,
    ]
    path = save(tmp_path, nodes, {"one": ones})
    network = read_onnx(path)
    assert [node.name for node in network] == [
        *("image", "x", "c", "bn", "act", "squeezed", "s", "gated", "sum", "m", "logits", "p")
    ]
    assert kinds(network)[1:] == [
        *("Affine", "Linear", "BatchNorm", "Silu", "Mean", "Sigmoid", "Gate", "Add", "Mean"),
        *("Linear", "Softmax"),
    ]
    bn = network["bn"]
    assert isinstance(bn, BatchNorm)
    assert bn.epsilon == np.float32(0.001)
    assert bn.inputs == ("c",)
    assert [node.name for node in network.normal.nodes] == [
        *("image", "x", "bn", "act", "squeezed", "s", "gated", "sum", "m", "logits", "p")
    ]
    gate = network["gated"]
    assert isinstance(gate, Gate)
    assert gate.inputs == ("act", "s")
    assert network.logits == "logits"
    assert network.classes == 3
    assert network.output == "p"
    assert [node.shape for node in network][:5] == [*[(1, 5, 6)] * 2, *[(2, 5, 6)] * 3]
    agrees_with_onnxruntime(path, network)


def test_arrays_cannot_be_changed(tmp_path: Path):
    network = read_onnx(save(tmp_path, [*HEAD, POOL, *END]))
    linear = network["c"]
    assert isinstance(linear, Linear)
    with pytest.raises(ValueError, match="read-only"):
        linear.weight[0] = 0


def vector_end(*nodes: Node) -> list[Node]:
    """Nodes from "m" (2, 1, 1) to "flat" (2,), then dense and softmax."""
    return [*HEAD, POOL, *nodes, *END[1:]]


INT = np.int64
VARIANTS: dict[str, tuple[list[Node], dict[str, Any], list[str]]] = {
    "bias by MatMul and Add": (
        [*vector_end(("Flatten", ["m"], "flat", {}))[:-2],
         ("MatMul", ["flat", "DT"], "raw", {}),
         ("Add", ["bias", "raw"], "logits", {}), END[2]],
        {"DT": DENSE.T.copy(), "bias": f32([1, 2, 3])},
        ["Mean", "Linear", "Affine", "Softmax"],
    ),
    "MatMul without bias": (
        [*HEAD, POOL, END[0], ("MatMul", ["flat", "DT"], "logits", {}), END[2]],
        {"DT": DENSE.T.copy()},
        ["Mean", "Linear", "Softmax"],
    ),
    "Gemm not transposed, row bias": (
        [*HEAD, POOL, END[0], ("Gemm", ["flat", "DT", "bias"], "logits", {}), END[2]],
        {"DT": DENSE.T.copy(), "bias": f32([[1, 2, 3]])},
        ["Mean", "Linear", "Softmax"],
    ),
    "Reshape to [-1, 2]": (
        vector_end(("Reshape", ["m", "to"], "flat", {})),
        {"to": np.array([-1, 2], INT)}, ["Mean", "Linear", "Softmax"],
    ),
    "Reshape to [0, -1]": (
        vector_end(("Reshape", ["m", "to"], "flat", {})),
        {"to": np.array([0, -1], INT)}, ["Mean", "Linear", "Softmax"],
    ),
    "Squeeze": (
        vector_end(("Squeeze", ["m", "axes"], "flat", {})),
        {"axes": np.array([2, -1], INT)}, ["Mean", "Linear", "Softmax"],
    ),
    "Squeeze, Unsqueeze and back": (
        vector_end(("Squeeze", ["m", "axes"], "v", {}), ("Unsqueeze", ["v", "axes"], "w", {}),
                   ("Dropout", ["w"], "d", {}), ("Flatten", ["d"], "flat", {"axis": -3})),
        {"axes": np.array([2, 3], INT)}, ["Mean", "Linear", "Softmax"],
    ),
    "ReduceMean without its axes kept": (
        [*HEAD, ("ReduceMean", ["c"], "flat", {"axes": [-1, -2], "keepdims": 0}), *END[1:]],
        {}, ["Mean", "Linear", "Softmax"],
    ),
    "affine per channel and scalar": (
        [*HEAD, ("Mul", ["f", "c"], "c1", {}), ("Sub", ["c1", "t"], "c2", {}),
         ("GlobalAveragePool", ["c2"], "m", {}), *END],
        {"f": f32([2, 3]).reshape(1, 2, 1, 1), "t": f32([0.5])},
        ["Affine", "Affine", "Mean", "Linear", "Softmax"],
    ),
    "Constant nodes, one by way of Identity": (
        [*HEAD, ("Constant", [], "two", {"value_float": 2.0}), ("Identity", ["two"], "zwei", {}),
         ("Div", ["c", "zwei"], "c1", {}), ("GlobalAveragePool", ["c1"], "m", {}), *END],
        {}, ["Affine", "Mean", "Linear", "Softmax"],
    ),
    "batch norm by itself": (
        [*HEAD, ("Sigmoid", ["c"], "s", {}),
         ("BatchNormalization", ["s", "g", "b", "b", "g"], "n", {}),
         ("GlobalAveragePool", ["n"], "m", {}), *END],
        {"g": f32([0.5, 2]), "b": f32([1, -1])},
        ["Sigmoid", "BatchNorm", "Mean", "Linear", "Softmax"],
    ),
    "batch norm of a convolution that is used twice": (
        [*HEAD, ("BatchNormalization", ["c", "g", "b", "b", "g"], "n", {}),
         ("Add", ["c", "n"], "a", {}), ("GlobalAveragePool", ["a"], "m", {}), *END],
        {"g": f32([0.5, 2]), "b": f32([1, -1])},
        ["Linear", "BatchNorm", "Add", "Mean", "Linear", "Softmax"],
    ),
    "sigmoid used twice is a node of its own": (
        [*HEAD, POOL, ("Sigmoid", ["m"], "s", {}), ("Mul", ["m", "s"], "g", {}),
         ("Add", ["g", "s"], "a", {}), ("Flatten", ["a"], "flat", {}), *END[1:]],
        {}, ["Mean", "Sigmoid", "Silu", "Add", "Linear", "Softmax"],
    ),
    "convolution by auto_pad VALID": (
        [*HEAD[:2], ("Conv", ["x", "W"], "c", {"auto_pad": "VALID"}), POOL, *END],
        {}, ["Mean", "Linear", "Softmax"],
    ),
    "pads on one side, strides, groups": (
        [*HEAD, ("Conv", ["c", "W", "b"], "c1",
                 {"pads": [2, 0, 0, 1], "strides": [2, 3], "group": 2}),
         ("GlobalAveragePool", ["c1"], "m", {}), *END],
        {"b": f32([1, -1])}, ["Linear", "Mean", "Linear", "Softmax"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_exporters(tmp_path: Path, variant: str):
    nodes, constants, expected = VARIANTS[variant]
    path = save(tmp_path, nodes, constants)
    network = read_onnx(path)
    assert kinds(network)[-len(expected) :] == expected
    agrees_with_onnxruntime(path, network)


def test_batch_of_one_may_be_written_out(tmp_path: Path):
    reshape = ("Reshape", ["m", "to"], "flat", {})
    path = save(tmp_path, vector_end(reshape), {"to": np.array([1, -1])}, batch=1)
    agrees_with_onnxruntime(path, read_onnx(path))


def test_reading_is_by_content(tmp_path: Path):
    path = save(tmp_path, [*HEAD, POOL, *END])
    assert read_onnx(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_onnx(str(path)).sha256 == read_onnx(path).sha256


def test_every_kind_occurs_in_random_networks(tmp_path: Path):
    seen = {type(node) for seed in range(40) for node in random_network(tmp_path, seed)[1]}
    assert {Add, Affine, Gate, Linear, Mean, Sigmoid, Silu, Softmax} <= seen


def test_unknown_names_are_key_errors(tmp_path: Path):
    network = read_onnx(save(tmp_path, [*HEAD, POOL, *END]))
    with pytest.raises(KeyError):
        network["nowhere"]
