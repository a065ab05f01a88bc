"""The normal form of a network: the operators of an ONNX file, grouped, with static shapes.

A node is named by the output tensor of its last operator. Batch normalisation belongs to the
convolution before it, because a runtime may fold it; SiLU is Mul(x, Sigmoid(x)). What they take in
is no node, unless another one reads it; nor is what only renames or reshapes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit_check.files.declared import check_declared, image_shape
from lastbit_check.files.operators import legal
from lastbit_check.onnxfile import Attribute, OnnxGraph, Operator, Tensor
from lastbit_check.verdict import Rejected, at, reading, require

F32 = NDArray[np.float32]
Shape = tuple[int, int, int]
Exact = Any  # an array of fractions
BOXED = ("silu", "sigmoid")
CURVED = (*BOXED, "gate")


class Norm(NamedTuple):
    """What follows the sums x, per channel: gamma (x - mean) / root + beta.

    A term is rounded ``extra`` times besides the sums that it enters: once for its product, once
    more for a reciprocal, ten times more for batch norm, folded or not. ``root`` is exact but in
    batch norm.
    """

    gamma: Exact
    beta: Exact
    mean: Exact
    root: Exact
    extra: int = 11


@dataclass(frozen=True)
class Weights:
    """A convolution: weight (O, I / groups, kh, kw), bias (O,); pads top, left, bottom, right."""

    weight: F32
    bias: F32
    norm: Norm
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    groups: int = 1


@dataclass(frozen=True)
class Node:
    """``op`` is one of input, affine, linear, silu, sigmoid, gate, add, softmax.

    ``rank`` is 4 for a tensor (N, C, H, W), 2 for (N, C), whose ``shape`` is (C, 1, 1). Nodes that
    are linear (convolution, dense, batch norm, mean) or affine (by a constant) have ``weights``.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: Shape
    rank: int = 4
    weights: Weights | None = None


def normal_form(graph: OnnxGraph) -> list[Node]:
    """The nodes in file order. Raises Rejected (rules model.*) for what is not covered."""
    name, (batch, *shape) = graph.image.name, image_shape(graph.image)
    elements, reader = legal(graph), _Reader()
    image = Node(name, "input", (), (shape[0], shape[1], shape[2]))
    for label, made in {name: image, **graph.constants}.items():
        reader.keep(label, made)
    for o in graph.operators:
        with at(o.name), reading(f"operator {o.name!r} of the ONNX file is malformed"):
            reader.read(o)
    check_declared(graph.declared, elements, {k: _dims(v, batch) for k, v in reader.values.items()})
    nodes, last = reader.nodes(), reader.node(graph.output_name)
    found = [n.name for n in nodes if n.op == "softmax" or {*last.inputs} & {*n.inputs}]
    right = found == [last.name] == [nodes[-1].name] and last.op == "softmax"
    right = right and last.inputs != (name,)
    require(right, "model.output", "no single final softmax of logits that nothing else reads")
    return nodes


def _dims(value: Node | Tensor, batch: int | None) -> tuple[int | None, ...]:
    """The sizes of a tensor of the file, whose batch the normal form leaves out."""
    if isinstance(value, Node):
        return (batch, *value.shape[: value.rank - 1])
    return value.shape


def _made(o: Operator, op: str, *sources: Node, **parts: Any) -> Node:
    """What ``o`` makes of its sources; shape and rank are the first one's unless given."""
    first, names = sources[0], tuple(source.name for source in sources)
    return replace(Node(o.name, op, names, first.shape, first.rank), **parts)


def exact(x: F32) -> Exact:
    """The same numbers as fractions."""
    return np.array([Fraction(v) for v in x.tolist()], object)


def _weights(weight: F32, bias: F32 | None = None, /, **parts: Any) -> Weights:
    """Sums of products alone, unless ``parts`` say otherwise."""
    zeros = np.zeros(len(weight), np.float32)
    one, none = exact(zeros + 1), exact(zeros)
    norm = Norm(one, none, none, one, 1)
    return replace(Weights(weight, zeros if bias is None else bias, norm), **parts)


def _diagonal(x: Node, *kernel: int, **parts: Any) -> Weights:
    """Each channel's sum over a kernel's places, unless ``parts`` say otherwise."""
    ones = np.ones((x.shape[0], 1, *(kernel or (1, 1))), np.float32)
    return _weights(ones, **{"groups": x.shape[0], **parts})


def _divided(w: Weights, divisor: F32) -> Weights:
    """Sums divided by a constant, or multiplied with its rounded reciprocal."""
    normal = bool(np.min(np.abs(divisor)) >= 2.0**-126)
    require(normal, "finite.values", "a divisor that is 0 or subnormal")
    return replace(w, norm=w.norm._replace(root=exact(divisor), extra=2))


