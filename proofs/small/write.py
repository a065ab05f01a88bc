"""Writes Data.v (and network.txt, its plain form): a small network with every operator, and hints.

The network is an ONNX file (small.onnx beside them) before it is literals: it is read by lastbit as
any other, and the bound that `lastbit prove` would find for it is printed for comparison.
"""

import sys
from pathlib import Path

import numpy as np

from lastbit.certificate.coq import literals, plain
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.check import proved
from lastbit_check.question import ANY_TWO, LAST_BIT

HEADER = """(** Written by proofs/small/write.py from small.onnx. *)
From Coq Require Import ZArith List.
From Lastbit Require Import checker.Program checker.Expansion.
Import ListNotations.
Open Scope Z_scope.

"""


def small_network(seed: int = 5, *, shifted: bool = True) -> bytes:
    """A stem with stride, a depthwise convolution, a gate, residual branches, mean, dense.

    The stem takes in the division by 255, so that its weights may be divided beforehand; the
    second addition takes in the convolution before it, the first one nothing. Unless ``shifted``,
    nothing is subtracted from that convolution, and Onnx.v can read the file.
    """
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * 0.4

    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 4, 4)), 255)
    x = b.silu(b.conv(x, weights(3, 1, 3, 3), weights(3), stride=2, padding=1))
    y = b.silu(b.conv(x, weights(3, 1, 3, 3), weights(3), padding=1, group=3))
    s = b.silu(b.conv(b.mean(y), weights(2, 3, 1, 1), weights(2)))
    x = b.add(b.gate(y, b.sigmoid(b.conv(s, weights(3, 2, 1, 1), weights(3)))), x)
    y = b.conv(x, weights(3, 3, 1, 1), weights(3))
    if shifted:
        y = b.affine(y, "sub", np.float32(0.125))
    x = b.add(y, x)
    b.softmax(b.dense(b.mean(x), weights(3, 3), weights(3)))
    return b.to_bytes()


def main(folder: Path) -> None:
    """Write the three files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.onnx").write_bytes(small_network())
    network = read_onnx(folder / "small.onnx")
    hints = hints_for(network)
    (folder / "Data.v").write_text(HEADER + literals(network, hints))
    (folder / "network.txt").write_text(plain(network, hints))
    derived = proved((folder / "small.onnx").read_bytes(), LAST_BIT, hints)
    upper = derived.claims[ANY_TWO].upper
    print(f"{folder / 'Data.v'}: written; U by lastbit_check is {float(upper):.12f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
