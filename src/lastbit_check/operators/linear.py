"""Convolutions, dense layers and means: sums of products over the places of a kernel.

Map: normal-form
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lastbit_check.files.operators import (
    BINARY,
    FLAG,
    LISTED,
    MOST,
    UNARY,
    F,
    Form,
    axes,
    finite,
    numbers,
    text,
    whole,
)
from lastbit_check.network import F32, Constant, Factor, Node, Part, Shape, Sum, Units, View
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import divided_by, multiplied_by
from lastbit_check.operators.reading import Reader, Rule, not_too_many, summed
from lastbit_check.operators.seen import Seen, of_node, shape_of
from lastbit_check.verdict import require


def convolution(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Conv: products over the places of a kernel, which may be spread by dilations."""
    weight = reader.floats(o.inputs[1])
    said = o.attribute("kernel_shape", [*weight.shape[2:]])
    require(said == [*weight.shape[2:]], "model.operator", "with another kernel_shape")
    if x.rank == 3:
        require(weight.ndim == 3, "model.shape", f"with weights of {weight.ndim} axes")
        weight = weight[..., None]
    o, x, rank = *in_two_axes(o, x), x.rank
    weight = spread(weight, o.attribute("dilations", [1, 1]))
    strides = o.attribute("strides", [1, 1])
    part = Part(x.node.name, weight, (*strides,), pads_of(o, x, weight), o.attribute("group", 1))
    made = over_places(o, x, part, _bias(reader, o, len(weight)))
    return made.sized(made.sizes[: rank - 1])


def in_two_axes(o: Operator, x: Seen) -> tuple[Operator, Seen]:
    """What works along one axis, with another one of one place."""
    given, along = dict(o.attributes), x.rank - 2
    for name, each in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 2)):
        listed = o.attribute(name, [0] * each * along)
        require(len(listed) == each * along, "model.attribute", f"{name} {listed}")
        if along == 1 and name in given:
            given[name] = [listed[0], 0, listed[1], 0] if name == "pads" else [*listed, 1]
    return o._replace(attributes=given), x.sized((*x.sizes, 1)[:3])


def spread(weight: F32, dilations: list[int]) -> F32:
    """A kernel with zeros between its places: dilations (down, across)."""
    require(weight.ndim == 4, "model.shape", f"with weights of {weight.ndim} axes")
    (high, wide), (down, across) = weight.shape[2:], dilations
    sizes = (max(0, (high - 1) * down + 1), max(0, (wide - 1) * across + 1))
    require(max(sizes) <= MOST_PLACES, "model.shape", f"with a kernel over {sizes} places")
    if dilations != [1, 1]:
        not_too_many((*weight.shape[:2], *sizes))
    found = np.zeros((*weight.shape[:2], *sizes), np.float32)
    found[:, :, ::down, ::across] = weight
    return found


