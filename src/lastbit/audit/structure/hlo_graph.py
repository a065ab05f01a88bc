"""What XLA makes of a network: its optimised program, instruction by instruction."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastbit.audit.structure.hlo_text import Computation, Instruction, Module, numbers_in
from lastbit.audit.structure.kernels import convolved, sigmoid
from lastbit.audit.structure.tracing import Traced, Tracing

ARITHMETIC = ("add", "subtract", "multiply", "divide", "negate", "maximum", "exponential", "reduce",
              "convolution", "dot", "logistic", "tanh")  # fmt: skip
MOVES = ("copy", "bitcast", "transpose", "reshape", "broadcast", "convert")


@dataclass(frozen=True)
class Occurrence:
    """Where a node is computed.

    Attributes:
        node: its name.
        kernel: the computation.
        inside: whether a product is added to something on the way to it.
        added: whether it is itself a product that is added to something in the same kernel. (A
            factor that comes last may be applied by each reader for itself.)
    """

    node: str
    kernel: str
    inside: bool
    added: bool


@dataclass
class HloTrace:
    """A program, traced.

    Attributes:
        occurrences: where every node is computed.
        kernels: how many operations each has.
        contracted: products that are added to something in the same kernel.
    """

    tracing: Tracing
    module: Module
    occurrences: list[Occurrence] = field(default_factory=list[Occurrence])
    kernels: dict[str, int] = field(default_factory=dict[str, int])
    contracted: int = 0

    def unequal(self) -> list[str]:
        """Nodes that are computed in several kernels, not surely to the same bits.

        Of a product that is added to something in its kernel LLVM makes a multiply-add, which does
        not round it, or does not, as the instructions around them allow.
        """
        found = list[str]()
        for name in dict.fromkeys(o.node for o in self.occurrences):
            where = [o for o in self.occurrences if o.node == name]
            node = self.tracing.expected.network.by_name.get(name)
            moves = node is not None and bool(node.trailing) and node.op == "sum"
            if len(where) > 1 and any(o.inside or (o.added and not moves) for o in where):
                kernels = ", ".join(o.kernel for o in where)
                found.append(
                    f"{name} is computed in {kernels}, and a product may be rounded in one and not "
                    "in another: computed-once does not hold"
                )
        return found


def traced_hlo(module: Module, tracing: Tracing) -> HloTrace:
    """Walk through a program whose one parameter is the image, (N, C, H, W) in float32."""
    found = HloTrace(tracing, module)
    entry = module.computations[module.entry]
    result = _computed(found, entry, [tracing.image()])
    last = result[0] if isinstance(result, list) else result
    tracing.finish("the output", last)
    return found


Result = Traced | list[Traced]


def _computed(found: HloTrace, computation: Computation, given: list[Traced]) -> Result:
    """The result of a computation on some tensors."""
    values = dict[str, Result]()
    for i in computation.instructions:
        what = f"{i.opcode} ({computation.name}, {i.name})"
        if i.shape is not None and i.shape.kind not in ("f32", "u8", "s32", "pred"):
            found.tracing.refuse(what, f"numbers of the type {i.shape.kind}")
        values[i.name] = _instruction(found, i, what, values, given)
        made = values[i.name]
        if isinstance(made, Traced) and made.node and i.opcode in ARITHMETIC:
            found.occurrences.append(_occurrence(computation, i, made.node, values))
    found.kernels[computation.name] = sum(i.opcode in ARITHMETIC for i in computation.instructions)
    found.contracted += sum(
        i.opcode == "multiply" and _is_added(computation, i.name) for i in computation.instructions
    )
    return values[computation.root.name]


def _occurrence(
    computation: Computation, i: Instruction, node: str, values: dict[str, Result]
) -> Occurrence:
    added = i.opcode == "multiply" and _is_added(computation, i.name)
    inside = _adds_a_product(computation, i, values)
    return Occurrence(node, computation.name, inside, added)


def _adds_a_product(computation: Computation, i: Instruction, values: dict[str, Result]) -> bool:
    """Whether a product is added to something on the way to an instruction, since the last node."""
    by_name = {one.name: one for one in computation.instructions}
    for name in i.operands:
        before = by_name.get(name)
        while before is not None and before.opcode in MOVES:
            before = by_name.get(before.operands[0])
        if before is None:
            continue
        if before.opcode == "multiply" and i.opcode in ("add", "subtract"):
            return True
        made = values.get(before.name)
        is_node = isinstance(made, Traced) and bool(made.node)
        if not is_node and before.opcode in ARITHMETIC:
            if _adds_a_product(computation, before, values):
                return True
    return False


def _is_added(computation: Computation, name: str) -> bool:
    """Whether what an instruction makes is added to something in the same computation."""
    for i in computation.instructions:
        if name in i.operands:
            if i.opcode in ("add", "subtract", "reduce", "reduce-window"):
                return True
            if i.opcode in MOVES and _is_added(computation, i.name):
                return True
    return False


def _instruction(
    found: HloTrace, i: Instruction, what: str, values: dict[str, Result], given: list[Traced]
) -> Result:
    t = found.tracing
    if i.opcode == "parameter":
        number = int(i.operands[0])
        return given[number]
    if i.opcode == "constant":
        assert i.literal is not None
        return t.constant(i.literal)
    xs = [values[name] for name in i.operands]
    if i.opcode == "tuple":
        return [x for x in xs if isinstance(x, Traced)]
    if i.opcode == "get-tuple-element":
        (x,) = xs
        return x[int(i.attributes["index"])] if isinstance(x, list) else x
    plain = [x for x in xs if isinstance(x, Traced)]
    called = i.attributes.get("calls") or i.attributes.get("to_apply")
    if i.opcode in ("fusion", "call") and called:
        return _computed(found, found.module.computations[called.lstrip("%")], plain)
    rule = RULES.get(i.opcode)
    if rule is None:
        t.refuse(
            what, f"no operation that is known here {i.attributes.get('custom_call_target', '')}"
        )
        shape = i.shape.axes if i.shape else ()
        return Traced(np.full(shape, np.nan), np.full(shape, np.nan), frozenset({"?"}), curve=True)
    return rule(found, i, what, plain)


def _moved(apply: Callable[[Instruction, np.ndarray], np.ndarray]) -> Callable[..., Traced]:
    def rule(found: HloTrace, i: Instruction, _: str, xs: list[Traced]) -> Traced:
        return found.tracing.copied("", lambda v: apply(i, v), xs[0])

    return rule


def _axes(i: Instruction) -> tuple[int, ...]:
    assert i.shape is not None
    return i.shape.axes


def _bitcast(found: HloTrace, i: Instruction, _: str, xs: list[Traced]) -> Traced:
    """The same numbers in memory under another shape, or with its axes in another order."""
    source = found.module.by_name[i.operands[0]]
    assert i.shape is not None
    assert source.shape is not None
    before, after = source.shape.order, i.shape.order
    stored = tuple(i.shape.axes[k] for k in after)

    def apply(v: np.ndarray) -> np.ndarray:
        return v.transpose(before).reshape(stored).transpose(np.argsort(after))

    return found.tracing.copied("", apply, xs[0])


def _broadcast(i: Instruction, v: np.ndarray) -> np.ndarray:
    kept = numbers_in(i.attributes.get("dimensions", ""))
    shape = [1] * len(_axes(i))
    for k, axis in enumerate(kept):
        shape[axis] = v.shape[k]
    return np.broadcast_to(v.reshape(shape), _axes(i))


def _sliced(i: Instruction, v: np.ndarray) -> np.ndarray:
    parts = re.findall(r"\[(\d+):(\d+)(?::(\d+))?\]", i.attributes["slice"])
    return v[tuple(slice(int(a), int(b), int(c or 1)) for a, b, c in parts)]


def _padded(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    x, filler = xs
    if not filler.constant or filler.value.any():
        found.tracing.refuse(what, "a padding by other numbers than 0")
    pads = [[int(n) for n in part.split("_")] for part in i.attributes["padding"].split("x")]
    if any(min(pad[:2]) < 0 or sum(pad[2:]) for pad in pads):
        found.tracing.refuse(what, f"the padding {i.attributes['padding']}")
    return found.tracing.copied("", lambda v: np.pad(v, [tuple(pad[:2]) for pad in pads]), x)


def _added(sign: float) -> Callable[..., Traced]:
    def rule(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
        return found.tracing.linear(what, lambda v: v[0] + sign * v[1], xs,
                                    sizes=lambda v: v[0] + v[1])  # fmt: skip

    return rule


def _negated(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    return found.tracing.linear(what, lambda v: -v[0], xs, sizes=lambda v: v[0])


def _times(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    return found.tracing.times(what, *xs)


def _divided(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    return found.tracing.divided(what, *xs)


def _curve(function: Callable[[Any], Any]) -> Callable[..., Traced]:
    def rule(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
        return found.tracing.curved(what, function, xs[0])

    return rule


def _maximum(found: HloTrace, _: Instruction, what: str, xs: list[Traced]) -> Traced:
    """The larger one of a value and a constant: only inside of a softmax, where it is no bound."""
    variable = [x for x in xs if not x.constant]
    if len(variable) != 1:
        found.tracing.refuse(what, "the larger one of two values")
        return xs[0]
    fixed = next(x for x in xs if x.constant)
    return found.tracing.curved(what, lambda v: np.maximum(v, fixed.value), variable[0])


def _reduced(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A sum, or the largest number, along some axes, from 0 or minus infinity."""
    x, start = xs[:2]
    axes = numbers_in(i.attributes["dimensions"])
    inner = found.module.computations[i.attributes["to_apply"].lstrip("%")].root.opcode
    if inner == "maximum":
        return found.tracing.curved(what, lambda v: v.max(axis=axes), x)
    if inner != "add" or start.value.any() or len(xs) != 2:
        found.tracing.refuse(what, f"a reduction by {inner}")
    return found.tracing.linear(what, lambda v: v[0].sum(axis=axes), (x,))


