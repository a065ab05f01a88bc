"""The normal form of a network: the operators of an ONNX file, grouped, with static shapes.

A node is named by the output tensor of its last operator. Batch normalisation belongs to the
convolution before it (if that is its only reader), because a runtime may fold it; SiLU is
Mul(x, Sigmoid(x)). Operators that only rename or reshape leave no node.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.onnxfile import Attribute, OnnxGraph, Operator, Tensor
from lastbit_check.verdict import Rejected, at, reading, require

F32 = NDArray[np.float32]
Shape = tuple[int, int, int]
LINEAR = ("linear", "affine", "mean")
CURVED = ("silu", "sigmoid", "gate")


class BatchNorm(NamedTuple):
    """gamma (x - mean) / sqrt(var + epsilon) + beta, per channel."""

    gamma: F32
    beta: F32
    mean: F32
    var: F32
    epsilon: float


@dataclass(frozen=True)
class Weights:
    """A convolution: weight (O, I / groups, kh, kw), bias (O,); pads top, left, bottom, right.

    ``divisor`` (O,) divides the sums, or a rounded reciprocal of it multiplies them; batch norm
    ``bn`` follows.
    """

    weight: F32
    bias: F32
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    groups: int = 1
    divisor: F32 | None = None
    bn: BatchNorm | None = None


@dataclass(frozen=True)
class Node:
    """``op`` is one of input, affine, linear, silu, sigmoid, gate, add, mean, softmax.

    ``rank`` is 4 for a tensor (N, C, H, W), 2 for (N, C), whose ``shape`` is (C, 1, 1). ``made_by``
    is the operator that a node with ``weights`` comes from: linear, affine and mean have some.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    rank: int = 4
    weights: Weights | None = None
    made_by: str = ""


def normal_form(graph: OnnxGraph) -> list[Node]:
    """The nodes in file order. Raises Rejected (rules model.*) for what is not covered."""
    require(13 <= graph.opset <= 25, "model.opset", f"operator set {graph.opset}")
    name, kind = graph.image["name"], graph.image["type"]["tensor_type"]
    require(kind["elem_type"] == 2, "model.input", "the input is not a uint8 image")
    dims = [dim["dim_value"] for dim in kind["shape"]["dim"]]
    right = len(dims) == 4 and min(dims[1:]) > 0 and dims[0] in (-1, 1) and name
    require(right, "model.input", f"the image's name {name!r} or dimensions {dims}")
    reader = _Reader(_readers(graph))
    image = Node(name, "input", (), (dims[1], dims[2], dims[3]))
    for label, made in {name: image, **graph.constants}.items():
        reader.keep(label, made)
    for o in graph.operators:
        with at(o.name), reading(f"operator {o.name!r} of the ONNX file is malformed"):
            reader.read(o)
    nodes, last = list(reader.nodes.values()), reader.value(graph.output_name)
    softmaxes = [node.name for node in nodes if node.op == "softmax"]
    right = softmaxes == [last.name] == [nodes[-1].name]
    require(right, "model.output", "no single final softmax")
    logits = reader.nodes[last.inputs[0]]
    right = reader.only_reader(logits) and logits.op != "input"
    require(right, "model.output", "the logits are read elsewhere, or are the image")
    return nodes


def _readers(graph: OnnxGraph) -> Counter[str]:
    """How often a value is read, whatever name it is read under."""
    found, same = Counter[str](), dict[str, str]()
    for o in graph.operators:
        names = [same.get(name, name) for name in o.inputs]
        if o.op in RULES and RULES[o.op].renames and names:
            same[o.name] = names[0]
        else:
            found.update(names)
    return found


def _node(o: Operator, op: str, *sources: Node, **parts: Any) -> Node:
    """What ``o`` makes of its sources; shape and rank are the first one's unless given."""
    first, names = sources[0], tuple(source.name for source in sources)
    return replace(Node(o.name, op, names, first.shape, first.rank), **parts)


def _diagonal(channels: int, height: int = 1, width: int = 1, /, **parts: Any) -> Weights:
    """Each channel's sum over a kernel's places, unless ``parts`` say otherwise."""
    ones = np.ones((channels, 1, height, width), np.float32)
    return replace(Weights(ones, np.zeros(channels, np.float32), groups=channels), **parts)