def pads_of(o: Operator, x: Seen, weight: F32) -> tuple[int, ...]:
    """Pads (top, left, bottom, right), of the kernel as it is spread."""
    automatic = o.attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        return (*o.attribute("pads", [0, 0, 0, 0]),)
    strides = o.attribute("strides", [1, 1])
    pads = list[tuple[int, int]]()
    for size, count, step in zip(x.sizes[1:], weight.shape[2:], strides, strict=True):
        missing = max(0, (-(-size // step) - 1) * step + count - size)
        small, large = missing // 2, missing - missing // 2
        pads.append((small, large) if automatic == "SAME_UPPER" else (large, small))
    (top, bottom), (left, right) = pads
    return top, left, bottom, right


def dense(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Gemm and MatMul by a constant."""
    if not isinstance(reader.values[o.inputs[0]], np.ndarray):
        weight = reader.floats(o.inputs[1])
        if weight.ndim == 1 and x.rank > 2:
            return _by_rows(reader, o, x, weight[None]).sized(x.sizes[:-1])
        return _by_rows(reader, o, x, weight if o.attribute("transB", 0) else weight.T)
    require(o.op == "MatMul" and x.rank > 2, "model.operator", "of a constant and a tensor")
    turned = x.arranged(np.ascontiguousarray(x.units.swapaxes(-1, -2)))
    made = _by_rows(reader, o, turned, reader.floats(o.inputs[0]))
    return made.arranged(np.ascontiguousarray(made.units.swapaxes(-1, -2)))


def _by_rows(reader: Reader, o: Operator, x: Seen, matrix: F32) -> Seen:
    """The last axis times weights (outputs, inputs): a convolution by a kernel of one place."""
    require(matrix.ndim == 2, "model.shape", f"with weights of {matrix.ndim} axes")
    *rows, inner = x.sizes
    count, weight = math.prod(rows), matrix[:, :, None, None]
    moved = x.arranged(np.ascontiguousarray(x.units.reshape(count, inner).T)) if count > 1 else x
    alpha = _by(o.attribute("alpha", 1.0), len(weight))
    part = Part(x.node.name, weight, factors=alpha, view=moved.view((inner, count, 1)))
    constants = _bias(reader, o, len(weight))
    made = over_places(o, moved.sized((inner, count, 1)), part, constants)
    if alpha and not constants:
        made = replace(made, node=replace(made.node, trailing=alpha))
    if count == 1:
        return made.sized((*rows, len(weight)))
    units = made.units.reshape(len(weight), count).T
    return made.arranged(np.ascontiguousarray(units).reshape(*rows, len(weight)))


def _by(number: float, channels: int) -> tuple[Factor, ...]:
    return () if number == 1 else (multiplied_by(np.full(channels, number, np.float32)),)


def mean(reader: Reader, o: Operator, x: Seen) -> Seen:
    """GlobalAveragePool, ReduceMean and ReduceSum over some axes."""
    seen, sizes = along(reader, o, x)
    channels, *kernel = seen.sizes
    part = whole_image(seen)
    if o.op != "ReduceSum":
        by = divided_by(np.full(channels, float(math.prod(kernel)), np.float32))
        part = part._replace(factors=(by,))
    return over_places(o, seen, part).sized(sizes)


def along(reader: Reader, o: Operator, x: Seen) -> tuple[Seen, tuple[int, ...]]:
    """What is reduced to one number each, as images (C, H, W); the sizes of what is made."""
    over = sorted(_reduced(reader, o, x))
    require(over and over[0] > 0, "model.operator", f"over the axes {over}")
    left = [axis for axis in range(1, x.rank) if axis not in over]
    sizes = tuple(x.sizes[axis - 1] for axis in left)
    channels, count = math.prod(sizes), math.prod(x.sizes[axis - 1] for axis in over)
    kernel = x.sizes[1:] if x.rank == 4 and over == [2, 3] else (count, 1)
    units = x.units.transpose([axis - 1 for axis in (*left, *over)])
    if o.attribute("keepdims", 1):
        sizes = tuple(1 if k in over else n for k, n in enumerate(x.sizes, 1))
    return x.arranged(np.ascontiguousarray(units).reshape(channels, *kernel)), sizes


def whole_image(x: Seen) -> Part:
    """Every number of (C, H, W), channel by channel."""
    weight = np.ones((x.sizes[0], 1, *x.sizes[1:]), np.float32)
    return Part(x.node.name, weight, groups=x.sizes[0], view=x.view(shape_of(x.sizes)))


def of_terms(part: Part, outer: Node, inner: Node) -> Part:
    """A total of totals as one of their terms: a runtime may make one reduction of two."""
    inside = inner.sum.parts if inner.sum is not None and not inner.sum.constants else ()
    if len(inside) != 1 or inside[0].factors:
        return part
    (within,) = inside
    if not (_total(part, outer) and _total(within, inner)):
        return part
    terms = _order(within).reshape(within.groups, -1)[_order(part)]
    weight = np.ones((part.groups, 1, terms.size // part.groups, 1), np.float32)
    view = View((part.groups, *weight.shape[2:]), terms.ravel())
    return part._replace(source=within.source, weight=weight, moved=within.moved, view=view)


def of_copied_totals(part: Part, outer: Node, found: Mapping[str, Node]) -> bool:
    """Whether a total reads totals that are put side by side, or taken from others."""
    inner = found[part.source].sum
    copied = [p for p in inner.parts if p.copies and p.view is not None] if inner else []
    sources = [found[p.source] for p in copied]
    within = [(p, node) for node in sources if node.sum for p in node.sum.parts]
    return _total(part, outer) and any(_total(p, node) and not p.factors for p, node in within)


def _total(part: Part, node: Node) -> bool:
    """Whether each number of a node is the plain sum of a channel, as that is seen."""
    ones = part.weight.shape[:2] == (part.groups, 1) and bool(np.all(part.weight == 1))
    whole = node.shape == (part.groups, 1, 1) and part.strides == (1, 1) and not any(part.pads)
    return ones and whole and not part.copies


def _order(part: Part) -> Units:
    order = None if part.view is None else part.view.order
    return np.arange(part.weight.size) if order is None else order


def _reduced(reader: Reader, o: Operator, x: Seen) -> set[int]:
    """Over which axes, of those with the batch."""
    if o.op in ("GlobalAveragePool", "GlobalMaxPool"):
        return {*range(2, x.rank)}
    given = reader.whole(o.inputs[1]) if o.operand(1) else o.attribute("axes", [])
    named = {axis % x.rank for axis in given if -x.rank <= axis < x.rank}
    right = bool(given) and len(named) == len(given)
    require(right or len(o.inputs) < 2, "model.operands", f"over the axes {given}")
    require(right, "model.attribute", f"over the axes {given}")
    return named


def _bias(reader: Reader, o: Operator, outputs: int) -> tuple[Constant, ...]:
    if not o.operand(2):
        return ()
    bias = reader.floats(o.inputs[2])
    alike = ((outputs,),) if o.op == "Conv" else ((outputs,), (1, outputs), (1, 1), (1,), ())
    require(bias.shape in alike, "model.shape", f"with a bias of shape {bias.shape}")
    values = np.broadcast_to(bias.reshape(-1), (outputs,)).astype(np.float32)
    return (Constant(values, _by(o.attribute("beta", 1.0), outputs)),)


def over_places(o: Operator, x: Seen, part: Part, constants: tuple[Constant, ...] = ()) -> Seen:
    """A sum over the places of a kernel, of what stands as (C, H, W)."""
    shape, view = places(x.sizes, part), part.view or x.view(shape_of(x.sizes))
    part = part._replace(moved=x.node.trailing, view=view)
    return of_node(summed(o, Sum((part,), constants), x.node, shape=shape))


def places(sizes: tuple[int, ...], part: Part) -> Shape:
    """The shape of what a kernel makes of a value (C, H, W)."""
    outs, ins, high, wide = part.weight.shape
    (channels, rows, columns), (down, across) = sizes, part.strides
    top, left, bottom, right = part.pads
    fits = part.groups > 0 and ins * part.groups == channels and outs % part.groups == 0
    fits = fits and min(high, wide, down, across) > 0 and min(part.pads) >= 0
    require(fits, "model.shape", f"with weights of shape {part.weight.shape}")
    rows = (rows + top + bottom - high) // down + 1
    columns = (columns + left + right - wide) // across + 1
    require(min(rows, columns) > 0, "model.shape", "with a kernel larger than its image")
    not_too_many((outs, rows, columns))
    return outs, rows, columns


MOST_PLACES = 2**12  # across a kernel
RULES = {
    "Conv": Rule({1: convolution}, (2, 3), (3, 4)),
    "Gemm": Rule({1: dense}, (2, 3), (2,), {"transA": 0}),
    "GlobalAveragePool": Rule({1: mean}, ranks=(3, 4, 5)),
    "MatMul": Rule({1: dense}, (2,), only={"transB": 0}),
    "ReduceMean": Rule({1: mean}, (1, 2)),
    "ReduceSum": Rule({1: mean}, (1, 2)),
}
WINDOW = {
    "auto_pad": text("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "kernel_shape": numbers(1, MOST, 1, 2),
    "pads": numbers(0, MOST, 2, 4),
    "strides": numbers(1, MOST, 1, 2),
}
CONV = {**WINDOW, "dilations": numbers(1, MOST, 1, 2), "group": whole(1, MOST)}
GEMM = {"alpha": finite, "beta": finite, "transA": FLAG, "transB": FLAG}
OVER = {"axes": axes, "keepdims": FLAG}
NOOP = {"keepdims": FLAG, "noop_with_empty_axes": FLAG}
FORMS = {
    "Conv": {7: Form((F, F, F), 2, CONV)},
    "Gemm": {7: Form((F, F, F), 3, GEMM), 11: Form((F, F, F), 2, GEMM)},
    "GlobalAveragePool": {7: UNARY},
    "MatMul": {7: BINARY},
    "ReduceMean": {7: Form((F,), 1, OVER), 18: Form((F, LISTED), 1, NOOP)},
    "ReduceSum": {7: Form((F,), 1, OVER), 13: Form((F, LISTED), 1, NOOP)},
}
