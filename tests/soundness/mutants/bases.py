"""Real files to be spoilt: exporters' own, lastbit's, and one for each way to write an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from soundness.hostile.table import good
from soundness.small import model as small
from support.arranged import ArrangedNetwork
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
    found |= {f"arranged {opset} {k}": arranged(opset, k) for opset in SETS for k in range(2)}
    found |= {f"float32 {k}": arranged(17, k, bytes_in=False) for k in range(2)}
    found |= {f"computed sizes {opset}": computed_sizes(opset) for opset in (9, 13)}
    found |= {f"{end} {opset}": ended(end, opset) for end in ENDS for opset in (11, 13)}
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


SETS = (7, 9, 11, 13, 18, 21)
ENDS = ("Softmax", "LogSoftmax", "ArgMax")


def arranged(opset: int, seed: int, *, bytes_in: bool = True) -> bytes:
    """Some of the operators that arrange, pool and combine."""
    made = ArrangedNetwork(300 + 10 * opset + seed, bytes_in=bytes_in, steps=8, opset=opset)
    return made.model().SerializeToString()


def computed_sizes(opset: int) -> bytes:
    """Sizes that are computed from the batch's own, as exporters write x.view(x.size(0), -1)."""
    b = _Small(opset)
    x = b.op("Conv", b.pixels(), b.f32(4, 2, 1, 1))
    batch = b.op("Gather", b.op("Shape", x), b.i64(0), axis=0)
    high = b.op("Gather", b.op("Shape", x), b.i64(2), axis=0)
    half = b.op("Div", b.op("Mul", high, b.i64(2)), b.i64(4))
    sizes = [b.more(n) for n in (batch, b.i64(4), half, b.i64(-1))]
    x = b.op("Reshape", x, b.op("Concat", *sizes, axis=0))
    s = b.op("Sigmoid", b.op("ReduceMean", x, axes=[2, 3], keepdims=1))
    x = b.op("Mul", x, b.op("Expand", s, b.op("Shape", x)))
    x = b.op("Relu", b.op("Transpose", x, perm=[0, 3, 1, 2]))
    x = b.op("Reshape", x, b.op("Concat", b.more(batch), b.i64([-1]), axis=0))
    return b.file(b.op("Softmax", b.op("Gemm", x, b.f32(48, 3), b.f32(3)), axis=1))


def ended(end: str, opset: int) -> bytes:
    """Operands and results that may be left out; another end than softmax, or an older one."""
    b = _Small(opset)
    x = b.op("Clip", b.op("Conv", b.pixels(), b.f32(3, 2, 2, 2)), "", b.f32())
    x = b.op("Pad", x, b.i64([0, 0, 1, 0, 0, 0, 0, 1]), "")
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], outputs=2)
    x = b.op("Concat", x, b.op("LeakyRelu", x, alpha=0.25), axis=-3)
    x = b.op("AveragePool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1)
    x = b.op("Slice", x, b.i64([-1]), b.i64([-(2**40)]), b.i64([1]), b.i64([-1]))
    x = b.op("MatMul", b.op("Flatten", x, axis=1), b.f32(36, 3))
    return b.file(b.op(end, x, axis=1), kind=7 if end == "ArgMax" else 1)


class _Small:
    """A file of images of two channels, three rows and four columns, operator by operator."""

    def __init__(self, opset: int) -> None:
        self.random, self.opset = np.random.default_rng(opset), opset
        self.nodes, self.constants = list[onnx.NodeProto](), list[TensorProto]()

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"t{len(self.nodes)}.{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def f32(self, *sizes: int) -> str:
        return self._constant(self.random.normal(size=sizes).astype(np.float32))

    def i64(self, numbers: int | list[int]) -> str:
        return self._constant(np.array(numbers, np.int64))

    def _constant(self, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def more(self, number: str) -> str:
        """A number as a list of one."""
        if self.opset < 13:
            return self.op("Unsqueeze", number, axes=[0])
        return self.op("Unsqueeze", number, self.i64([0]))

    def pixels(self) -> str:
        return self.op(
            "Mul", self.op("Cast", "image", to=1), self._constant(np.array(1 / 255, np.float32))
        )

    def file(self, output: str, kind: int = TensorProto.FLOAT) -> bytes:
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 2, 3, 4])
        made = helper.make_tensor_value_info(output, kind, ["N", 1 if kind == 7 else 3])
        graph = helper.make_graph(self.nodes, "small", [image], [made], self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


def header(name: str) -> bytes:
    """A shipped model, each of whose weights is cut to one number: only to be read."""
    model = onnx.ModelProto.FromString((ROOT / "models" / name / "model.onnx").read_bytes())
    for tensor in model.graph.initializer:
        tensor.dims[:] = [1] * len(tensor.dims)
        tensor.raw_data = tensor.raw_data[:4]
    return model.SerializeToString()
