"""Writes Data.v: an ONNX file as literals, and two flags for each of its nodes from a certificate.

    python proofs/tight/write.py [MODEL CERTIFICATE [FOLDER]]

Without arguments: those of models/tight, beside this file. Nothing here is believed: Coq reads the
network from the bytes, and whatever the flags are, what it derives with them holds.
"""

import math
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lastbit_check.certificate import hints_of, load
from lastbit_check.check import Pass
from lastbit_check.exact import Fix
from lastbit_check.network import Node, normal_form
from lastbit_check.onnxfile import read

HERE = Path(__file__).resolve().parent
LITERALS: Callable[[bytes], str] = runpy.run_path(str(HERE.parent / "zero/write.py"))["literals"]


def flags(model: bytes, certificate: Path) -> str:
    """Definitions of ``flags``, node by node but for softmax, of ``boundary`` and of ``ratio``.

    A flag tells whether a node is a base, the other one whether its dependence on bases is
    forgotten. The boundary is the number of units up to the first base; one pixel changes a unit of
    that base by no more than ratio / 2^20 of what the unit is known within.
    """
    nodes, hints = normal_form(read(model))[:-1], hints_of(load(certificate))
    if not hints.bases:
        early = frozenset({early_silu(nodes)})
        hints = replace(hints, bases=early, boxes=early)
    pairs = [(node.name in hints.bases, node.name in hints.boxes) for node in nodes]
    listed = ";\n  ".join(f"({base}, {box})".lower() for base, box in pairs)
    first = [base for base, _ in pairs].index(True) + 1
    walk, units, radius = Pass(model, hints), 0, Fix(np.zeros((1, 1, 1, 1)), 0)
    for node in nodes[:first]:
        walk.forms[node.name], _ = walk.forward(node)
        radius, units = walk.forms[node.name].radius, units + math.prod(node.shape)
    share = np.max(radius.n[..., 1:], axis=3) / radius.n[..., 0]
    ratio = math.ceil(2**20 * 1.001 * float(np.max(share)))
    return (
        "\nFrom Coq Require Import ZArith.\n"
        f"Definition flags : list (bool * bool) := [\n  {listed}].\n"
        f"Definition boundary : int := {units}%uint63.\n"
        f"Definition ratio : Z := {ratio}%Z.\n"
    )


def early_silu(nodes: list[Node]) -> str:
    """The last SiLU through which all paths lead, before the first node that is no layer.

    A certificate without bases tells pixels apart to the end; Coq does so up to the first base.
    """
    found = ""
    for k, node in enumerate(nodes):
        if node.op not in ("input", "affine", "linear", "silu"):
            break
        if node.op == "silu":
            found = node.name
        readers = [other for other in nodes if node.name in other.inputs]
        if readers != nodes[k + 1 : k + 2]:
            break
    return found


def main(model: Path, certificate: Path, folder: Path) -> None:
    """Write Data.v into ``folder``."""
    data = model.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Data.v").write_text(LITERALS(data) + flags(data, certificate))
    print(f"{folder / 'Data.v'}: written from {model} and {certificate}")


if __name__ == "__main__":
    shipped = HERE.parents[1] / "models/tight"
    arguments = [Path(a) for a in sys.argv[1:]]
    defaults = [shipped / "model.onnx", shipped / "certificate.json", HERE]
    main(*arguments, *defaults[len(arguments) :])
