"""The rounding model as code: one network, executed in every way that the statement allows."""

from lastbit.float32.executor import (
    Execution as Execution,
    execute as execute,
    execute_float64 as execute_float64,
)
from lastbit.float32.functions import (
    correctly_rounded_exp as correctly_rounded_exp,
    correctly_rounded_sigmoid as correctly_rounded_sigmoid,
)
from lastbit.float32.rounding import Arithmetic as Arithmetic
from lastbit.float32.sums import ORDERS as ORDERS, Order as Order, ordered_sum as ordered_sum
