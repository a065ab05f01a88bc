"""What XLA makes of a network: its optimised program, instruction by instruction."""

from __future__ import annotations

from lastbit.audit.structure.hlo_arranging import unknown
from lastbit.audit.structure.hlo_rules import RULES
from lastbit.audit.structure.hlo_text import Computation, Instruction, Module
from lastbit.audit.structure.hlo_trace import HloTrace, Occurrence
from lastbit.audit.structure.tracing import Traced, Tracing

ARITHMETIC = ("add", "subtract", "multiply", "divide", "negate", "maximum", "exponential", "reduce",
              "convolution", "dot", "logistic", "tanh")  # fmt: skip
MOVES = ("copy", "bitcast", "transpose", "reshape", "broadcast", "convert")


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
        open_ended = not is_node and before.opcode in ARITHMETIC
        if open_ended and _adds_a_product(computation, before, values):
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
        target = i.attributes.get("custom_call_target", "")
        t.refuse(what, f"no operation that is known here {target}".rstrip())
        return unknown(i)
    return rule(found, i, what, plain)
