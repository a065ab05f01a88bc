"""The normal form of a network: the operators of an ONNX file, grouped, with static shapes.

A node is named by the output tensor of its last operator. Batch normalisation belongs to the
convolution before it (if that is its only reader), because a runtime may fold it; SiLU is
Mul(x, Sigmoid(x)). Operators that only rename or reshape leave no node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit_check.onnxfile import OnnxGraph, Operator, Tensor
from lastbit_check.verdict import Unreadable, require

F32 = NDArray[np.float32]
Shape = tuple[int, int, int]
RENAMING = ("Cast", "Identity", "Flatten", "Reshape", "Dropout")


@dataclass(frozen=True)
class BatchNorm:
    """gamma (x - mean) / sqrt(var + epsilon) + beta, per channel."""

    gamma: F32
    beta: F32
    mean: F32
    var: F32
    epsilon: float


@dataclass(frozen=True)
class Weights:
    """A convolution: weight (O, I / groups, kh, kw), bias (O,); pads top, left, bottom, right."""

    weight: F32
    bias: F32
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    bn: BatchNorm | None = None


@dataclass(frozen=True)
class Node:
    """``op`` is one of input, affine, linear, silu, sigmoid, gate, add, mean, softmax.

    ``kind`` and ``constant`` (C,) belong to affine: div, mul, add or sub.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    weights: Weights | None = None
    kind: str = ""
    constant: F32 | None = None


def normal_form(graph: OnnxGraph) -> list[Node]:
    """The nodes in file order. Raises Rejected (rules model.*) for what is not covered."""
    try:
        return _Reader(graph).nodes()
    except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise Unreadable(f"an operator of the ONNX file is malformed: {error!r}") from error


