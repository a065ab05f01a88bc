"""Real files to be spoilt: exporters' own, lastbit's, and one for each way to write an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from soundness.hostile.table import good
from soundness.small import model as small
from support.networks import RandomNetwork

FILES = Path(__file__).parent / "files"
ROOT = Path(__file__).parents[3]


def bases() -> dict[str, bytes]:
    """Files that all readers accept, by name; smaller ones first."""
    found = {path.name: path.read_bytes() for path in sorted(FILES.glob("*.onnx"))}
    found |= {f"good {opset}": good(opset) for opset in (13, 14, 17, 18, 21, 25)}
    found |= {f"square {opset}": square(opset) for opset in (13, 17, 18)}
    found |= {f"random {seed}": RandomNetwork(seed).b.to_bytes() for seed in range(6)}
    found["every operator"] = small()
    return dict(sorted(found.items(), key=lambda item: len(item[1])))


def square(opset: int) -> bytes:
    """Channels, rows and columns are three each, so that a product along another axis fits, too."""
    rng = np.random.default_rng(opset)
    f32 = {
        "k": rng.normal(size=(3, 3, 1, 1)), "b": rng.normal(size=3),
        "f": rng.normal(size=(3, 1, 1)),
        "w": rng.normal(size=(3, 3)),
    }  # fmt: skip
    axes: dict[str, Any] = {"axes": [2, 3]} if opset < 18 else {}
    more = [] if opset < 18 else ["axes"]
    value = numpy_helper.from_array(np.float32(255).reshape(1, 1, 1, 1), "v")
    nodes = [
        helper.make_node("Constant", [], ["scale"], value=value),
        helper.make_node("Cast", ["image"], ["x"], to=1),
        helper.make_node("Div", ["x", "scale"], ["d"]),
        helper.make_node("Conv", ["d", "k", "b"], ["c"]),
        helper.make_node("ReduceMean", ["c", *more], ["m"], keepdims=1, **axes),
        helper.make_node("Sigmoid", ["m"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["g"]),
        helper.make_node("Sub", ["g", "f"], ["h"]),
        helper.make_node("Add", ["h", "d"], ["r"]),
        helper.make_node("ReduceMean", ["r", *more], ["q"], keepdims=0, **axes),
        helper.make_node("Dropout", ["q"], ["i"]),
        helper.make_node("MatMul", ["i", "w"], ["y"]),
        helper.make_node("Identity", ["y"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "square",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 3, 3, 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [1, 3])],
        [
            *(numpy_helper.from_array(v.astype(np.float32), k) for k, v in f32.items()),
            *([numpy_helper.from_array(np.array([-1, -2]), "axes")] if opset >= 18 else []),
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


def header(name: str) -> bytes:
    """A shipped model, each of whose weights is cut to one number: only to be read."""
    model = onnx.ModelProto.FromString((ROOT / "models" / name / "model.onnx").read_bytes())
    for tensor in model.graph.initializer:
        tensor.dims[:] = [1] * len(tensor.dims)
        tensor.raw_data = tensor.raw_data[:4]
    return model.SerializeToString()
