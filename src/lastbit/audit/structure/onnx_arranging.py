"""What ONNX Runtime's operators that move numbers do, and those that take windows, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lastbit.audit.structure.kernels import windows
from lastbit.audit.structure.tracing import Traced, Tracing
from lastbit.audit.sums import Float64Array

Options = dict[str, Any]


def numbers(xs: list[Traced], which: int, options: Options, name: str) -> list[int] | None:
    """Whole numbers that are an operand or, in older files, an attribute; None if not given."""
    if len(xs) > which:
        return [int(n) for n in xs[which].value.ravel()]
    given = options.get(name)
    return None if given is None else [int(n) for n in given]


def _copy_of(apply: Callable[..., Float64Array]) -> Callable[..., Traced]:
    """The rule of an operator that only moves numbers of the first tensor."""

    def rule(t: Tracing, _: str, xs: list[Traced], options: Options) -> Traced:
        return t.copied("", lambda v: apply(v, xs, options), xs[0])

    return rule


def _reshaped(v: Float64Array, xs: list[Traced], options: Options) -> Float64Array:
    sizes = numbers(xs, 1, options, "shape") or []
    found = [v.shape[k] if n == 0 else n for k, n in enumerate(sizes)]
    one = found[0] == 1 and not xs[0].constant
    found[0] = len(v) if one else found[0]  # a file of one image: here there are more
    return v.reshape(found)


def _flattened(v: Float64Array, _: list[Traced], options: Options) -> Float64Array:
    axis = options.get("axis", 1) % v.ndim
    return v.reshape(int(np.prod(v.shape[:axis])), -1)


def _squeezed(v: Float64Array, xs: list[Traced], options: Options) -> Float64Array:
    axes = numbers(xs, 1, options, "axes")
    return np.squeeze(v, None if axes is None else tuple(axes))


def _unsqueezed(v: Float64Array, xs: list[Traced], options: Options) -> Float64Array:
    return np.expand_dims(v, tuple(numbers(xs, 1, options, "axes") or ()))


def _transposed(v: Float64Array, _: list[Traced], options: Options) -> Float64Array:
    return v.transpose(options.get("perm"))


def _sliced(v: Float64Array, xs: list[Traced], options: Options) -> Float64Array:
    starts, ends = (numbers(xs, k, options, name) or [] for k, name in ((1, "starts"), (2, "ends")))
    axes = numbers(xs, 3, options, "axes") or [*range(len(starts))]
    steps = numbers(xs, 4, options, "steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -v.shape[axis] else end
        v = np.moveaxis(np.moveaxis(v, axis, 0)[start:stop:step], 0, axis)
    return v


def _gathered(v: Float64Array, xs: list[Traced], options: Options) -> Float64Array:
    return np.take(v, xs[1].value.astype(np.int64), options.get("axis", 0))


def _expanded(v: Float64Array, xs: list[Traced], _: Options) -> Float64Array:
    return np.broadcast_to(v, np.broadcast_shapes(v.shape, [int(n) for n in xs[1].value]))


def _split(t: Tracing, _: str, xs: list[Traced], options: Options) -> list[Traced]:
    """The pieces along an axis, which are several results."""
    axis, count = options.get("axis", 0), options["outputs"]
    length = xs[0].value.shape[axis]
    each = -(-length // count)
    sizes = numbers(xs, 1, options, "split") or [each] * (count - 1)
    ends = np.cumsum(sizes)[: count - 1].tolist()
    return [t.copied("", lambda v, k=k: np.split(v, ends, axis)[k], xs[0]) for k in range(count)]


def _padded(t: Tracing, what: str, xs: list[Traced], options: Options) -> Traced:
    x, pads = xs[0], numbers(xs, 1, options, "pads") or []
    fill = float(xs[2].value) if len(xs) > 2 else options.get("value", 0.0)
    axes = [int(k) for k in xs[3].value] if len(xs) > 3 else [*range(x.value.ndim)]
    widths = [(0, 0)] * x.value.ndim
    for k, axis in enumerate(axes):
        widths[axis] = pads[k], pads[k + len(axes)]
    mode = options.get("mode", b"constant").decode()
    if mode not in ("constant", "edge", "reflect") or min(pads) < 0:
        t.refuse(what, f"a padding by {mode}, or one that takes away")
        return x
    if mode != "constant" or not fill:
        how: Any = {"constant": "constant"}.get(mode, mode)
        return t.copied("", lambda v: np.pad(v, widths, how), x)
    return t.linear(what, lambda v: np.pad(v[0], widths, constant_values=fill), (x,),
                    sizes=lambda v: np.pad(v[0], widths, constant_values=abs(fill)))  # fmt: skip


def _side_by_side(t: Tracing, what: str, xs: list[Traced], options: Options) -> Traced:
    if all(x.constant for x in xs):
        return t.constant(np.concatenate([x.value for x in xs], options["axis"]))
    return t.beside(what, xs, options["axis"])


def _pool(options: Options, shape: Sequence[int]) -> dict[str, Any]:
    """Sizes, strides and pads of windows, for each axis."""
    kernel = options.get("kernel_shape") or [*shape[2:]]
    pads = options.get("pads", [0] * 4)
    return {
        "sizes": (1, 1, *kernel),
        "strides": (1, 1, *options.get("strides", [1, 1])),
        "pads": ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])),
    }


def _plain(t: Tracing, what: str, options: Options) -> None:
    spread = {*options.get("dilations", [1])} != {1} or options.get("ceil_mode", 0)
    if spread or options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        t.refuse(what, "windows that are dilated or rounded up, or pads that are chosen")


def _largest(t: Tracing, what: str, xs: list[Traced], options: Options) -> Traced:
    _plain(t, what, options)
    how = _pool(options, xs[0].value.shape)
    return t.curved(what, lambda v: windows(v, **how, fill=-np.inf, reduced=np.max), xs[0])


def _average(t: Tracing, what: str, xs: list[Traced], options: Options) -> Traced:
    _plain(t, what, options)
    how = _pool(options, xs[0].value.shape)
    if any(options.get("pads", ())) and not options.get("count_include_pad", 0):
        t.refuse(what, "pads that do not count")
    return t.linear(what, lambda v: windows(v[0], **how, fill=0.0, reduced=np.mean), xs)


def _shape(t: Tracing, _: str, xs: list[Traced], options: Options) -> Traced:
    sizes = xs[0].value.shape
    return t.constant(np.array(sizes[options.get("start", 0) : options.get("end", len(sizes))]))


ARRANGING: dict[str, Callable[..., Traced | list[Traced]]] = {
    "Reshape": _copy_of(_reshaped),
    "Flatten": _copy_of(_flattened),
    "Squeeze": _copy_of(_squeezed),
    "Unsqueeze": _copy_of(_unsqueezed),
    "Transpose": _copy_of(_transposed),
    "Slice": _copy_of(_sliced),
    "Gather": _copy_of(_gathered),
    "Expand": _copy_of(_expanded),
    "Pad": _padded,
    "Concat": _side_by_side,
    "Shape": _shape,
    "Split": _split,
}
POOLING: dict[str, Callable[..., Traced]] = {"MaxPool": _largest, "AveragePool": _average}
