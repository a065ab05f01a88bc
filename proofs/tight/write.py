"""Writes Data.v: an ONNX file as literals, and two flags for each of its nodes from a certificate.

    python proofs/tight/write.py [MODEL CERTIFICATE [FOLDER]]

Without arguments: those of models/tight, beside this file. Nothing here is believed: Coq reads the
network from the bytes, and whatever the flags are, what it derives with them holds.
"""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from lastbit_check.certificate import hints_of, load
from lastbit_check.network import normal_form
from lastbit_check.onnxfile import read

HERE = Path(__file__).resolve().parent
LITERALS: Callable[[bytes], str] = runpy.run_path(str(HERE.parent / "zero/write.py"))["literals"]


def flags(model: bytes, certificate: Path) -> str:
    """Definitions of ``flags``, node by node but for softmax, and of ``boundary``.

    A flag tells whether a node is a base, the other one whether its dependence on bases is
    forgotten. The boundary is the number of units up to the first base.
    """
    nodes, hints = normal_form(read(model))[:-1], hints_of(load(certificate))
    pairs = [(node.name in hints.bases, node.name in hints.boxes) for node in nodes]
    first = next((k + 1 for k, (base, _) in enumerate(pairs) if base), len(pairs))
    sizes = (c * h * w for c, h, w in (node.shape for node in nodes[:first]))
    listed = ";\n  ".join(f"({base}, {box})".lower() for base, box in pairs)
    return (
        f"Definition flags : list (bool * bool) := [\n  {listed}].\n"
        f"Definition boundary : int := {sum(sizes)}.\n"
    )


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
