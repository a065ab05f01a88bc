"""What a question asks of a file: the map from bytes before it, softmax after it.

Both become operators of the graph that is read, as if the file had them; so whatever a runtime may
fold of them is covered, and so is a map that is computed step by step outside of it.

Map: question
"""

from __future__ import annotations

import numpy as np

from lastbit_check.onnxfile import FLOAT, UINT8, Attribute, Declared, OnnxGraph, Operator
from lastbit_check.question import Question
from lastbit_check.verdict import require

BYTES, STEP, PROBABILITIES = "lastbit.bytes", "lastbit.pixels.{}", "lastbit.probabilities"
ENDS = ("Softmax", "LogSoftmax", "ArgMax")
"""Operators after the logits, which work over all of an image's."""


def asked(graph: OnnxGraph, question: Question) -> OnnxGraph:
    """The graph from the question's inputs to probabilities. Raises Rejected (rule model.input)."""
    return _to_probabilities(_from_inputs(graph, question))


def _from_inputs(graph: OnnxGraph, question: Question) -> OnnxGraph:
    image, steps = graph.image, question.pixels
    wanted = FLOAT if question.box or steps else UINT8
    said = {
        FLOAT: "float32: say how its pixels are made of bytes, or between which numbers they are",
        UINT8: "bytes, and the question is about other numbers",
    }
    what = said.get(image.element or 0, "neither bytes nor float32")
    require(image.element == wanted, "model.input", f"the input is {what}")
    if not steps:
        return graph
    ends = [*(STEP.format(k) for k in range(len(steps))), image.name]
    made = [Operator("Cast", (BYTES,), ends[0], {"to": FLOAT})]
    constants, places = dict(graph.constants), len(image.dims or ()) - 2
    for k, step in enumerate(steps):
        name = f"{STEP.format(k)}.constant"
        values = np.array(step.constants, "<f4")
        constants[name] = values.reshape(-1, *[1] * places) if values.size > 1 else values
        made.append(Operator(step.op, (ends[k], name), ends[k + 1], {}))
    new = Declared(BYTES, UINT8, image.dims)
    _fresh(graph, [BYTES, *ends[:-1], *(name for o in made for name in o.inputs)])
    return graph._replace(operators=[*made, *graph.operators], constants=constants, image=new)


def _to_probabilities(graph: OnnxGraph) -> OnnxGraph:
    graph = _without_copies(graph)
    last = next((o for o in graph.operators if o.name == graph.output_name), None)
    if last is None or last.op == "Softmax":
        return graph
    logits: str = graph.output_name
    over: dict[str, Attribute] = {"axis": 1}
    if last.op in ENDS:
        logits, over = last.operand(0), last.attributes
    if last.op == "ArgMax":
        over = {"axis": last.attribute("axis", 0)}
    _fresh(graph, [PROBABILITIES])
    end = Operator("Softmax", (logits,), PROBABILITIES, over)
    return graph._replace(operators=[*graph.operators, end], output_name=PROBABILITIES)


def _without_copies(graph: OnnxGraph) -> OnnxGraph:
    """Without what only copies the answer, or writes a label as another type."""
    by_name = {o.name: o for o in graph.operators}
    name, copies = graph.output_name, dict[str, Operator]()
    while name in by_name and by_name[name].op in ("Cast", "Identity") and name not in copies:
        copies[name] = by_name[name]
        name = by_name[name].operand(0)
    end = by_name[name].op if name in by_name else ""
    same = end == "ArgMax" or all(o.attributes.get("to", FLOAT) == FLOAT for o in copies.values())
    if not same or end not in ("Softmax", *ENDS):
        return graph
    other = copies if end == "ArgMax" else {}
    operators = [o for o in graph.operators if o.name not in other]
    return graph._replace(operators=operators, output_name=name)


def _fresh(graph: OnnxGraph, names: list[str]) -> None:
    """A file neither makes nor reads nor describes values of these names."""
    of_file = {*graph.constants, *(value.name for value in graph.declared)}
    of_file.update(name for o in graph.operators for name in (o.name, *o.inputs))
    kept = sorted(of_file & {*names})
    require(not kept, "file.names", f"names that are kept for questions: {kept}")
