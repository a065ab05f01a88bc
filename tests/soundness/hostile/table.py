"""Files that two readers understand differently, by rule and name: other modules here add to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lastbit_check.onnxfile import read
from lastbit_check.reading import network_of
from soundness.rejected.cases import case
from support.wire import Entry, to_bytes, tree

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {}
"""The rule that refuses it, and what makes it, by name."""


def hostile(rule: str, name: str, make: Callable[[], bytes]) -> None:
    assert name not in HOSTILE, name
    HOSTILE[name] = (rule, make)

    def run(folder: Path) -> None:
        network_of(read(make()))

    run.__name__ = name
    case(rule)(run)


def by_fields(rule: str, name: str, change: Callable[[list[Entry]], object]) -> None:
    """The good file, with its fields changed."""

    def make() -> bytes:
        fields = tree(good())
        change(fields)
        return to_bytes(fields)

    hostile(rule, name, make)


def by_model(
    rule: str, name: str, change: Callable[[onnx.ModelProto], object], opset: int = 17
) -> None:
    """The good file, with its parts changed as the library can."""

    def make() -> bytes:
        model = onnx.ModelProto.FromString(good(opset))
        change(model)
        return model.SerializeToString()

    hostile(rule, name, make)


@cache
def good(opset: int = 17) -> bytes:
    """A file that every reader understands alike, with most of what an exporter writes."""
    rng = np.random.default_rng(7)
    f32 = {
        "scale": np.array(255), "k": rng.normal(size=(2, 1, 3, 3)), "k.bias": rng.normal(size=2),
        "gamma": rng.uniform(0.5, 1, 2), "beta": rng.normal(size=2), "mean": np.zeros(2),
        "var": rng.uniform(0.5, 1, 2), "w": rng.normal(size=(3, 2)), "w.bias": rng.normal(size=3),
    }  # fmt: skip
    axes: dict[str, Any] = {"axes": [2, 3]} if opset < 18 else {}
    zero: dict[str, Any] = {"allowzero": 0} if opset > 13 else {}
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], "cast", to=1),
        helper.make_node("Div", ["x", "scale"], ["d"], "div"),
        helper.make_node("Conv", ["d", "k", "k.bias"], ["c"], "conv", kernel_shape=[3, 3],
                         pads=[1, 1, 1, 1], strides=[2, 2], dilations=[1, 1], group=1),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"], "bn",
                         epsilon=0.001, momentum=0.9),
        helper.make_node("Sigmoid", ["n"], ["s"], "sigmoid"),
        helper.make_node("Mul", ["n", "s"], ["a"], "silu"),
        helper.make_node("ReduceMean", ["a"] if opset < 18 else ["a", "axes"], ["m"], "mean",
                         keepdims=1, **axes),
        helper.make_node("Mul", ["a", "m"], ["g"], "gate"),
        helper.make_node("GlobalAveragePool", ["g"], ["q"], "pool"),
        helper.make_node("Reshape", ["q", "to"], ["f"], "reshape", **zero),
        helper.make_node("Gemm", ["f", "w", "w.bias"], ["z"], "gemm", alpha=1.0, transB=1),
        helper.make_node("Softmax", ["z"], ["p"], "softmax", axis=-1),
    ]  # fmt: skip
    typed = helper.make_tensor("w.bias", TensorProto.FLOAT, [3], f32.pop("w.bias"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, 6, 5])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3])],
        [
            *(numpy_helper.from_array(v.astype(np.float32), k) for k, v in f32.items()),
            numpy_helper.from_array(np.array([0, -1]), "to"),
            *([numpy_helper.from_array(np.array([2, 3]), "axes")] if opset >= 18 else []),
            typed,
        ],
        value_info=[helper.make_tensor_value_info("c", TensorProto.FLOAT, ["N", 2, "rows", 3])],
    )
    model = helper.make_model(
        graph, producer_name="tests", ir_version=8, opset_imports=[helper.make_opsetid("", opset)]
    )
    model.graph.node[0].metadata_props.add(key="namespace", value="cast")
    model.metadata_props.add(key="author", value="nobody")
    return model.SerializeToString()
