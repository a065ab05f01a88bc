"""What inductor makes of a network: the graph that it generates code from, operation by operation.

Import this module only where PyTorch may be required.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lastbit.audit.structure.kernels import convolved, softmax
from lastbit.audit.structure.tracing import Traced, Tracing
from lastbit.operators import CURVES, float64_of
from lastbit.operators.gelu import gelu
from lastbit.operators.gelu_tanh import gelu_tanh

Arguments = Sequence[Any]


def traced_fx(
    graph: torch.fx.Graph, given: Sequence[torch.Tensor], shape: tuple[int, ...], tracing: Tracing
) -> int:
    """Walk through a graph of ATen operations, and count them.

    Args:
        graph: as inductor lowers it.
        given: what its placeholders were called with, in order: the image and all weights.
        shape: of the image, (N, C, H, W); what else has this shape is no image.
        tracing: what is known of it.
    """
    values: dict[str, Any] = {}
    left = list(given)
    for node in graph.nodes:
        what = f"{_short(node.target)} ({node.name})"
        match node.op:
            case "placeholder":
                tensor = left.pop(0)
                image = tuple(tensor.shape) == shape and tensor.dtype == torch.float32
                values[node.name] = (
                    tracing.image() if image else tracing.constant(tensor.detach().numpy())
                )
            case "call_function":
                arguments = [_given(values, a) for a in node.args]
                kept = {k: _given(values, v) for k, v in node.kwargs.items()}
                values[node.name] = _operation(tracing, node, what, arguments, kept)
            case "output":
                result = node.args[0][0]
                tracing.finish("the output", values[result.name])
            case _:
                tracing.refuse(what, f"a node of the kind {node.op}")
    return sum(node.op == "call_function" for node in graph.nodes)


def _given(values: Mapping[str, Any], argument: Any) -> Any:
    if isinstance(argument, torch.fx.Node):
        return values[argument.name]
    if isinstance(argument, list | tuple):
        return [_given(values, a) for a in argument]
    return argument


def _short(target: Any) -> str:
    return str(target).removeprefix("aten.")


def _operation(
    t: Tracing, node: torch.fx.Node, what: str, arguments: Arguments, kept: Mapping[str, Any]
) -> Any:
    value = node.meta.get("val")
    kinds = [v.dtype for v in (value if isinstance(value, list | tuple) else [value])
             if isinstance(v, torch.Tensor)]  # fmt: skip
    truths = _short(node.target) in COMPARED
    if any(kind != (torch.bool if truths else torch.float32) for kind in kinds):
        t.refuse(what, f"numbers of the type {kinds[0]}")
    rule = RULES.get(_short(node.target))
    if rule is None or (kept and not rule[1]):
        t.refuse(what, f"no operation that is known here {dict(kept) or ''}".rstrip())
        axes = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
        return Traced(np.full(axes, np.nan), np.full(axes, np.nan), frozenset({"?"}), curve=True)
    return rule[0](t, what, *arguments, **kept)


def _two(x: Any, y: Any) -> tuple[Traced, Traced]:
    """Operands, of which one may be a number."""
    a, b = (v if isinstance(v, Traced) else _number(float(v)) for v in (x, y))
    return a, b


def _number(x: float) -> Traced:
    """A number of the graph itself, such as batch norm's epsilon."""
    return Traced(np.array(x), np.array(abs(x)), made=repr(x))


def _added(sign: float) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, x: Any, y: Any) -> Traced:
        return t.linear(what, lambda v: v[0] + sign * v[1], _two(x, y),
                        sizes=lambda v: v[0] + v[1])  # fmt: skip

    return rule


def _times(t: Tracing, what: str, x: Any, y: Any) -> Traced:
    return t.times(what, *_two(x, y))


def _divided(t: Tracing, what: str, x: Any, y: Any) -> Traced:
    return t.divided(what, *_two(x, y))


def _curve(function: Callable[[Any], Any]) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, x: Traced) -> Traced:
        return t.curved(what, function, x)

    return rule


def _gelu(t: Tracing, what: str, x: Traced, *, approximate: str = "none") -> Traced:
    return t.curved(what, gelu_tanh if approximate == "tanh" else gelu, x)


def _power(t: Tracing, what: str, x: Traced, exponent: float) -> Traced:
    return t.curved(what, lambda v: v**exponent, x)


def _compared(apply: Callable[[Any, float], Any]) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, x: Traced, bound: float) -> Traced:
        return t.curved(what, lambda v: apply(v, bound).astype(float), x)

    return rule


def _selected(t: Tracing, what: str, chosen: Traced, x: Any, y: Any) -> Traced:
    return t.selected(what, chosen, *_two(x, y))


def _clipped(apply: Callable[[Any, float], Any]) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, x: Traced, bound: float) -> Traced:
        return t.curved(what, lambda v: apply(v, bound), x)

    return rule


def _convolution(
    t: Tracing, what: str, x: Traced, w: Traced, bias: Traced | None, strides: list[int],
    padding: list[int], dilation: list[int], transposed: bool, _: list[int], groups: int,
) -> Traced:  # fmt: skip
    if {*dilation} != {1} or transposed or not w.constant:
        t.refuse(what, "a convolution that is dilated, transposed, or by weights not constant")
    how: dict[str, Any] = {"strides": strides, "pads": (*padding, *padding), "groups": groups}
    rest = [] if bias is None else [bias]

    def summed(v: Sequence[Any], weight: Any) -> Any:
        y = convolved(v[0], weight, **how)
        return y + v[1][:, None, None] if len(v) > 1 else y

    return t.linear(
        what, lambda v: summed(v, w.value), (x, *rest),
        sizes=lambda v: summed(v, np.abs(w.value)), weights=w.value,
    )  # fmt: skip


