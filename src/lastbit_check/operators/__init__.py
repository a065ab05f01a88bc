"""Operators: how each is read, and what each kind of node does to what is known of values.

RULES holds a rule of reading for every operator of the file format, KINDS what a node of the normal
form computes. What is missing in either is rejected by its name.
"""

from lastbit_check.operators import affine, curves, linear, products, renaming, softmax, sums
from lastbit_check.operators.kinds import Kind
from lastbit_check.operators.reading import Rule

RULES: dict[str, Rule] = {
    **affine.RULES,
    **curves.RULES,
    **linear.RULES,
    **products.RULES,
    **renaming.RULES,
    **softmax.RULES,
}

KINDS: dict[str, Kind] = {**curves.KINDS, **products.KINDS, **sums.KINDS}
