"""Sigmoid, sums, products and quotients, value by value."""

from onnx import NodeProto

from lastbit.errors import ModelError
from lastbit.graph.network import Add, Affine, AffineKind, Gate, Sigmoid, Silu
from lastbit.graph.onnx_building import Building, UnsupportedError, as_shape, per_channel


def sigmoid(b: Building, node: NodeProto) -> None:
    """Sigmoid, until a product with its own input makes it a SiLU."""
    value = b.value(node)
    b.put(Sigmoid(node.output[0], as_shape(value.dims), value.node), value.dims)


def _affine(b: Building, node: NodeProto, kind: AffineKind, variable: int) -> None:
    """One operation with a constant; the other operand is input number `variable`."""
    value = b.value(node, variable)
    constant = per_channel(b, node, 1 - variable, value.dims)
    if kind == "div" and not constant.all():
        raise ModelError("a division by zero", where=b.where(node))
    b.put(Affine(node.output[0], as_shape(value.dims), value.node, kind, constant), value.dims)


def add(b: Building, node: NodeProto) -> None:
    """Add, of two values or of a value and a constant."""
    if b.is_constant(node, 0) or b.is_constant(node, 1):
        _affine(b, node, "add", 1 if b.is_constant(node, 0) else 0)
        return
    x, y = b.value(node, 0), b.value(node, 1)
    if x.dims != y.dims:
        raise UnsupportedError(f"of shapes {x.dims} and {y.dims}")
    b.put(Add(node.output[0], as_shape(x.dims), x.node, y.node), x.dims)


def sub(b: Building, node: NodeProto) -> None:
    """Sub of a constant."""
    if b.is_constant(node, 0) or not b.is_constant(node, 1):
        raise UnsupportedError("of anything but a constant")
    _affine(b, node, "sub", 0)


def div(b: Building, node: NodeProto) -> None:
    """Div by a constant."""
    if b.is_constant(node, 0) or not b.is_constant(node, 1):
        raise UnsupportedError("by anything but a constant")
    _affine(b, node, "div", 0)


def mul(b: Building, node: NodeProto) -> None:
    """Mul: by a constant, SiLU, or gate."""
    if b.is_constant(node, 0) or b.is_constant(node, 1):
        _affine(b, node, "mul", 1 if b.is_constant(node, 0) else 0)
        return
    x, y = b.value(node, 0), b.value(node, 1)
    for factor, other in ((y, x), (x, y)):
        before = b.nodes[factor.node]
        single = isinstance(before, Sigmoid) and b.uses[before.name] == 1
        if single and before.inputs == (other.node,) and x.dims == y.dims:
            del b.nodes[before.name]
            b.put(Silu(node.output[0], before.shape, other.node), x.dims)
            return
    gate = (y.dims[0], 1, 1)
    if len(y.dims) == 3 and x.dims == gate != y.dims:
        x, y = y, x
    if len(x.dims) != len(y.dims) or y.dims not in (gate, (x.dims[0],)) or x.dims[0] != gate[0]:
        raise UnsupportedError(f"of shapes {x.dims} and {y.dims}")
    b.put(Gate(node.output[0], as_shape(x.dims), x.node, y.node), x.dims)
