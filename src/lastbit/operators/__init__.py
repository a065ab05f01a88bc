"""Operators: what each can say of itself, as the file writes it (lastbit_check has its rules).

READERS has, for every operator of the file format that computes, the function that makes a node of
it. What only renames a value, for the checker too, makes none.
"""

from collections.abc import Callable, Mapping

from lastbit.operators import affine, curves, linear, products, softmax
from lastbit.operators.affine import Add as Add, Affine as Affine, BatchNorm as BatchNorm
from lastbit.operators.base import Curve as Curve, Node as Node, Read as Read
from lastbit.operators.curves import Sigmoid as Sigmoid, Silu as Silu
from lastbit.operators.image import Input as Input
from lastbit.operators.linear import Linear as Linear, Mean as Mean
from lastbit.operators.products import Gate as Gate
from lastbit.operators.softmax import Softmax as Softmax

READERS: Mapping[str, Callable[[Read], Node]] = {
    **affine.READERS,
    **curves.READERS,
    **linear.READERS,
    **products.READERS,
    **softmax.READERS,
}
