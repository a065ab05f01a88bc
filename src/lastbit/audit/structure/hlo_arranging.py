"""What XLA's operations that move numbers, fill up or take windows do, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastbit.audit.structure.hlo_text import Instruction, numbers_in
from lastbit.audit.structure.hlo_trace import HloTrace
from lastbit.audit.structure.kernels import windows
from lastbit.audit.structure.tracing import Traced


def unknown(i: Instruction) -> Traced:
    """What nothing is known of."""
    nothing = np.full(axes(i) if i.shape else (), np.nan)
    return Traced(nothing, nothing, frozenset({"?"}), curve=True)


def axes(i: Instruction) -> tuple[int, ...]:
    """The sizes of what an instruction makes."""
    assert i.shape is not None
    return i.shape.axes


def padded(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """With constants around, between and in the place of numbers."""
    x, filler = xs
    if not filler.constant:
        found.tracing.refuse(what, "a padding by other numbers than constants")
    fill = float(filler.value)
    pads = [[int(n) for n in part.split("_")] for part in i.attributes["padding"].split("x")]

    def apply(v: np.ndarray, fill: float = 0.0) -> np.ndarray:
        for axis, (before, after, *between) in enumerate(pads):
            v = np.moveaxis(v, axis, 0)
            step = 1 + (between[0] if between else 0)
            wide = np.full(((len(v) - 1) * step + 1, *v.shape[1:]), fill)
            wide[::step] = v
            v = np.concatenate([np.full((max(n, 0), *v.shape[1:]), fill) if at else wide
                                for at, n in ((1, before), (0, 0), (1, after))])  # fmt: skip
            v = v[max(-before, 0) : len(v) - max(-after, 0)]
            v = np.moveaxis(v, 0, axis)
        return v

    if not fill:
        return found.tracing.copied("", apply, x)
    return found.tracing.linear(what, lambda v: apply(v[0], fill), (x,),
                                sizes=lambda v: apply(v[0], abs(fill)))  # fmt: skip


def gathered(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """Slices of one size, that start where constants say; clamped to what there is."""
    x, starts = xs
    if not starts.constant:
        found.tracing.refuse(what, "a gather by places that are not constant")
        return unknown(i)
    keys = ("offset_dims", "collapsed_slice_dims", "start_index_map", "slice_sizes",
            "operand_batching_dims")  # fmt: skip
    offset, collapsed, mapped, sizes, batching = (
        numbers_in(i.attributes.get(key, "{}")) for key in keys
    )
    if batching:
        found.tracing.refuse(what, "a gather in batches")
    places = starts.value.astype(np.int64)
    if int(i.attributes["index_vector_dim"]) == places.ndim:
        places = places[..., None]
    places = np.moveaxis(places, int(i.attributes["index_vector_dim"]) % places.ndim, -1)

    def apply(v: np.ndarray) -> np.ndarray:
        index = list[np.ndarray]()
        for axis, size in enumerate(sizes):
            start = np.zeros(places.shape[:-1], np.int64)
            if axis in mapped:
                start = np.clip(places[..., mapped.index(axis)], 0, v.shape[axis] - size)
            inner = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(sizes))])
            index.append(start.reshape(start.shape + (1,) * len(sizes)) + inner)
        taken = v[tuple(index)]
        batch = places.ndim - 1
        taken = np.squeeze(taken, tuple(batch + axis for axis in collapsed))
        order, left = list[int](), iter(range(batch))
        inside = iter(range(batch, taken.ndim))
        for axis in range(taken.ndim):
            order.append(next(inside) if axis in offset else next(left))
        return taken.transpose(order)

    return found.tracing.copied("", apply, x)


def windowed(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """Sums or largest numbers of windows."""
    x, start = xs
    window = dict(part.split("=") for part in i.attributes["window"].strip("{}").split())
    if not {*window} <= {"size", "stride", "pad"} or len(xs) != 2:
        found.tracing.refuse(what, f"windows of {i.attributes['window']}")
        return unknown(i)
    rank = x.value.ndim
    how: dict[str, Any] = {
        "sizes": [int(n) for n in window["size"].split("x")],
        "strides": [int(n) for n in window.get("stride", "x".join("1" * rank)).split("x")],
        "pads": [tuple(int(n) for n in pad.split("_"))
                 for pad in window.get("pad", "x".join(["0_0"] * rank)).split("x")],
    }  # fmt: skip
    inner = found.module.computations[i.attributes["to_apply"].lstrip("%")].root.opcode
    if inner == "maximum" and np.all(start.value == -np.inf):
        return found.tracing.curved(
            what, lambda v: windows(v, **how, fill=-np.inf, reduced=np.max), x
        )
    if inner != "add" or start.value.any():
        found.tracing.refuse(what, f"windows reduced by {inner}")
    return found.tracing.linear(
        what, lambda v: windows(v[0], **how, fill=0.0, reduced=np.sum), (x,)
    )