class _Reader:
    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.alias: dict[str, str] = {}
        self.found: dict[str, Node] = {}
        self.products: set[str] = set()  # of MatMul, which an Add may give a bias
        self.rank: dict[str, int] = {graph.input_name: 4}
        self.readers: dict[str, int] = {}  # of a value, whatever name it is read under
        same: dict[str, str] = {}
        for operator in graph.operators:
            names = [same.get(name, name) for name in operator.inputs]
            if operator.op in RENAMING and names and operator.outputs:
                same[operator.outputs[0]] = names[0]
                continue
            for name in names:
                self.readers[name] = self.readers.get(name, 0) + 1
        end = same.get(graph.output_name, graph.output_name)
        self.readers[end] = self.readers.get(end, 0) + 1

    def nodes(self) -> list[Node]:
        graph = self.graph
        dims = graph.input_dims
        require(13 <= graph.opset <= 25, "model.opset", f"operator set {graph.opset}")
        require(graph.input_type == 2, "model.input", "the input is not a uint8 image")
        right = len(dims) == 4 and min(dims[1:]) > 0 and dims[0] in (-1, 1) and graph.input_name
        require(right, "model.input", f"input dimensions {dims}")
        shape = (dims[1], dims[2], dims[3])
        self._add(Node(graph.input_name, "input", (), shape))
        for name, values in self.constants.items():
            require(np.all(np.isfinite(values)), "model.weights", "a weight is not finite", name)
        for operator in graph.operators:
            self._operator(operator)
        last = self._value(graph.output_name)
        nodes = list(self.found.values())
        softmaxes = [n for n in nodes if n.op == "softmax"]
        require(
            softmaxes == [last] and nodes[-1] is last, "model.output", "no single final softmax"
        )
        apart = self.readers[last.inputs[0]] == 1 and self.found[last.inputs[0]].op != "input"
        require(apart, "model.output", "the logits are read elsewhere, or are the image")
        return nodes

    def _add(self, node: Node) -> None:
        require(0 < math.prod(node.shape) < 2**24, "model.shape", "empty or too large", node.name)
        self.found[node.name] = node

    def _value(self, name: str) -> Node:
        while name in self.alias:
            name = self.alias[name]
        require(name in self.found, "model.graph", "a tensor is read before it is made", name)
        return self.found[name]

    def _tensor(self, name: str) -> Tensor:
        require(name in self.constants, "model.graph", "a weight is not a constant", name)
        return self.constants[name]

    def _floats(self, name: str) -> F32:
        values = self._tensor(name)
        require(values.dtype == np.dtype("<f4"), "model.weights", "a weight is not float32", name)
        return values.astype(np.float32)

    def _operator(self, o: Operator) -> None:
        require(len(o.outputs) == 1, "model.operator", "not one output", o.op)
        made = {"", *self.rank, *self.constants}
        require(o.outputs[0] not in made, "model.graph", "no name, or made twice", o.outputs[0])
        rules = {
            "Constant": (self._constant, 0, 0), "Cast": (self._cast, 1, 1),
            "Identity": (self._same, 1, 1), "Dropout": (self._same, 1, 1),
            "Flatten": (self._flatten, 1, 1), "Reshape": (self._flatten, 2, 2),
            "Conv": (self._conv, 2, 3), "BatchNormalization": (self._batch_norm, 5, 5),
            "Gemm": (self._gemm, 2, 3), "MatMul": (self._matmul, 2, 2),
            "Sigmoid": (self._sigmoid, 1, 1), "Mul": (self._mul, 2, 2),
            "Div": (self._elementwise, 2, 2), "Sub": (self._elementwise, 2, 2),
            "Add": (self._elementwise, 2, 2), "GlobalAveragePool": (self._mean, 1, 1),
            "ReduceMean": (self._mean, 1, 2), "Softmax": (self._softmax, 1, 1),
        }  # fmt: skip
        require(o.op in rules, "model.operator", f"operator {o.op} has no rule", o.outputs[0])
        rule, least, most = rules[o.op]
        require(least <= len(o.inputs) <= most, "model.operator", "number of inputs", o.outputs[0])
        ranks = [self.rank[v] for v in o.inputs if v in self.rank]
        require(len(set(ranks)) <= 1, "model.shape", "inputs of different rank", o.outputs[0])
        self.rank[o.outputs[0]] = ranks[0] if ranks else 0
        rule(o)
        if o.outputs[0] in self.constants:
            del self.rank[o.outputs[0]]

    def _wants_rank(self, o: Operator, rank: int) -> None:
        require(self.rank[o.outputs[0]] == rank, "model.shape", "input's rank", o.outputs[0])

    def _constant(self, o: Operator) -> None:
        value = o.attributes.get("value")
        require(isinstance(value, np.ndarray), "model.operator", "not a tensor", o.outputs[0])
        assert isinstance(value, np.ndarray)
        require(np.all(np.isfinite(value)), "model.weights", "a weight is not finite", o.outputs[0])
        self.constants[o.outputs[0]] = value

    def _cast(self, o: Operator) -> None:
        source = self._value(o.inputs[0])
        right = o.attributes.get("to") == 1 and source.op == "input"
        require(right, "model.operator", "only bytes to float32", o.outputs[0])
        self.alias[o.outputs[0]] = o.inputs[0]

    def _same(self, o: Operator) -> None:
        self.alias[o.outputs[0]] = o.inputs[0]

    def _flatten(self, o: Operator) -> None:
        source = self._value(o.inputs[0])
        require(source.shape[1:] == (1, 1), "model.operator", "reshapes pixels", o.outputs[0])
        if o.op == "Reshape":
            target = [int(v) for v in self._tensor(o.inputs[1]).reshape(-1)]
            kept = target in ([-1, source.shape[0]], [0, -1], [0, source.shape[0]])
            require(kept, "model.operator", "a reshape other than to (N, C)", o.outputs[0])
        else:
            require(o.attributes.get("axis", 1) == 1, "model.operator", "axis", o.outputs[0])
        self.rank[o.outputs[0]] = 2
        self.alias[o.outputs[0]] = o.inputs[0]

    def _conv(self, o: Operator) -> None:
        source, name = self._value(o.inputs[0]), o.outputs[0]
        weight = self._floats(o.inputs[1])
        self._wants_rank(o, 4)
        require(weight.ndim == 4, "model.operator", "not a 2-dimensional convolution", name)
        outs, ins, kh, kw = weight.shape
        bias = self._floats(o.inputs[2]) if len(o.inputs) > 2 else np.zeros(outs, np.float32)
        at = o.attributes
        groups = at.get("group", 1)
        pads, strides = at.get("pads", [0, 0, 0, 0]), at.get("strides", [1, 1])
        require(at.get("auto_pad", "NOTSET") == "NOTSET", "model.operator", "auto_pad", name)
        require(at.get("dilations", [1, 1]) == [1, 1], "model.operator", "dilation", name)
        require(at.get("kernel_shape", [kh, kw]) == [kh, kw], "model.operator", "kernel", name)
        assert isinstance(groups, int) and isinstance(pads, list) and isinstance(strides, list)
        top, left, bottom, right = (int(v) for v in pads)
        sh, sw = (int(v) for v in strides)
        fits = groups > 0 and ins * groups == source.shape[0] and outs % groups == 0
        fits = fits and bias.shape == (outs,) and min(top, left, bottom, right, sh - 1, sw - 1) >= 0
        require(fits, "model.shape", "weights do not fit their input", name)
        rows = (source.shape[1] + top + bottom - kh) // sh + 1
        columns = (source.shape[2] + left + right - kw) // sw + 1
        require(rows > 0 and columns > 0, "model.shape", "empty output", name)
        weights = Weights(weight, bias, (sh, sw), (top, left, bottom, right), groups)
        self._add(Node(name, "linear", (source.name,), (outs, rows, columns), weights))

    def _batch_norm(self, o: Operator) -> None:
        source, name = self._value(o.inputs[0]), o.outputs[0]
        channels = source.shape[0]
        gamma, beta, mean, var = (self._floats(v) for v in o.inputs[1:5])
        epsilon = float(np.float32(o.attributes.get("epsilon", np.float32(1e-5))))  # type: ignore[arg-type]
        right = all(v.shape == (channels,) for v in (gamma, beta, mean, var))
        right = right and not o.attributes.get("training_mode", 0) and epsilon >= 2.0**-100
        require(right and np.all(var >= 0), "model.shape", "batch norm parameters", name)
        bn = BatchNorm(gamma, beta, mean, var, epsilon)
        w = source.weights
        if source.op == "linear" and w and w.bn is None and self.readers[source.name] == 1:
            del self.found[source.name]
            folded = Weights(w.weight, w.bias, w.strides, w.pads, w.groups, bn)
            self._add(Node(name, "linear", source.inputs, source.shape, folded))
            return
        ones, none = np.ones((channels, 1, 1, 1), np.float32), np.zeros(channels, np.float32)
        weights = Weights(ones, none, groups=channels, bn=bn)
        self._add(Node(name, "linear", (source.name,), source.shape, weights))

    def _dense(self, source: Node, weight: F32, bias: F32, name: str) -> None:
        fits = weight.ndim == 2 and source.shape == (weight.shape[1], 1, 1)
        require(fits and bias.shape == weight.shape[:1], "model.shape", "dense weights", name)
        weights = Weights(weight[:, :, None, None], bias)
        self._add(Node(name, "linear", (source.name,), (weight.shape[0], 1, 1), weights))

    def _gemm(self, o: Operator) -> None:
        at, name, source = o.attributes, o.outputs[0], self._value(o.inputs[0])
        self._wants_rank(o, 2)
        plain = at.get("alpha", 1.0) == 1.0 and at.get("beta", 1.0) == 1.0
        require(plain and not at.get("transA", 0), "model.operator", "scaled Gemm", name)
        weight = self._floats(o.inputs[1])
        require(weight.ndim == 2, "model.shape", "dense weights", name)
        weight = weight if at.get("transB", 0) else weight.T
        none = np.zeros(weight.shape[0], np.float32)
        bias = self._floats(o.inputs[2]) if len(o.inputs) > 2 else none
        rows = np.ravel(bias) if bias.ndim == 2 and len(bias) == 1 else bias
        self._dense(source, weight, rows, name)

    def _matmul(self, o: Operator) -> None:
        self._wants_rank(o, 2)
        weight = self._floats(o.inputs[1]).T
        bias = np.zeros(weight.shape[0], np.float32)
        self._dense(self._value(o.inputs[0]), weight, bias, o.outputs[0])
        self.products.add(o.outputs[0])

    def _sigmoid(self, o: Operator) -> None:
        source = self._value(o.inputs[0])
        self._add(Node(o.outputs[0], "sigmoid", (source.name,), source.shape))

    def _mul(self, o: Operator) -> None:
        if any(name in self.constants for name in o.inputs):
            self._elementwise(o)
            return
        a, b, name = self._value(o.inputs[0]), self._value(o.inputs[1]), o.outputs[0]
        for x, s in ((a, b), (b, a)):
            if s.op == "sigmoid" and s.inputs == (x.name,) and self.readers[s.name] == 1:
                del self.found[s.name]
                self._add(Node(name, "silu", (x.name,), x.shape))
                return
        x, s = (a, b) if b.shape[1:] == (1, 1) else (b, a)
        require(s.shape == (x.shape[0], 1, 1), "model.shape", "factors do not match", name)
        self._add(Node(name, "gate", (x.name, s.name), x.shape))

    def _elementwise(self, o: Operator) -> None:
        name = o.outputs[0]
        if not any(v in self.constants for v in o.inputs):
            a, b = self._value(o.inputs[0]), self._value(o.inputs[1])
            right = o.op == "Add" and a.shape == b.shape
            require(right, "model.shape", "terms do not match", name)
            self._add(Node(name, "add", (a.name, b.name), a.shape))
            return
        first = o.inputs[0] in self.constants
        require(not first or o.op in ("Mul", "Add"), "model.operator", f"constant {o.op} x", name)
        source = self._value(o.inputs[1] if first else o.inputs[0])
        constant = self._floats(o.inputs[0] if first else o.inputs[1])
        channels, rank = source.shape[0], self.rank[name]
        full = (1, channels, 1, 1)[:rank]
        shapes = ((), (1,), (1,) * rank, full, full[1:])
        require(constant.shape in shapes, "model.shape", "constant's shape", name)
        values = np.broadcast_to(constant.reshape(-1), (channels,)).astype(np.float32)
        require(o.op != "Div" or np.all(values != 0), "model.weights", "division by 0", name)
        w = source.weights
        if w and o.op == "Add" and source.name in self.products and self.readers[source.name] == 1:
            del self.found[source.name]
            self._add(Node(name, "linear", source.inputs, source.shape, Weights(w.weight, values)))
            return
        self._add(Node(name, "affine", (source.name,), source.shape, None, o.op.lower(), values))

    def _mean(self, o: Operator) -> None:
        source, name = self._value(o.inputs[0]), o.outputs[0]
        self._wants_rank(o, 4)
        if o.op == "ReduceMean":
            self.rank[name] = 4 if o.attributes.get("keepdims", 1) else 2
            axes = o.attributes.get("axes")
            if axes is None and len(o.inputs) > 1:
                axes = [int(v) for v in self._tensor(o.inputs[1]).reshape(-1)]
            right = isinstance(axes, list) and sorted(int(v) % 4 for v in axes) == [2, 3]
            require(right, "model.operator", "mean over other axes", name)
        self._add(Node(name, "mean", (source.name,), (source.shape[0], 1, 1)))

    def _softmax(self, o: Operator) -> None:
        source, name = self._value(o.inputs[0]), o.outputs[0]
        axis = o.attributes.get("axis", -1)
        axes = (-1, 1) if self.rank[name] == 2 else (1, -3)
        right = source.shape[1:] == (1, 1) and source.shape[0] > 1 and axis in axes
        require(right, "model.operator", "softmax over another axis", name)
        self._add(Node(name, "softmax", (source.name,), source.shape))
