"""What a node computes of given values, as exactly as is needed: in 64 bits of mantissa."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit.operators import CURVES, curve_of
from lastbit.operators.base import seen
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Network, Node, made_of, product
from lastbit_check.operators.patterns import products, taps_of
from soundness.programs import LONG, Long, Values, logistic


def real(x: Fix) -> NDArray[np.float64]:
    """The numbers of a Fix, exactly: they have 53 bits at most."""
    return np.ldexp(x.n, -x.e)


def long(numbers: Any) -> Long:
    """Fractions, within 2^-64 of them."""

    def split(v: Fraction) -> tuple[float, float]:
        high = float(v)
        return high, float(v - Fraction(high))

    pairs = np.array([split(v) for v in np.ravel(numbers).tolist()]).reshape(*np.shape(numbers), 2)
    return pairs[..., 0].astype(LONG) + pairs[..., 1]


def exact_value(network: Network, node: Node, values: Values) -> Long:
    """The node's function of the values that were computed."""
    views = node.views or (None,) * len(node.inputs)
    x = [values[name].astype(LONG) for name in node.inputs]
    x = [v if view is None else seen(v, view) for v, view in zip(x, views, strict=True)]
    match node.op:
        case "sum":
            return exact_sum(network, node, values)
        case "silu":
            return x[0] * logistic(x[0])
        case "sigmoid":
            return logistic(x[0])
        case "gate":
            return x[0] * x[1]
        case "quotient":
            return x[0] / x[1]
        case "max":
            taps = taps_of(node, {node.inputs[0]: x[0].shape})
            assert taps is not None
            return x[0].ravel()[taps].max(axis=0).reshape(node.shape)
        case "softmax":
            powers = np.exp(x[0] - x[0].max())
            return powers / powers.sum()
        case name if name in CURVES:  # exact in any format
            curve: Any = curve_of(node)
            return curve.float64(x[0])
        case _:
            return values[node.name].astype(LONG)


def exact_sum(network: Network, node: Node, values: Values) -> Long:
    """Parts and constants, all factors folded."""
    assert node.sum is not None
    channels, found = node.shape[0], np.zeros(node.shape, LONG)
    for part in node.sum.parts:
        weight = part.weight.astype(LONG) * scale_of(part.factors, channels)[:, None, None, None]
        found += applied(network, node, part, weight, values[part.source]).reshape(node.shape)
    for constant in node.sum.constants:
        numbers = long(made_of(constant, node.shape))
        found += numbers.reshape(node.shape if numbers.size > channels else (channels, 1, 1))
    return found


def scale_of(factors: Any, channels: int) -> Long:
    """All factors together, channel by channel."""
    return long(product(factors, channels))


def applied(network: Network, node: Node, part: Any, weight: Long, x: Any) -> Long:
    """Other weights (O, I / groups, kh, kw) in the places of a part's, applied to values."""
    made = products(part, node.shape, network.by_name[part.source].shape)
    matrix = csr_array((weight.ravel()[made.data], made.indices, made.indptr), made.shape)
    return matrix @ x.astype(LONG).ravel()
