"""Linear networks whose Q is known, and the text of queries about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 2
PLACES = SIDE * SIDE
DOWN = -200.0
"""A logit that no probability tells."""


def linear(
    path: Path, steps: Sequence[float], *, floats: bool = False, logits: bool = False
) -> float:
    """Write a network of three classes, and return its Q, to about 10^-3 of it.

    The difference of the first two logits is the sum of ``steps`` times the input's numbers, and a
    bias that puts the middle of the largest step, at 100 (of floats at 0.5), where Q is attained.
    The third logit is far below.
    """
    d = np.zeros(PLACES, np.float32)
    d[: len(steps)] = steps
    largest = float(np.abs(d).max())
    step = 2.0**-24 if floats else 1.0
    middle = float(d.sum() * (0.5 if floats else 100) + d[np.abs(d).argmax()] * step / 2)
    weights = np.stack([d, 0 * d, 0 * d])
    bias = np.array([-middle, 0.0, DOWN + min(0.0, -middle)], np.float32)
    nodes = [] if floats else [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    nodes += [
        helper.make_node("Flatten", ["x" if floats else "f"], ["v"]),
        helper.make_node("Gemm", ["v", "w", "b"], ["z"], transB=1),
    ]
    nodes += [] if logits else [helper.make_node("Softmax", ["z"], ["p"], axis=1)]
    element = TensorProto.FLOAT if floats else TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", element, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("z" if logits else "p", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(made.SerializeToString())
    return math.tanh(largest * step / 4)


def declared(element: str = "uint8", output: str = "float32", second: str = "equal-to f") -> str:
    """The head of a query about two copies of such a network: lines 1 to 9."""
    size = f"[1,1,{SIDE},{SIDE}]"
    return f"""(vnnlib-version <2.0>)
(declare-network f
    (declare-input X {element} {size})
    (declare-output Y {output} [1,3])
)
(declare-network g ({second})
    (declare-input A {element} {size})
    (declare-output B {output} [1,3])
)
"""


def at(k: int) -> str:
    """The indices of a place."""
    return f"[0,0,{k // SIDE},{k % SIDE}]"


def one_moves(place: int, step: str = "1", low: str = "0", high: str = "255") -> str:
    """Assertions that only this place moves, and up, by no more than a step."""
    lines = list[str]()
    for k in range(PLACES):
        x, a = f"X{at(k)}", f"A{at(k)}"
        lines += [f"(assert (>= {x} {low}))", f"(assert (<= {x} {high}))"]
        lines += [f"(assert (>= {a} {low}))", f"(assert (<= {a} {high}))"]
        if k != place:
            lines.append(f"(assert (== {x} {a}))")
        else:
            lines += [f"(assert (>= {a} {x}))", f"(assert (<= (- {a} {x}) {step}))"]
    return "\n".join(lines) + "\n"


def written(folder: Path, *parts: str) -> Path:
    """A query on disk."""
    path = folder / "asked.vnnlib"
    path.write_text("".join(parts))
    return path
