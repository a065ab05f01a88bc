"""Writing ONNX files operator by operator, with the vocabulary of the normal form."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lastbit.files import write_whole
from lastbit.operators.affine import AffineKind
from lastbit.operators.base import Shape, View

_OPERATORS: dict[AffineKind, str] = {
    "div": "Div",
    "mul": "Mul",
    "add": "Add",
    "sub": "Sub",
    "from": "Sub",
}


class OnnxBuilder:
    """An ONNX model under construction.

    Each method adds operators and returns the name of the tensor they write, to be passed on.
    The same calls give the same bytes.

        b = OnnxBuilder()
        x = b.div(b.input_bytes((1, 28, 28)), 255)
        x = b.silu(b.conv(x, weight, padding=1))
        b.softmax(b.dense(b.mean(x), matrix, bias))
        b.save(path)
    """

    OPSET = 17
    IR_VERSION = 8

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[TensorProto] = []
        self._flat: set[str] = set()
        self._input: tuple[str, Shape] = ("", (0, 0, 0))
        self._output: tuple[str, int] = ("", 0)
        self._width = 0

    def input_bytes(self, shape: Shape, name: str = "image") -> str:
        """The image, uint8 [N, C, H, W], and its Cast to float32."""
        self._input = (name, shape)
        return self.operator("Cast", [name], f"{name}.float", to=TensorProto.FLOAT)

    def affine(self, x: str, kind: AffineKind, constant: ArrayLike, name: str = "") -> str:
        """Compute x / c, x * c, x + c, x - c or c - x, with a scalar c, or one per channel."""
        name = name or self._fresh(kind)
        values = np.asarray(constant, np.float32)
        if values.ndim == 1 and x not in self._flat:
            values = values[:, None, None]
        operands = [x, self._constant(f"{name}.constant", values)]
        return self.operator(_OPERATORS[kind], operands[:: -1 if kind == "from" else 1], name)

    def div(self, x: str, constant: ArrayLike, name: str = "") -> str:
        """Divide by a scalar, or by one number per channel."""
        return self.affine(x, "div", constant, name)

    def conv(
        self,
        x: str,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int, int, int] = 0,
        group: int = 1,
        name: str = "",
    ) -> str:
        """Convolution with weights (O, I / group, kh, kw); padding top, left, bottom, right."""
        name = name or self._fresh("conv")
        strides = (stride, stride) if isinstance(stride, int) else stride
        pads = (padding,) * 4 if isinstance(padding, int) else padding
        kernel = np.shape(weight)[2:]
        inputs = [x, self._constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self._constant(f"{name}.bias", bias))
        return self.operator(
            "Conv", inputs, name, kernel_shape=kernel, strides=strides, pads=pads, group=group
        )

    def batch_norm(
        self,
        x: str,
        gamma: ArrayLike,
        beta: ArrayLike,
        mean: ArrayLike,
        variance: ArrayLike,
        *,
        epsilon: float = 1e-5,
        name: str = "",
    ) -> str:
        """Batch normalization in inference form; each parameter is (C,)."""
        name = name or self._fresh("bn")
        parts = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
        inputs = [x, *(self._constant(f"{name}.{key}", value) for key, value in parts.items())]
        return self.operator("BatchNormalization", inputs, name, epsilon=epsilon)

    def silu(self, x: str, name: str = "") -> str:
        """Multiply x by its own Sigmoid."""
        name = name or self._fresh("silu")
        return self.operator("Mul", [x, self.sigmoid(x, f"{name}.sigmoid")], name)

    def sigmoid(self, x: str, name: str = "") -> str:
        """Apply Sigmoid."""
        return self.operator("Sigmoid", [x], name or self._fresh("sigmoid"))

    def gate(self, x: str, s: str, name: str = "") -> str:
        """Multiply x by s, which is (C, 1, 1)."""
        return self.operator("Mul", [x, s], name or self._fresh("gate"))

    def add(self, x: str, y: str, name: str = "") -> str:
        """Add two values of one shape."""
        return self.operator("Add", [x, y], name or self._fresh("add"))

    def mean(self, x: str, name: str = "", *, reduce: bool = False) -> str:
        """Mean over the image, by GlobalAveragePool or, with `reduce`, by ReduceMean."""
        name = name or self._fresh("mean")
        if reduce:
            return self.operator("ReduceMean", [x], name, axes=[2, 3], keepdims=1)
        return self.operator("GlobalAveragePool", [x], name)

    def flatten(self, x: str, name: str = "") -> str:
        """(C, 1, 1) as a vector; `dense` does it where needed."""
        return self.operator("Flatten", [x], name or self._fresh("flatten"), axis=1)

    def dense(
        self, x: str, weight: ArrayLike, bias: ArrayLike | None = None, name: str = ""
    ) -> str:
        """Dense layer with weights (O, I), on (C, 1, 1) or on a vector."""
        name = name or self._fresh("dense")
        if x not in self._flat:
            x = self.flatten(x, f"{name}.input")
        self._width = len(np.asarray(weight))
        inputs = [x, self._constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self._constant(f"{name}.bias", bias))
        return self.operator("Gemm", inputs, name, transB=1)

    def softmax(self, x: str, name: str = "probabilities") -> str:
        """Softmax over the result of a dense layer; the output of the model."""
        self._output = (name, self._width)
        return self.operator("Softmax", [x], name, axis=1)

    def seen(self, x: str, view: View, name: str = "") -> str:
        """A value by a view: in another shape, and order."""
        name = name or self._fresh("seen")
        if x not in self._flat:
            x = self.operator("Flatten", [x], f"{name}.flat", axis=1)
        if view.order is not None:
            ends = self.numbers(f"{name}.ends", [0, 0, 0, 1])
            padded = self.operator("Pad", [x, ends], f"{name}.padded")  # -1 is the last of these
            places = self.numbers(f"{name}.places", view.order)
            x = self.operator("Gather", [padded, places], f"{name}.places.seen", axis=1)
        sizes = self.numbers(f"{name}.sizes", [0, *view.shape])
        return self.operator("Reshape", [x, sizes], name)

    def model(self) -> ModelProto:
        """The finished model."""
        (source, shape), (output, classes) = self._input, self._output
        graph = helper.make_graph(
            self._nodes,
            "lastbit",
            [helper.make_tensor_value_info(source, TensorProto.UINT8, ["N", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", classes])],
            self._constants,
        )
        return helper.make_model(
            graph,
            producer_name="lastbit",
            ir_version=self.IR_VERSION,
            opset_imports=[helper.make_opsetid("", self.OPSET)],
        )

    def to_bytes(self) -> bytes:
        """The finished model as the content of its file."""
        return self.model().SerializeToString(deterministic=True)

    def save(self, path: str | Path) -> Path:
        """Write the model.

        Raises:
            OutputError: `path` cannot be written; nothing is left behind.
        """
        write_whole(Path(path), self.to_bytes())
        return Path(path)

    def _fresh(self, kind: str) -> str:
        return f"{kind}_{len(self._nodes)}"

    def _constant(self, name: str, values: ArrayLike) -> str:
        array = np.ascontiguousarray(np.asarray(values, np.float32))
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def numbers(self, name: str, values: ArrayLike) -> str:
        """A constant of whole numbers."""
        self._constants.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def constant(self, name: str, values: ArrayLike) -> str:
        """A constant of any shape, that of a number included."""
        array = np.array(values, np.float32, order="C")
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def operator(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Any operator of ONNX's, by its name."""
        flat = inputs[0] in self._flat and operator != "Reshape"
        if flat or operator in ("Flatten", "Gemm"):
            self._flat.add(output)
        self._nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output
