"""The reference executor: a network in NumPy float32, one rounding at a time.

Every product and every addition is a float32 operation of its own, in an order that can be
chosen. It is slow and plain on purpose: it is what the statement's "execution" means, and tests
hold every bound against it. What each operator computes is said in `lastbit.operators`.
"""

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from lastbit.float32.functions import (
    Function,
    correctly_rounded_exp,
    correctly_rounded_sigmoid,
)
from lastbit.float32.rounding import Arithmetic
from lastbit.float32.sums import Order, ordered_sum
from lastbit.graph import Float32Array, ImageArray, Input, Network, as_batch
from lastbit.operators.base import BatchNormForm, seen


@overload
def execute(
    network: Network,
    image: ImageArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: Literal[False] = False,
) -> Float32Array: ...


@overload
def execute(
    network: Network,
    image: ImageArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: Literal[True],
) -> tuple[Float32Array, dict[str, Float32Array]]: ...


def execute(
    network: Network,
    image: ImageArray,
    *,
    order: Order = "forward",
    flush_to_zero: bool = False,
    batch_norm_form: BatchNormForm = "centred",
    sigmoid: Function | None = None,
    exp: Function | None = None,
    keep: bool = False,
) -> Float32Array | tuple[Float32Array, dict[str, Float32Array]]:
    """Class probabilities (classes,) of one image, operator by operator as the file has them.

    `execute_rewritten` is the executor of rewritten graphs.

    Args:
        network: any.
        image: bytes, (H, W) or (C, H, W); or what the network's question is about.
        order: in which each sum is carried out; the bias is the last term.
        flush_to_zero: subnormal operands and results become zero.
        batch_norm_form: how batch norm is executed.
        sigmoid: in the place of the correctly rounded one.
        exp: likewise, inside softmax.
        keep: return also the value (C, H, W) of every node, by name.

    Raises:
        UsageError: the image does not fit, or there is no such order.
    """
    machine = Execution(
        flush_to_zero,
        order,
        batch_norm_form,
        sigmoid or correctly_rounded_sigmoid,
        exp or correctly_rounded_exp,
    )
    pixels = as_batch(image, network.input_shape, network.question)[0].astype(np.float32)
    values: dict[str, Float32Array] = {}
    with np.errstate(all="ignore"):
        for node in network:
            given = [pixels] if isinstance(node, Input) else node.operands(values, seen)
            values[node.name] = node.float32(machine, *given)
    probabilities = values[network.output].reshape(-1)
    return (probabilities, values) if keep else probabilities


@dataclass(frozen=True)
class Execution(Arithmetic):
    """A `lastbit.operators.base.Machine`: how one execution rounds, adds, and has its functions."""

    order: Order = "forward"
    batch_norm_form: BatchNormForm = "centred"
    sigmoid: Function = correctly_rounded_sigmoid
    exp: Function = correctly_rounded_exp

    def sum(self, terms: Float32Array) -> Float32Array:
        return ordered_sum(terms, self.order, self)


def execute_float64(
    network: Network, image: ImageArray, *, stored: bool = False
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """As `execute(..., keep=True)`, in float64 and as accurately as NumPy does it.

    With `stored` each node's value is rounded to float32 once it is there. Both are executions that
    the statement allows: it speaks of "binary32 or wider".
    """
    values: dict[str, NDArray[np.float64]] = {}
    pixels = as_batch(image, network.input_shape, network.question)[0].astype(np.float64)
    with np.errstate(over="ignore"):
        for node in network:
            given = [pixels] if isinstance(node, Input) else node.operands(values, seen)
            value = node.float64(*given)
            values[node.name] = value.astype(np.float32).astype(np.float64) if stored else value
    return values[network.output].reshape(-1), values
