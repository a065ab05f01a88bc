"""Other hints, and networks whose numbers are too large."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.binary32 import underflow
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.question import LAST_BIT, Move, asking
from soundness.rejected.cases import case
from support.absorbing import absorber


def chain() -> OnnxBuilder:
    """image, mean m, silu s, gate g of both, dense logits."""
    b = OnnxBuilder()
    m = b.mean(b.input_bytes((1, 2, 2)), name="m")
    b.softmax(b.dense(b.gate(b.silu(m, name="s"), m, name="g"), [[1e-3], [-1e-3]], name="logits"))
    return b


def hints(rule: str, name: str, **given: Any) -> None:
    def run(folder: Path) -> None:
        proved(chain().to_bytes(), LAST_BIT, Hints(**{"slopes": {}, **given}))

    run.__name__ = name
    case(rule)(run)


hints("hint.node", "slopes_of_a_mean", slopes={"m": [1]})
hints("hint.node", "a_box_of_a_mean", boxes=frozenset({"m"}))
hints("hint.node", "a_box_of_a_gate", boxes=frozenset({"g"}))
hints("hint.node", "a_base_that_is_not_there", bases=frozenset({"x"}))
hints("hint.node", "a_base_without_a_name", bases=frozenset({""}))
hints("hint.slope", "too_many_slopes", slopes={"s": [1, 1]})
hints("hint.slope", "too_steep", slopes={"s": [2**21 + 1]})
hints("hint.slope", "too_steep_downwards", slopes={"s": [-(2**40 + 1)]})


@case("absorb.table")
def a_node_of_several_pixels(folder: Path) -> None:
    proved(absorber(), LAST_BIT, Hints({}, absorbed="mix"))


@case("absorb.bytes")
def a_node_that_tells_the_last_bit(folder: Path) -> None:
    proved(absorber(bias=0.0), LAST_BIT, Hints({}, absorbed="stem"))


@case("absorb.factor")
def a_node_whose_last_factor_may_go_elsewhere(folder: Path) -> None:
    proved(absorber(), LAST_BIT, Hints({}, absorbed="pixels"))


@case("absorb.around")
def a_path_around_the_node(folder: Path) -> None:
    proved(absorber(around=True), LAST_BIT, Hints({}, absorbed="stem"))


def scaled(*factors: float) -> bytes:
    b = OnnxBuilder()
    x = b.input_bytes((1, 2, 2))
    for factor in factors:
        x = b.affine(x, "mul", np.float32(factor))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    return b.to_bytes()


def overflowing(name: str, *factors: float) -> None:
    """Factors whose product with a pixel, or with each other, is too large or too small."""

    def run(folder: Path) -> None:
        proved(scaled(*factors), LAST_BIT, Hints({}))

    run.__name__ = name
    case("finite.values")(run)


overflowing("a_product_that_overflows", 1e30, 1e8)
overflowing("factors_that_overflow_if_the_last_two_are_folded", 1e-30, 1e20, 1e20)
overflowing("factors_that_underflow_if_the_first_two_are_folded", 1e-25, 1e-25, 1e25)


def weighted(weight: float, bias: float, *factors: float) -> bytes:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), np.full((1, 1, 1, 1), weight), [bias])
    for factor in factors:
        x = b.affine(x, "div", np.float32(factor))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    return b.to_bytes()


@case("finite.values")
def weights_that_overflow_if_factors_are_folded_into_them(folder: Path) -> None:
    proved(weighted(1e30, 0.0, 1e-10, 1e10, 1e30), LAST_BIT, Hints({}))


@case("finite.values")
def a_bias_that_overflows_if_factors_are_folded_into_it(folder: Path) -> None:
    proved(weighted(1e-30, 1e30, 1e-10, 1e10, 1e30), LAST_BIT, Hints({}))


@case("finite.values")
def a_product_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(1e25))
    b.softmax(b.dense(b.mean(b.gate(x, b.mean(x))), [[1.0], [-1.0]]))
    proved(b.to_bytes(), LAST_BIT, Hints({}))


@case("finite.values")
def a_sum_of_values_that_overflows(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.affine(b.input_bytes((1, 2, 2)), "mul", np.float32(2.0**116.9))
    b.softmax(b.dense(b.mean(b.add(x, x)), [[1.0], [-1.0]]))
    proved(b.to_bytes(), LAST_BIT, Hints({}))


@case("finite.values")
def a_subnormal_divisor(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 2, 2)), np.float32(1e-40))
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    proved(b.to_bytes(), LAST_BIT, Hints({}))


@case("finite.values")
def folded_weights_that_overflow(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 2, 2)), [[[[1.0]]]])
    x = b.batch_norm(x, [3e38], [0.0], [0.0], [0.0], epsilon=1e-30)
    b.softmax(b.dense(b.mean(x), [[1.0], [-1.0]]))
    proved(b.to_bytes(), LAST_BIT, Hints({}))


@case("rounding.depth")
def a_sum_of_a_million_terms(folder: Path) -> None:
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 1024, 1024))), [[1.0], [-1.0]]))
    proved(b.to_bytes(), LAST_BIT, Hints({}))


@case("rounding.underflow")
def underflow_beyond_the_range_of_grids(folder: Path) -> None:
    underflow(Fraction(2) ** 300)


@case("precision")
def an_integer_beyond_53_bits(folder: Path) -> None:
    Fix(np.array([2.0**50]), 0).at(5)


def cells(name: str, move: Move) -> None:
    """A question of a move that the 2 x 2 image of `chain` does not have."""

    def run(folder: Path) -> None:
        proved(chain().to_bytes(), asking(move), Hints({}))

    run.__name__ = name
    case("question.cells")(run)


cells("more_places_than_there_are", Move(cells=5))
cells("more_pixels_than_there_are", Move(cells=5, channels="all"))
cells("more_places_than_the_mask_has", Move(cells=2, mask=((1, 2),)))
cells("a_mask_beyond_the_image", Move(mask=((3, 5),)))
cells("a_mask_of_all_places", Move(mask=((0, 4),)))
