"""Hints on roundings that are taken together, and trees of the branch and bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lastbit_check.certificate import Tree, hints_of, load
from lastbit_check.check import proved
from lastbit_check.question import LAST_BIT
from lastbit_check.refine.first_layers import LEAF
from soundness.curved import SIDE, based, branched, two_curved_layers
from soundness.harness import built
from soundness.rejected.cases import case
from soundness.rejected.certificates import recheck
from soundness.small import certified, fields_of


def together(rule: str, name: str, **changes: Any) -> None:
    """Something in the hints on roundings that are taken together."""

    def run(folder: Path) -> None:
        manifest = load(certified(folder) / "certificate.json")
        model, hints = (folder / "model.onnx").read_bytes(), hints_of(manifest)
        (key, hint), *_ = hints.together.items()
        made = {k: v(hint) if callable(v) else v for k, v in changes.items()}
        proved(model, LAST_BIT, replace(hints, together={key: hint._replace(**made)}))

    run.__name__ = name
    case(rule)(run)


def _spoilt(x: Sequence[float], value: float) -> Sequence[float]:
    return (value, *x[1:])


together("together.pair", "a_pair_of_no_classes", pair=(1, 7))
together("together.pair", "a_pair_twice_the_same", pair=(1, 1))
together("together.pair", "a_pair_of_three", pair=(0, 1, 2))
together("together.pair", "a_pair_of_none", pair=())
together("together.base", "a_node_before_the_base", nodes=("conv_3",))
together("hint.node", "a_node_that_does_not_sum", nodes=("silu_9",))
together("together.shape", "a_form_too_few", rows=lambda hint: hint.rows[1:])
together("together.shape", "a_unit_too_many", columns=lambda hint: (*hint.columns, 1.0))
together("together.shape", "no_scales", rows=(), columns=())
together("together.positive", "a_scale_of_nothing", rows=lambda hint: _spoilt(hint.rows, 0.0))
together("together.positive", "a_negative_scale", columns=lambda hint: _spoilt(hint.columns, -1.0))
together("together.positive", "a_scale_that_is_no_number",
         columns=lambda hint: _spoilt(hint.columns, math.nan))  # fmt: skip
together("together.positive", "an_infinite_scale", rows=lambda hint: _spoilt(hint.rows, math.inf))
together("together.positive", "a_scale_out_of_reach", rows=lambda hint: _spoilt(hint.rows, 1e90))
together("norm.spectral", "scales_twice_as_large", rows=lambda hint: [2 * v for v in hint.rows])
together("norm.spectral", "one_scale_too_large", rows=lambda hint: _spoilt(hint.rows, 2.0**31))


def tree(rule: str, name: str, **changes: Any) -> None:
    """Something in a tree of the branch and bound."""

    def run(folder: Path) -> None:
        model, manifest = branched(folder)
        hints = hints_of(manifest)
        (key, hint), *_ = hints.trees.items()
        made = {k: v(hint) if callable(v) else v for k, v in changes.items()}
        proved(model, LAST_BIT, replace(hints, trees={key: hint._replace(**made)}))

    run.__name__ = name
    case(rule)(run)


def _split(hint: Tree, k: int, *split: int) -> tuple[Sequence[int], ...]:
    return (*hint.splits[:k], split, *hint.splits[k + 1 :])


LEAVES = (LEAF, 0), (LEAF, 0)
tree("tree.cover", "a_gap", splits=lambda hint: hint.splits[:-1])
tree("tree.cover", "no_leaf", splits=())
tree("tree.cover", "a_leaf_too_many", splits=lambda hint: hint.splits + hint.splits[-1:])
tree("tree.cover", "a_leaf_of_another_kind", splits=((-2, 0),))
tree("tree.cover", "a_byte_that_is_not_there", splits=((SIDE * SIDE, 100), *LEAVES))
tree("tree.cover", "a_part_of_all_bytes", splits=((3, 255), *LEAVES))
tree("tree.cover", "a_part_of_none", splits=((3, -1), *LEAVES))
tree("tree.cover", "an_overlap", splits=((3, 100), (3, 200), *LEAVES, LEAVES[0]))
tree("tree.pair", "two_images_apart", splits=lambda hint: (
    (hint.pixel[0] * SIDE + hint.pixel[1], 2), *LEAVES))  # fmt: skip
tree("tree.shape", "a_pixel_beside_the_image", pixel=(0, SIDE))
tree("tree.shape", "a_pixel_before_the_image", pixel=(-1, 0))
tree("tree.shape", "a_pixel_without_a_column", pixel=(1,))
tree("tree.shape", "a_split_of_three", splits=((3, 100, 1), *LEAVES))
tree("together.pair", "a_tree_of_no_pair", pair=(1, 0))


@case("tree.shape")
def a_tree_where_there_is_no_exact_form(folder: Path) -> None:
    manifest = load(certified(folder) / "certificate.json")
    trees = {"a": Tree((0, 1), (0, 0), LEAVES[:1])}
    proved((folder / "model.onnx").read_bytes(), LAST_BIT, replace(hints_of(manifest), trees=trees))


@case("tree.pixel")
def a_tree_of_a_pixel_that_moves_too_much(folder: Path) -> None:
    model, network = built(two_curved_layers(0, stride=1, kernel=3), folder)
    trees = {"a": Tree((0, 1), (4, 4), LEAVES[:1])}
    proved(model, LAST_BIT, replace(based(network), trees=trees))


def _leaves(name: str, change: Callable[[list[str]], list[str]]) -> None:
    def run(folder: Path) -> None:
        model, _ = branched(folder)
        (folder / "model.onnx").write_bytes(model)
        fields = fields_of(folder)
        claimed = fields["claim"]["leaves"]
        ((name, found),) = claimed.items()
        claimed[name] = change(found)
        recheck(folder, fields)

    run.__name__ = name
    case("claim.leaves")(run)


_leaves("a_smaller_number", lambda found: ["0x0.0p+0", *found[1:]])
_leaves("a_larger_number", lambda found: ["0x1.0000000000000p+4", *found[1:]])
_leaves("a_number_too_few", lambda found: found[1:])
_leaves("a_number_too_many", lambda found: [*found, found[-1]])
_leaves("leaves_in_another_order", lambda found: found[::-1])