@dataclass
class _Reader:
    """Reads one operator after the other; a method for each kind returns what it makes.

    That is a new node, or for a renaming operator the one that it reads, or a constant. ``values``
    holds either by the tensor's name; ``taken`` names nodes that have become part of others.
    """

    values: dict[str, Node | Tensor] = field(default_factory=dict[str, Node | Tensor])
    taken: set[str] = field(default_factory=set[str])

    def read(self, o: Operator) -> None:
        require(o.name not in {"", *self.values}, "model.graph", "no new name")
        require(o.op in RULES, "model.operator", f"operator {o.op} has no rule")
        rule = RULES[o.op]
        require(len(o.inputs) in rule.inputs, "model.operator", "number of inputs")
        other = [name for name, v in rule.only.items() if o.attributes.get(name, v) != v]
        require(not other, "model.operator", f"the value of {other}")
        variable = [name for name in o.inputs if not isinstance(self.values.get(name), np.ndarray)]
        sources = [self.node(name) for name in variable]
        require(len(sources) in rule.make, "model.graph", "a constant, or none, is read here")
        ranks = {x.rank for x in sources}
        require(len(ranks) < 2 and ranks <= {*rule.ranks}, "model.shape", "the rank of an input")
        self.keep(o.name, rule.make[len(sources)](self, o, *sources))

    def keep(self, name: str, made: Node | Attribute | None) -> None:
        if isinstance(made, Node):
            require(0 < math.prod(made.shape) < 2**24, "model.shape", "empty or too large")
        elif isinstance(made, np.ndarray):
            require(np.all(np.isfinite(made)), "model.weights", "a weight is not finite", name)
        else:
            raise Rejected("model.operator", "not a tensor")
        self.values[name] = made

    def nodes(self) -> list[Node]:
        """All nodes in file order, but for those that are part of others and read by none."""
        found = {made.name: made for made in self.values.values() if isinstance(made, Node)}
        read = {name for node in found.values() for name in node.inputs}
        return [node for name, node in found.items() if name in read or name not in self.taken]

    def node(self, name: str) -> Node:
        value = self.values.get(name)
        if not isinstance(value, Node):
            raise Rejected("model.graph", "a tensor is read before it is made", name)
        return value

    def tensor(self, name: str) -> Tensor:
        value = self.values.get(name)
        if value is None or isinstance(value, Node):
            raise Rejected("model.graph", "a weight is not a constant", name)
        return value

    def floats(self, name: str) -> F32:
        values = self.tensor(name)
        require(values.dtype == np.dtype("<f4"), "model.weights", "a weight is not float32", name)
        return values.astype(np.float32)

    def constant(self, o: Operator) -> Attribute | None:
        return o.attributes.get("value")

    def sigmoid(self, o: Operator, x: Node) -> Node:
        return _made(o, "sigmoid", x)

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
        """A dense layer is a convolution by a kernel of one place."""
        weight, dense = self.floats(o.inputs[1]), o.op != "Conv"
        require(weight.ndim == (2 if dense else 4), "model.shape", "the rank of the weights")
        if dense:
            weight = (weight if o.attribute("transB", 0) else weight.T)[:, :, None, None]
        kernel = [*weight.shape[2:]]
        require(o.attributes.get("kernel_shape", kernel) == kernel, "model.operator", "the kernel")
        bias = self.floats(o.inputs[2]) if len(o.inputs) > 2 else None
        if dense and bias is not None and bias.shape == (1, len(weight)):
            bias = bias[0]
        strides, pads = o.attribute("strides", [1, 1]), o.attribute("pads", [0, 0, 0, 0])
        parts = {"strides": tuple(strides), "pads": tuple(pads), "groups": o.attribute("group", 1)}
        return self.linear(o, x, _weights(weight, bias, **parts))

    def linear(self, o: Operator, x: Node, w: Weights, **parts: Any) -> Node:
        outs, ins, high, wide = w.weight.shape
        (down, across), (top, left, bottom, right) = w.strides, w.pads
        fits = w.groups > 0 and ins * w.groups == x.shape[0] and outs % w.groups == 0
        fits = fits and w.bias.shape == (outs,) and min(high, wide, down, across) > 0
        require(fits and min(w.pads) >= 0, "model.shape", "weights do not fit their input")
        rows = (x.shape[1] + top + bottom - high) // down + 1
        columns = (x.shape[2] + left + right - wide) // across + 1
        require(min(rows, columns) > 0, "model.shape", "empty output")
        shape = (outs, rows, columns)
        return replace(_made(o, "linear", x, shape=shape, weights=w), **parts)

    def batch_norm(self, o: Operator, x: Node) -> Node:
        gamma, beta, mean, var = (self.floats(name) for name in o.inputs[1:])
        fits = all(v.shape == x.shape[:1] for v in (gamma, beta, mean, var)) and np.all(var >= 0)
        epsilon = o.attribute("epsilon", float(np.float32(1e-5)))
        right = 2.0**-100 <= epsilon < math.inf and not o.attribute("training_mode", 0)
        require(fits and right, "model.shape", "batch norm parameters")
        roots = np.array([_root(v + Fraction(epsilon)) for v in exact(var)], object)
        norm = Norm(exact(gamma), exact(beta), exact(mean), roots)
        if x.op == "linear" and x.weights and x.weights.norm.extra == 1:
            self.taken.add(x.name)
            return replace(x, name=o.name, weights=replace(x.weights, norm=norm))
        return self.linear(o, x, _diagonal(x, norm=norm))

    def add(self, o: Operator, x: Node, y: Node) -> Node:
        require(x.shape == y.shape, "model.shape", "terms do not match")
        return _made(o, "add", x, y)

    def product(self, o: Operator, a: Node, b: Node) -> Node:
        for x, s in ((a, b), (b, a)):
            if s.op == "sigmoid" and s.inputs == (x.name,):
                self.taken.add(s.name)
                return _made(o, "silu", x)
        x, s = (a, b) if b.shape[1:] == (1, 1) else (b, a)
        require(s.shape == (x.shape[0], 1, 1), "model.shape", "factors do not match")
        return _made(o, "gate", x, s)

    def affine(self, o: Operator, x: Node) -> Node:
        first = isinstance(self.values[o.inputs[0]], np.ndarray)
        require(not first or o.op in ("Mul", "Add"), "model.operator", f"constant {o.op} x")
        constant, full = self.floats(o.inputs[not first]), (1, x.shape[0], 1, 1)[: x.rank]
        shapes = ((), (1,), (1,) * x.rank, full, full[1:])
        require(constant.shape in shapes, "model.shape", "constant's shape")
        values = np.broadcast_to(constant.reshape(-1), x.shape[:1]).astype(np.float32)
        if o.op == "Mul":
            w = _diagonal(x, weight=values[:, None, None, None])
        elif o.op == "Div":
            w = _divided(_diagonal(x), values)
        else:
            w = _diagonal(x, bias=-values if o.op == "Sub" else values)
        return self.linear(o, x, w, op="affine")

    def mean(self, o: Operator, x: Node) -> Node:
        given = self.tensor(o.inputs[1]).ravel().tolist() if len(o.inputs) > 1 else []
        axes = o.attributes.get("axes", given) if o.op == "ReduceMean" else [2, 3]
        right = isinstance(axes, list) and sorted(axis % 4 for axis in axes) == [2, 3]
        require(right, "model.operator", "mean over other axes")
        channels, *kernel = x.shape
        pixels = np.full(channels, float(math.prod(kernel)), np.float32)
        rank = 4 if o.attribute("keepdims", 1) else 2
        return self.linear(o, x, _divided(_diagonal(x, *kernel), pixels), rank=rank)

    def softmax(self, o: Operator, x: Node) -> Node:
        axes = (-1, 1) if x.rank == 2 else (1, -3)
        right = x.shape[1:] == (1, 1) and x.shape[0] > 1 and o.attributes.get("axis", -1) in axes
        require(right, "model.operator", "softmax over another axis")
        return _made(o, "softmax", x)