def _dot(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A product of matrices, one of them constant."""
    if not any(x.constant for x in xs):
        found.tracing.refuse(what, "a product of two values' matrices")
    left, right = (numbers_in(i.attributes[f"{side}_contracting_dims"]) for side in ("lhs", "rhs"))
    if any(i.attributes.get(f"{side}_batch_dims", "{}") != "{}" for side in ("lhs", "rhs")):
        found.tracing.refuse(what, "a product of matrices in batches")
    _precise(found, i, what)
    return found.tracing.linear(what, lambda v: np.tensordot(v[0], v[1], (left, right)), xs)


def _precise(found: HloTrace, i: Instruction, what: str) -> None:
    algorithm = i.attributes.get("algorithm", "dot_f32_f32_f32")
    if algorithm != "dot_f32_f32_f32":
        found.tracing.refuse(what, f"the algorithm {algorithm}")


def _convolution(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    """A convolution of images by constant weights, its axes in any order."""
    x, w = xs
    window = dict(part.split("=") for part in i.attributes["window"].strip("{}").split())
    plain = {*window} <= {"size", "stride", "pad"} and w.constant
    groups = int(i.attributes.get("feature_group_count", 1))
    if not plain or "batch_group_count" in i.attributes:
        found.tracing.refuse(what, f"a convolution with {i.attributes['window']}")
        return found.tracing.curved(what, lambda v: np.full(_axes(i), np.nan), x)
    _precise(found, i, what)
    strides = [int(n) for n in window.get("stride", "1x1").split("x")]
    pads = [[int(n) for n in p.split("_")] for p in window.get("pad", "0_0x0_0").split("x")]
    inputs, _, rest = i.attributes["dim_labels"].partition("_")
    weights, _, outputs = rest.partition("->")
    weight = w.value.transpose([weights.index(c) for c in "oi01"])
    entering = [inputs.index(c) for c in "bf01"]
    leaving = ["bf01".index(c) for c in outputs]
    how: dict[str, Any] = {
        "strides": strides,
        "pads": (pads[0][0], pads[1][0], pads[0][1], pads[1][1]),
        "groups": groups,
    }

    def apply(v: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return convolved(v.transpose(entering), weight, **how).transpose(leaving)

    return found.tracing.linear(
        what, lambda v: apply(v[0], weight), (x,),
        sizes=lambda v: apply(v[0], np.abs(weight)), weights=weight,
    )  # fmt: skip


def _joined(found: HloTrace, i: Instruction, what: str, xs: list[Traced]) -> Traced:
    axis = numbers_in(i.attributes["dimensions"])[0]
    if all(x.constant for x in xs):
        return found.tracing.constant(np.concatenate([x.value for x in xs], axis))
    found.tracing.refuse(what, "several values side by side")
    return xs[0]


RULES: dict[str, Callable[..., Traced]] = {
    "bitcast": _bitcast,
    "copy": _moved(lambda _, v: v),
    "convert": _moved(lambda _, v: v),
    "optimization-barrier": _moved(lambda _, v: v),
    "reshape": _moved(lambda i, v: v.reshape(_axes(i))),
    "transpose": _moved(lambda i, v: v.transpose(numbers_in(i.attributes["dimensions"]))),
    "broadcast": _moved(_broadcast),
    "slice": _moved(_sliced),
    "pad": _padded,
    "concatenate": _joined,
    "add": _added(1.0),
    "subtract": _added(-1.0),
    "negate": _negated,
    "multiply": _times,
    "divide": _divided,
    "maximum": _maximum,
    "exponential": _curve(np.exp),
    "logistic": _curve(sigmoid),
    "tanh": _curve(np.tanh),
    "sqrt": _curve(np.sqrt),
    "rsqrt": _curve(lambda v: 1 / np.sqrt(v)),
    "reduce": _reduced,
    "dot": _dot,
    "convolution": _convolution,
}
"""An operation that is not here is named, and the audit fails."""