def _matrix(t: Tracing, what: str, x: Traced, w: Traced) -> Traced:
    if not w.constant:
        t.refuse(what, "a product of matrices by weights that are not constant")
    return t.linear(what, lambda v: v[0] @ v[1], (x, w))


def _matrix_added(t: Tracing, what: str, bias: Traced, x: Traced, w: Traced) -> Traced:
    return t.linear(what, lambda v: v[0] + v[1] @ v[2], (bias, x, w))


def _mean(t: Tracing, what: str, x: Traced, axes: list[int], keep: bool = False) -> Traced:
    return t.linear(what, lambda v: v[0].mean(axis=tuple(axes), keepdims=keep), (x,))


def _sum(t: Tracing, what: str, x: Traced, axes: list[int], keep: bool = False) -> Traced:
    return t.linear(what, lambda v: v[0].sum(axis=tuple(axes), keepdims=keep), (x,))


def _largest(t: Tracing, what: str, x: Traced, axes: list[int], keep: bool = False) -> Traced:
    return t.curved(what, lambda v: v.max(axis=tuple(axes), keepdims=keep), x)


def _softmax(t: Tracing, what: str, x: Traced, axis: int, half: bool = False) -> Traced:
    if half:
        t.refuse(what, "a softmax of another type")
    return t.curved(what, lambda v: softmax(v, axis), x)


def _moved(apply: Callable[..., np.ndarray]) -> Callable[..., Traced]:
    def rule(t: Tracing, _: str, x: Traced, *rest: Any, **kept: Any) -> Traced:
        return t.copied("", lambda v: apply(v, *rest, **kept), x)

    return rule


def _padded(v: np.ndarray, pads: list[int], value: float = 0.0) -> np.ndarray:
    """The pads of the last axis come first."""
    assert not value
    sides = [(pads[k], pads[k + 1]) for k in range(0, len(pads), 2)][::-1]
    return np.pad(v, [(0, 0)] * (v.ndim - len(sides)) + sides)


def _reshaped(v: np.ndarray, shape: list[int]) -> np.ndarray:
    return v.reshape([int(n) for n in shape])


def _expanded(v: np.ndarray, shape: list[int]) -> np.ndarray:
    return np.broadcast_to(v, [v.shape[k] if n == -1 else n for k, n in enumerate(shape)])


COMPARED = {"gt.Scalar": np.greater, "ge.Scalar": np.greater_equal, "lt.Scalar": np.less,
            "le.Scalar": np.less_equal}  # fmt: skip
RULES: dict[str, tuple[Callable[..., Any], bool]] = {
    **{name: (_compared(apply), False) for name, apply in COMPARED.items()},
    "where.self": (_selected, False),
    "add.Tensor": (_added(1.0), False),
    "sub.Tensor": (_added(-1.0), False),
    "mul.Tensor": (_times, False),
    "div.Tensor": (_divided, False),
    "neg.default": (_curve(np.negative), False),
    **{c.aten: (_curve(float64_of(c)), False) for c in CURVES.values() if c.aten},
    "clamp_min.default": (_clipped(np.maximum), False),
    "clamp_max.default": (_clipped(np.minimum), False),
    "gelu.default": (_gelu, True),
    "expm1.default": (_curve(np.expm1), False),
    "log1p.default": (_curve(np.log1p), False),
    "abs.default": (_curve(np.abs), False),
    "relu.default": (_curve(lambda v: np.maximum(v, 0.0)), False),
    "pow.Tensor_Scalar": (_power, False),
    "exp.default": (_curve(np.exp), False),
    "sqrt.default": (_curve(np.sqrt), False),
    "rsqrt.default": (_curve(lambda v: 1 / np.sqrt(v)), False),
    "reciprocal.default": (_curve(np.reciprocal), False),
    "convolution.default": (_convolution, False),
    "mm.default": (_matrix, False),
    "addmm.default": (_matrix_added, False),
    "mean.dim": (_mean, False),
    "sum.dim_IntList": (_sum, False),
    "amax.default": (_largest, False),
    "_softmax.default": (_softmax, False),
    "view.default": (_moved(_reshaped), False),
    "reshape.default": (_moved(_reshaped), False),
    "_unsafe_view.default": (_moved(_reshaped), False),
    "unsqueeze.default": (_moved(np.expand_dims), False),
    "squeeze.dims": (_moved(lambda v, axes: np.squeeze(v, tuple(axes))), False),
    "squeeze.dim": (_moved(lambda v, axis: np.squeeze(v, axis)), False),
    "permute.default": (_moved(lambda v, axes: v.transpose(axes)), False),
    "expand.default": (_moved(_expanded), False),
    "constant_pad_nd.default": (_moved(_padded), False),
    "clone.default": (_moved(lambda v, **_: v), True),
    "alias.default": (_moved(lambda v: v), False),
}
"""By name, and whether options in names are no matter. What is not here is named."""