def _root(x: Fraction) -> Fraction:
    """The square root from below, relative error below 2^-50."""
    k = (120 - x.numerator.bit_length() + x.denominator.bit_length()) // 2
    return Fraction(math.isqrt(math.floor(x * Fraction(4) ** k))) / Fraction(2) ** k


@dataclass(frozen=True)
class _Rule:
    """What makes it of as many nodes, how many inputs, their ranks; attributes of one value."""

    make: dict[int, Callable[..., Node | Attribute | None]]
    inputs: tuple[int, ...] = (1,)
    ranks: tuple[int, ...] = (2, 4)
    only: dict[str, Attribute] = field(default_factory=dict[str, Attribute])


RULES = {
    **dict.fromkeys(("Div", "Sub"), _Rule({1: _Reader.affine}, (2,))),
    **dict.fromkeys(("Cast", "Dropout", "Identity"), _Rule({1: _Reader.same})),
    "Add": _Rule({1: _Reader.affine, 2: _Reader.add}, (2,)),
    "BatchNormalization": _Rule({1: _Reader.batch_norm}, (5,)),
    "Constant": _Rule({0: _Reader.constant}, (0,)),
    "Conv": _Rule({1: _Reader.conv}, (2, 3), (4,), {"auto_pad": "NOTSET", "dilations": [1, 1]}),
    "Flatten": _Rule({1: _Reader.flatten}, only={"axis": 1}),
    "Gemm": _Rule({1: _Reader.conv}, (2, 3), (2,), {"alpha": 1.0, "beta": 1.0, "transA": 0}),
    "GlobalAveragePool": _Rule({1: _Reader.mean}, ranks=(4,), only={"keepdims": 1}),
    "MatMul": _Rule({1: _Reader.conv}, (2,), (2,), {"transB": 0}),
    "Mul": _Rule({1: _Reader.affine, 2: _Reader.product}, (2,)),
    "ReduceMean": _Rule({1: _Reader.mean}, (1, 2), (4,)),
    "Reshape": _Rule({1: _Reader.flatten}, (2,)),
    "Sigmoid": _Rule({1: _Reader.sigmoid}),
    "Softmax": _Rule({1: _Reader.softmax}),
}
