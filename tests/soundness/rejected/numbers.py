"""Other hints, and networks whose numbers are too large."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from support.absorbing import absorber
from lastbit.graph import OnnxBuilder
from lastbit_check.certificate import Hints
from lastbit_check.check import derive
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.forward import underflow
from soundness.rejected.cases import case


def chain() -> OnnxBuilder:
    """image, mean m, silu s, gate g, dense logits."""
    b = OnnxBuilder()
    x = b.silu(b.mean(b.input_bytes((1, 2, 2)), name="m"), name="s")
    b.softmax(b.dense(b.gate(x, x, name="g"), [[1e-3], [-1e-3]], name="logits"))
    return b


def hints(rule: str, name: str, **given: Any) -> None:
    def run(folder: Path) -> None:
        derive(chain().to_bytes(), Hints(**{"slopes": {}, **given}))

    run.__name__ = name
    case(rule)(run)


hints("hint.node", "slopes_of_a_mean", slopes={"m": [1]})
hints("hint.node", "a_box_of_a_mean", boxes=frozenset({"m"}))
hints("hint.node", "a_box_of_a_gate", boxes=frozenset({"g"}))
hints("hint.node", "a_base_that_is_not_there", bases=frozenset({"x"}))
hints("hint.node", "a_base_without_a_name", bases=frozenset({""}))
hints("hint.slope", "too_many_slopes", slopes={"s": [1, 1]})
hints("hint.slope", "too_steep", slopes={"s": [2**21 + 1]})
hints("hint.slope", "too_steep_downwards", slopes={"s": [-(2**900)]})


@case("absorb.table")
def a_node_of_several_pixels(folder: Path) -> None:
    derive(absorber(), Hints({}, absorbed="mix"))


@case("absorb.bytes")
def a_node_that_tells_the_last_bit(folder: Path) -> None:
    derive(absorber(), Hints({}, absorbed="pixels"))


@case("absorb.around")
def a_path_around_the_node(folder: Path) -> None:
    derive(absorber(around=True), Hints({}, absorbed="stem"))


def scaled(*factors: float) -> bytes:
    b = OnnxBuilder()
    x = b.input_bytes((1, 2, 2))
    for factor in factors:
        x = b.affine(x, "mul", np.float32(factor))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    return b.to_bytes()


@case("finite.values")
def a_product_that_overflows(folder: Path) -> None:
    derive(scaled(1e30, 1e8), Hints({}))


@case("finite.values")
def a_product_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(1e25))
    b.softmax(b.dense(b.mean(b.gate(x, b.mean(x))), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.values")
def a_sum_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**116.9))
    b.softmax(b.dense(b.mean(b.add(x, x)), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.values")
def a_subnormal_divisor(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 2, 2)), np.float32(1e-40))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("finite.weights")
def folded_weights_that_overflow(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), [[[[1.0]]]])
    x = b.batch_norm(x, [3e38], [0.0], [0.0], [0.0], epsilon=1e-30)
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("rounding.depth")
def a_sum_of_a_million_terms(folder: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 1024, 1024))), [[1.0], [-1.0]]))
    derive(b.to_bytes(), Hints({}))


@case("rounding.underflow")
def underflow_beyond_the_range_of_grids(folder: Path) -> None:
    underflow(Fraction(2) ** 300)


@case("precision")
def an_integer_beyond_53_bits(folder: Path) -> None:
    Fix(np.array([2.0**50]), 0).at(5)
