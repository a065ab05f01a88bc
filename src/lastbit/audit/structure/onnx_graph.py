"""What ONNX Runtime makes of a graph: its own optimised model, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lastbit.audit.structure.kernels import (
    convolved,
    filter_without_blocks,
    softmax,
    spread,
)
from lastbit.audit.structure.onnx_arranging import ARRANGING, POOLING, numbers
from lastbit.audit.structure.onnx_curves import CURVE_RULES, CURVED, FAMILIES, NONE, activated
from lastbit.audit.structure.tracing import Traced, Tracing
from lastbit.runtimes.onnx_runtime import session_of

NCHWC = "com.microsoft.nchwc"
MICROSOFT = "com.microsoft"
COPIES = ("Cast", "Identity", "Dropout", "ReorderInput", "ReorderOutput")
BY_PLACE = (
    *("Add", "Sub", "Mul", "Div", "QuickGelu", "FastGelu", "Sum", "Clip", "Concat"),
    *("Pow", "Reciprocal", *FAMILIES),
)


@dataclass
class OnnxTrace:
    """A model, traced.

    Attributes:
        tracing: what its tensors are.
        tensors: each by its name.
        blocked: those that lie in blocks of channels, though their shape does not say so.
    """

    tracing: Tracing
    tensors: dict[str, Traced] = field(default_factory=dict[str, Traced])
    blocked: set[str] = field(default_factory=set[str])

    @property
    def block(self) -> int:
        """How many channels lie side by side in these."""
        return block_size() if self.blocked else 0


def traced_onnx(model: ModelProto, tracing: Tracing) -> OnnxTrace:
    """Walk through a model as ONNX Runtime would run it, operator by operator."""
    found = OnnxTrace(tracing)
    for tensor in model.graph.initializer:
        found.tensors[tensor.name] = tracing.constant(numpy_helper.to_array(tensor))
    for value in model.graph.input:
        if value.name not in found.tensors:
            sizes = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
            found.tensors[value.name] = tracing.copied(
                "", lambda v, sizes=sizes: v.reshape(-1, *sizes), tracing.image()
            )
    for node in model.graph.node:
        _operation(found, node)
    output = model.graph.output[0].name
    if output in found.tensors:
        found.tensors[output] = tracing.finish("the output", found.tensors[output])
    return found


def _operation(found: OnnxTrace, node: NodeProto) -> None:
    """One operator, or its name among the unknown ones."""
    what = f"{node.domain + '.' if node.domain else ''}{node.op_type} ({node.output[0]})"
    rule = RULES.get((node.domain.replace("ai.onnx", ""), node.op_type))
    options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    missing = [name for name in node.input if name and name not in found.tensors]
    if rule is None or missing:
        if not missing:
            found.tracing.refuse(what, "no operator that is known here")
        return
    xs = [found.tensors[name] for name in node.input if name]
    if node.op_type == "Clip":  # its bounds go by their places
        named = zip((*node.input[1:], "", ""), NONE, strict=False)
        options["bounds"] = [
            float(found.tensors[name].value.ravel()[0]) if name else other for name, other in named
        ]
    if node.op_type == "Split":
        options["outputs"] = len(node.output)
    blocked = any(name in found.blocked for name in node.input)
    if (node.domain == NCHWC and node.op_type != "ReorderOutput") or (
        blocked and (node.op_type in BY_PLACE or node.op_type in CURVED)
    ):
        found.blocked.add(node.output[0])
    elif blocked and node.op_type != "ReorderOutput":
        found.tracing.refuse(what, "it reads numbers in blocks of channels")
    made = rule(found.tracing, what, xs, options)
    made = made if isinstance(made, list) else activated(found.tracing, what, made, options)
    found.tensors.update(zip(node.output, made, strict=False))


def _copy(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """A change of type, of name, or of the order in which numbers lie."""
    if options.get("to", TensorProto.FLOAT) != TensorProto.FLOAT:
        t.refuse(what, "a change to another type than float32")
    channels = options.get("channels", 0)
    last = options.get("channels_last", 0)
    order = (0, 2, 3, 1) if last else (0, 1, 2, 3)
    if not channels:
        return xs[0]
    return t.copied("", lambda v: v[:, :channels].transpose(order), xs[0])


def _added(sign: float) -> Callable[..., Traced]:
    def rule(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
        x, y = xs
        return t.linear(what, lambda v: v[0] + sign * v[1], (x, y), sizes=lambda v: v[0] + v[1])

    return rule


def _negated(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    return t.linear(what, lambda v: -v[0], xs, sizes=lambda v: v[0])


def _times(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    return t.times(what, *xs)


def _divided(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    return t.divided(what, *xs)


def _convolution(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """Convolution, and what was fused to it: bias, and a residual (the fourth input)."""
    x, w, *rest = xs
    weight = w.value
    if what.startswith(NCHWC):
        weight = filter_without_blocks(weight, block_size())
        weight = weight[:, : x.value.shape[1]] if options.get("group", 1) == 1 else weight
    how = {"strides": options.get("strides", (1, 1)), "pads": options.get("pads", (0,) * 4),
           "groups": options.get("group", 1)}  # fmt: skip
    weight = spread(weight, options.get("dilations", (1, 1)))
    if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        t.refuse(what, "pads that are chosen")

    def summed(x: Any, weight: Any, rest: list[Any]) -> Any:
        missing = how["groups"] * weight.shape[1] - x.shape[1]  # of a block that is filled up
        y = convolved(np.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0))), weight, **how)
        for term in rest:
            term = term[:, None, None] if term.ndim == 1 else term
            channels = min(y.shape[1], term.shape[-3])  # of blocks, some may be padding
            y = y[:, :channels] + term[..., :channels, :, :]
        return y

    return t.linear(
        what,
        lambda v: summed(v[0], weight, [*v[1:]]),
        (x, *rest),
        sizes=lambda v: summed(v[0], np.abs(weight), [*v[1:]]),
        weights=weight,
        padded=what.startswith(NCHWC),
    )


def _dense(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """Gemm, MatMul and FusedMatMul: products with the last axis, or with the one before it."""
    x, w, *rest = xs
    batched = options.get("transBatchA", 0) or options.get("transBatchB", 0)
    if x.constant == w.constant or batched:
        t.refuse(what, "a product of two values' matrices")
    turns = [options.get(f"trans{side}", 0) for side in "AB"]
    alpha, beta = options.get("alpha", 1.0), options.get("beta", 1.0)

    def summed(values: Any, alpha: float) -> Any:
        sides = [np.swapaxes(v, -1, -2) if turned else v
                 for v, turned in zip(values[:2], turns, strict=True)]  # fmt: skip
        return sum((beta * term for term in values[2:]), alpha * (sides[0] @ sides[1]))

    right = w.value.T if turns[1] == 0 else w.value
    return t.linear(
        what, lambda v: summed(v, alpha), (x, w, *rest), sizes=lambda v: summed(v, abs(alpha)),
        weights=alpha * right[:, :, None, None] if w.constant and w.value.ndim == 2 else None,
    )  # fmt: skip


def _batch_norm(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    x, *rest = xs
    places = (1,) * (x.value.ndim - 2)
    gamma, beta, mean, var = (v.value.reshape(-1, *places) for v in rest)
    factor = gamma / np.sqrt(var + options.get("epsilon", 1e-5))
    size = np.abs(beta) + np.abs(mean * factor)
    return t.linear(what, lambda v: (v[0] - mean) * factor + beta, (x,),
                    sizes=lambda v: v[0] * np.abs(factor) + size)  # fmt: skip


def _over(xs: list[Traced], options: dict[str, Any]) -> tuple[tuple[int, ...], bool]:
    """Over which axes, and whether they are kept."""
    axes = numbers(xs, 1, options, "axes") or [*range(2, xs[0].value.ndim)]
    return tuple(axes), bool(options.get("keepdims", 1))


def _mean(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    axes, keep = _over(xs, options)
    return t.linear(what, lambda v: v[0].mean(axis=axes, keepdims=keep), xs[:1])


def _total(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    axes, keep = _over(xs, options)
    return t.linear(what, lambda v: v[0].sum(axis=axes, keepdims=keep), xs[:1])


def _quick_gelu(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """The product of z and sigmoid(alpha z): step by step, as each may be a node."""
    scaled, alpha = xs[0], options.get("alpha", 1.702)
    if alpha != 1.0:
        scaled = t.times(what, scaled, t.constant(np.array(alpha)))
    return t.times(what, xs[0], t.curved(what, CURVED["Sigmoid"], scaled))


def _bias_gelu(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    """Gelu of a sum with a bias."""
    return CURVE_RULES["Gelu"](t, what, [_added(1.0)(t, what, xs, options)], options)


def _fast_gelu(t: Tracing, what: str, xs: list[Traced], _: dict[str, Any]) -> Traced:
    """Gelu by the hyperbolic tangent, perhaps of a sum with a bias."""
    x = _added(1.0)(t, what, xs, {}) if len(xs) > 1 else xs[0]
    return CURVE_RULES["Gelu"](t, what, [x], {"approximate": b"tanh"})


def _softmax(t: Tracing, what: str, xs: list[Traced], options: dict[str, Any]) -> Traced:
    return t.curved(what, lambda z: softmax(z, options.get("axis", -1)), xs[0])


RULES: dict[tuple[str, str], Callable[..., Traced | list[Traced]]] = {
    **{("", name): _copy for name in ("Cast", "Identity", "Dropout")},
    **{(NCHWC, name): _copy for name in ("ReorderInput", "ReorderOutput")},
    **{("", name): rule for name, rule in {**ARRANGING, **POOLING}.items()},
    **{(NCHWC, name): rule for name, rule in POOLING.items()},
    ("", "Add"): _added(1.0),
    ("", "Sub"): _added(-1.0),
    ("", "Sum"): _added(1.0),
    ("", "Neg"): _negated,
    ("", "Mul"): _times,
    ("", "Div"): _divided,
    ("", "Conv"): _convolution,
    (MICROSOFT, "FusedConv"): _convolution,
    (NCHWC, "Conv"): _convolution,
    ("", "Gemm"): _dense,
    (MICROSOFT, "FusedGemm"): _dense,
    ("", "MatMul"): _dense,
    (MICROSOFT, "FusedMatMul"): _dense,
    ("", "BatchNormalization"): _batch_norm,
    ("", "GlobalAveragePool"): _mean,
    (NCHWC, "GlobalAveragePool"): _mean,
    ("", "ReduceMean"): _mean,
    ("", "ReduceSum"): _total,
    **{("", name): rule for name, rule in CURVE_RULES.items()},
    (MICROSOFT, "Gelu"): CURVE_RULES["Gelu"],
    (MICROSOFT, "BiasGelu"): _bias_gelu,
    (MICROSOFT, "FastGelu"): _fast_gelu,
    (MICROSOFT, "QuickGelu"): _quick_gelu,
    ("", "Softmax"): _softmax,
}
"""By domain and name. An operator that is not here is named, and the audit fails."""


@cache
def block_size() -> int:
    """How many channels lie side by side here; found out by letting the runtime order some."""
    node = helper.make_node("ReorderInput", ["x"], ["y"], domain=NCHWC)
    ends = (helper.make_tensor_value_info(e, TensorProto.FLOAT, [1, 64, 1, 2]) for e in "xy")
    x, y = ends
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(NCHWC, 1)]
    model = helper.make_model(
        helper.make_graph([node], "blocks", [x], [y]), ir_version=8, opset_imports=opsets
    )
    channels = np.repeat(np.arange(64, dtype=np.float32), 2).reshape(1, 64, 1, 2)
    (found,) = session_of(model.SerializeToString(), "off").run(None, {"x": channels})
    return int(np.flatnonzero(np.asarray(found).ravel() == 0)[1])