@dataclass
class _Reader:
    """Reads one operator after the other; a method for each kind returns what it makes.

    That is a new node, or for a renaming operator the one that it reads, or a constant. ``values``
    holds the node that a tensor is of, by the tensor's name.
    """

    readers: Counter[str]
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    values: dict[str, Node] = field(default_factory=dict[str, Node])
    constants: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def read(self, o: Operator) -> None:
        require(o.name not in {"", *self.values, *self.constants}, "model.graph", "no new name")
        require(o.op in RULES, "model.operator", f"operator {o.op} has no rule")
        rule = RULES[o.op]
        require(len(o.inputs) in rule.inputs, "model.operator", "number of inputs")
        other = [
            name for name, value in rule.only.items() if o.attributes.get(name, value) != value
        ]
        require(not other, "model.operator", f"the value of {other}")
        sources = [self.value(name) for name in o.inputs if name not in self.constants]
        require(len(sources) in rule.sources, "model.graph", "a constant, or none, is read here")
        ranks = {x.rank for x in sources}
        require(len(ranks) < 2 and ranks <= {*rule.ranks}, "model.shape", "the rank of an input")
        self.keep(o.name, rule.make(self, o, *sources))

    def keep(self, name: str, made: Node | Tensor) -> None:
        if not isinstance(made, Node):
            require(np.all(np.isfinite(made)), "model.weights", "a weight is not finite", name)
            self.constants[name] = made
            return
        require(0 < math.prod(made.shape) < 2**24, "model.shape", "empty or too large")
        self.values[name] = made
        if name == made.name:
            self.nodes[name] = made

    def value(self, name: str) -> Node:
        require(name in self.values, "model.graph", "a tensor is read before it is made", name)
        return self.values[name]

    def tensor(self, name: str) -> Tensor:
        require(name in self.constants, "model.graph", "a weight is not a constant", name)
        return self.constants[name]

    def floats(self, name: str) -> F32:
        values = self.tensor(name)
        require(values.dtype == np.dtype("<f4"), "model.weights", "a weight is not float32", name)
        return values.astype(np.float32)

    def only_reader(self, node: Node) -> bool:
        """Whether a single operator reads the node, so that it may become part of that one's."""
        return self.readers[node.name] == 1

    def extended(self, o: Operator, node: Node, weights: Weights) -> Node:
        """A linear node that takes in one operator more."""
        del self.nodes[node.name]
        return replace(node, name=o.name, weights=weights, made_by=o.op)

    def constant(self, o: Operator) -> Tensor:
        value = o.attributes.get("value")
        if not isinstance(value, np.ndarray):
            raise Rejected("model.operator", "not a tensor")
        return value

    def sigmoid(self, o: Operator, x: Node) -> Node:
        return _node(o, "sigmoid", x)

    def same(self, o: Operator, x: Node) -> Node:
        right = o.op != "Cast" or (o.attributes.get("to") == 1 and x.op == "input")
        require(right, "model.operator", "only bytes to float32")
        return x

    def flatten(self, o: Operator, x: Node) -> Node:
        require(x.shape[1:] == (1, 1), "model.operator", "reshapes pixels")
        target = self.tensor(o.inputs[1]).ravel().tolist() if len(o.inputs) > 1 else [0, -1]
        right = target in ([-1, x.shape[0]], [0, -1], [0, x.shape[0]])
        require(right, "model.operator", "a reshape other than to (N, C)")
        return replace(x, rank=2)

    def conv(self, o: Operator, x: Node) -> Node:
        weight = self.floats(o.inputs[1])
        kernel = [*weight.shape[2:]]
        right = len(kernel) == 2 and o.attributes.get("kernel_shape", kernel) == kernel
        require(right, "model.operator", "the kernel's shape")
        steps = tuple(o.attribute("strides", [1, 1])), tuple(o.attribute("pads", [0, 0, 0, 0]))
        weights = Weights(weight, self.bias(o, len(weight)), *steps, o.attribute("group", 1))
        return self.linear(o, x, weights)

    def dense(self, o: Operator, x: Node) -> Node:
        weight = self.floats(o.inputs[1])
        require(weight.ndim == 2, "model.shape", "dense weights")
        rows = weight if o.attribute("transB", 0) else weight.T
        bias = self.bias(o, len(rows))
        bias = bias[0] if bias.shape == (1, len(rows)) else bias
        return self.linear(o, x, Weights(rows[:, :, None, None], bias))

    def bias(self, o: Operator, outs: int) -> F32:
        return self.floats(o.inputs[2]) if len(o.inputs) > 2 else np.zeros(outs, np.float32)

    def linear(self, o: Operator, x: Node, w: Weights) -> Node:
        outs, ins, high, wide = w.weight.shape
        (down, across), (top, left, bottom, right) = w.strides, w.pads
        fits = w.groups > 0 and ins * w.groups == x.shape[0] and outs % w.groups == 0
        fits = fits and w.bias.shape == (outs,) and min(high, wide, down, across) > 0
        require(fits and min(w.pads) >= 0, "model.shape", "weights do not fit their input")
        rows = (x.shape[1] + top + bottom - high) // down + 1
        columns = (x.shape[2] + left + right - wide) // across + 1
        require(min(rows, columns) > 0, "model.shape", "empty output")
        return _node(o, "linear", x, shape=(outs, rows, columns), weights=w, made_by=o.op)

    def batch_norm(self, o: Operator, x: Node) -> Node:
        gamma, beta, mean, var = (self.floats(name) for name in o.inputs[1:])
        fits = all(v.shape == x.shape[:1] for v in (gamma, beta, mean, var)) and np.all(var >= 0)
        epsilon = o.attribute("epsilon", float(np.float32(1e-5)))
        right = 2.0**-100 <= epsilon < math.inf and not o.attribute("training_mode", 0)
        require(fits and right, "model.shape", "batch norm parameters")
        bn, w = BatchNorm(gamma, beta, mean, var, epsilon), x.weights
        if w and x.op == "linear" and w.bn is None and self.only_reader(x):
            return self.extended(o, x, replace(w, bn=bn))
        return _node(o, "linear", x, weights=_diagonal(len(var), bn=bn))

    def elementwise(self, o: Operator, a: Node, b: Node | None = None) -> Node:
        if b is None:
            return self.affine(o, a)
        if o.op == "Mul":
            return self.product(o, a, b)
        require(o.op == "Add" and a.shape == b.shape, "model.shape", "terms do not match")
        return _node(o, "add", a, b)

    def product(self, o: Operator, a: Node, b: Node) -> Node:
        for x, s in ((a, b), (b, a)):
            if s.op == "sigmoid" and s.inputs == (x.name,) and self.only_reader(s):
                del self.nodes[s.name]
                return _node(o, "silu", x)
        x, s = (a, b) if b.shape[1:] == (1, 1) else (b, a)
        require(s.shape == (x.shape[0], 1, 1), "model.shape", "factors do not match")
        return _node(o, "gate", x, s)

    def affine(self, o: Operator, x: Node) -> Node:
        first = o.inputs[0] in self.constants
        require(not first or o.op in ("Mul", "Add"), "model.operator", f"constant {o.op} x")
        constant, full = self.floats(o.inputs[not first]), (1, x.shape[0], 1, 1)[: x.rank]
        shapes = ((), (1,), (1,) * x.rank, full, full[1:])
        require(constant.shape in shapes, "model.shape", "constant's shape")
        values = np.broadcast_to(constant.reshape(-1), x.shape[:1]).astype(np.float32)
        require(o.op != "Div" or np.all(values != 0), "model.weights", "division by 0")
        if x.weights and o.op == "Add" and x.made_by == "MatMul" and self.only_reader(x):
            return self.extended(o, x, replace(x.weights, bias=values))
        part = {"Mul": "weight", "Div": "divisor"}.get(o.op, "bias")
        value = {"Mul": values[:, None, None, None], "Sub": -values}.get(o.op, values)
        return _node(o, "affine", x, weights=_diagonal(len(values), **{part: value}))

    def mean(self, o: Operator, x: Node) -> Node:
        given = self.tensor(o.inputs[1]).ravel().tolist() if len(o.inputs) > 1 else []
        axes = o.attributes.get("axes", given) if o.op == "ReduceMean" else [2, 3]
        right = isinstance(axes, list) and sorted(axis % 4 for axis in axes) == [2, 3]
        require(right, "model.operator", "mean over other axes")
        channels, *kernel = x.shape
        pixels = np.full(channels, float(math.prod(kernel)), np.float32)
        weights = _diagonal(channels, *kernel, divisor=pixels)
        rank = 4 if o.attribute("keepdims", 1) else 2
        return _node(o, "mean", x, shape=(channels, 1, 1), rank=rank, weights=weights)

    def softmax(self, o: Operator, x: Node) -> Node:
        axes = (-1, 1) if x.rank == 2 else (1, -3)
        right = x.shape[1:] == (1, 1) and x.shape[0] > 1 and o.attributes.get("axis", -1) in axes
        require(right, "model.operator", "softmax over another axis")
        return _node(o, "softmax", x)


