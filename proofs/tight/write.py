"""Writes Data.v: an ONNX file as literals, and two flags for each of its nodes from a certificate.

And flags.txt, the flags for the extracted program, which reads the ONNX file itself.

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
from typing import NamedTuple

import numpy as np

from lastbit.errors import ModelError
from lastbit.graph import Affine, Input, Linear, Network, Silu, read_onnx
from lastbit_check.certificate import hints_of, load, read_bytes
from lastbit_check.check import network_in
from lastbit_check.derive.derivation import derive
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT
from lastbit_check.verdict import Rejected, Unreadable

HERE = Path(__file__).resolve().parent
LITERALS: Callable[[bytes], str] = runpy.run_path(str(HERE.parent / "zero/write.py"))["literals"]


class Given(NamedTuple):
    """What Coq is told besides the file.

    ``flags`` of each node but softmax: whether it is a base, and whether its dependence on bases is
    forgotten. ``boundary`` is the number of units up to the first base; one pixel changes a unit of
    that base by no more than ``ratio`` / 2^20 of what the unit is known within.
    """

    flags: list[tuple[bool, bool]]
    boundary: int
    ratio: int

    def literals(self) -> str:
        """As definitions."""
        listed = ";\n  ".join(f"({base}, {box})".lower() for base, box in self.flags)
        return (
            "\nFrom Coq Require Import ZArith.\n"
            f"Definition flags : list (bool * bool) := [\n  {listed}].\n"
            f"Definition boundary : int := {self.boundary}%uint63.\n"
            f"Definition ratio : Z := {self.ratio}%Z.\n"
        )

    def plain(self) -> str:
        """As the extracted program reads it."""
        lines = [f"{base:d} {box:d}" for base, box in self.flags]
        return "\n".join([*lines, f"boundary {self.boundary}", f"ratio {self.ratio}", ""])


def given(model: Path, certificate: Path) -> Given:
    """What Coq is told, from a certificate."""
    network, hints = read_onnx(model), hints_of(load(certificate))
    if not hints.bases:
        early = frozenset({early_silu(network)})
        hints = replace(hints, bases=early, boxes=early)
    nodes = network.nodes[:-1]
    flags = [(node.name in hints.bases, node.name in hints.boxes) for node in nodes]
    first = [base for base, _ in flags].index(True) + 1
    derived = derive(network_in(read_bytes(model)), LAST_BIT, hints)
    values, *moves = (np.ldexp(x.n, -x.e) for x in derived.radius)
    share = np.max(moves[EXECUTIONS.index(ANY_TWO)], axis=1) / np.maximum(values[:, 0], 2.0**-90)
    # 2 % more than here: Coq rounds otherwise, and refuses a base that moves by more
    ratio = math.ceil(2**20 * 1.02 * float(np.max(share)))
    return Given(flags, sum(math.prod(node.shape) for node in nodes[:first]), ratio)


def early_silu(network: Network) -> str:
    """The last SiLU through which all paths lead, before the first node that is no layer.

    A certificate without bases tells pixels apart to the end; Coq does so up to the first base.
    """
    nodes, found = network.nodes, ""
    for k, node in enumerate(nodes):
        if not isinstance(node, Input | Affine | Linear | Silu):
            break
        if isinstance(node, Silu):
            found = node.name
        readers = [other for other in nodes if node.name in other.inputs]
        if readers != [*nodes[k + 1 : k + 2]]:
            break
    if not found:
        sys.exit("proofs/tight/write.py: no SiLU through which all paths from the image lead")
    return found


def main(model: Path, certificate: Path, folder: Path) -> None:
    """Write Data.v and flags.txt into ``folder``."""
    try:
        data = read_bytes(model)
        told = given(model, certificate)
    except (ModelError, Unreadable, Rejected) as error:
        sys.exit(f"proofs/tight/write.py: {error}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Data.v").write_text(LITERALS(data) + told.literals())
    (folder / "flags.txt").write_text(told.plain())
    print(f"{folder / 'Data.v'}: written from {model} and {certificate}")


if __name__ == "__main__":
    shipped = HERE.parents[1] / "models/tight"
    arguments = [Path(a) for a in sys.argv[1:]]
    defaults = [shipped / "model.onnx", shipped / "certificate.json", HERE]
    main(*arguments, *defaults[len(arguments) :])
