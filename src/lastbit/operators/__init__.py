"""Operators: what each can say of itself, as the file writes it (lastbit_check has its rules).

A module of OPERATORS says, by the operator's name in the file format, how a node is made of it
(READERS), and by the name of a curve in the checker's normal form which node it is (CURVES). What
only renames a value, for the checker too, makes none.
"""

from collections.abc import Callable, Mapping
from types import ModuleType

from lastbit.operators import (
    affine,
    arranging,
    clip,
    curves,
    elu,
    gelu,
    gelu_tanh,
    hard,
    leaky,
    linear,
    pooling,
    powers,
    products,
    quotients,
    relu,
    soft,
    softmax,
    tanh,
)
from lastbit.operators.affine import Add as Add, Affine as Affine, BatchNorm as BatchNorm
from lastbit.operators.base import Float64Array, Node as Node, Read as Read
from lastbit.operators.curves import Sigmoid as Sigmoid, Silu as Silu
from lastbit.operators.image import Input as Input
from lastbit.operators.linear import Linear as Linear, Mean as Mean
from lastbit.operators.pointwise import Curve as Curve
from lastbit.operators.products import Gate as Gate
from lastbit.operators.softmax import Softmax as Softmax
from lastbit_check.network import Node as NormalNode

OPERATORS: tuple[ModuleType, ...] = (
    *(affine, arranging, clip, curves, elu, gelu, gelu_tanh, hard, leaky),
    *(linear, pooling, powers, products, quotients, relu, soft, softmax, tanh),
)
READERS: Mapping[str, Callable[[Read], Node]] = {
    name: read for operator in OPERATORS for name, read in operator.READERS.items()
}
CURVES: Mapping[str, type[Curve]] = {
    name: curve for operator in OPERATORS for name, curve in getattr(operator, "CURVES", {}).items()
}
NAMED: Mapping[str, type[Curve]] = {curve.onnx: curve for curve in CURVES.values() if curve.onnx}
"""The curves that are one operator of the file format, by its name."""


def curve_of(node: NormalNode) -> Curve:
    """What executes a curve of the checker's normal form."""
    return CURVES[node.op](node.name, node.shape, node.inputs, node.parameters)


def float64_of(curve: type[Curve]) -> Callable[[Float64Array], Float64Array]:
    """The function that a curve is, number by number."""
    return curve("", (0, 0, 0), ()).float64