@dataclass(frozen=True)
class _Rule:
    """How many inputs, how many of them no constants, their ranks; attributes of one value."""

    make: Callable[..., Node | Tensor]
    inputs: tuple[int, ...] = (1,)
    ranks: tuple[int, ...] = (2, 4)
    only: dict[str, Attribute] = field(default_factory=dict[str, Attribute])
    sources: tuple[int, ...] = (1,)
    renames: bool = False


RULES = {
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), _Rule(_Reader.elementwise, (2,), sources=(1, 2))),
    **dict.fromkeys(("Cast", "Dropout", "Identity"), _Rule(_Reader.same, renames=True)),
    "BatchNormalization": _Rule(_Reader.batch_norm, (5,)),
    "Constant": _Rule(_Reader.constant, (0,), sources=(0,)),
    "Conv": _Rule(_Reader.conv, (2, 3), (4,), {"auto_pad": "NOTSET", "dilations": [1, 1]}),
    "Flatten": _Rule(_Reader.flatten, only={"axis": 1}, renames=True),
    "Gemm": _Rule(_Reader.dense, (2, 3), (2,), {"alpha": 1.0, "beta": 1.0, "transA": 0}),
    "GlobalAveragePool": _Rule(_Reader.mean, ranks=(4,), only={"keepdims": 1}),
    "MatMul": _Rule(_Reader.dense, (2,), (2,), {"transB": 0}),
    "ReduceMean": _Rule(_Reader.mean, (1, 2), (4,)),
    "Reshape": _Rule(_Reader.flatten, (2,), renames=True),
    "Sigmoid": _Rule(_Reader.sigmoid),
    "Softmax": _Rule(_Reader.softmax),
}
