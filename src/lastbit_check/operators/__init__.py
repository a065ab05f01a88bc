"""Operators: how each is read, and what each kind of node does to what is known of values.

A module of OPERATORS may say, by the operator's name in the file format, how it is read (RULES) and
what it may be given (FORMS); by the name of a kind of node what that computes (KINDS). What is
missing is rejected by its name.
"""

from types import ModuleType

from lastbit_check.files.operators import Form
from lastbit_check.operators import (
    affine,
    arranging,
    clip,
    constants,
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
    renaming,
    soft,
    softmax,
    sums,
    tanh,
)
from lastbit_check.operators.kinds import Kind
from lastbit_check.operators.reading import Rule

OPERATORS: tuple[ModuleType, ...] = (
    *(affine, arranging, clip, constants, curves, elu, gelu, gelu_tanh, hard, leaky),
    *(linear, pooling, powers, products, quotients, relu, renaming, soft, softmax, sums, tanh),
)
RULES: dict[str, Rule] = {}
FORMS: dict[str, dict[int, Form]] = {}
KINDS: dict[str, Kind] = {}

for operator in OPERATORS:
    RULES.update(getattr(operator, "RULES", {}))
    FORMS.update(getattr(operator, "FORMS", {}))
    KINDS.update(getattr(operator, "KINDS", {}))
