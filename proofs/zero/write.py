"""Writes Data.v: an ONNX file as literals, its SHA-256, and which weights its operators read.

    python proofs/zero/write.py [MODEL [FOLDER]]

Without arguments: models/zero/model.onnx, beside this file. Nothing here is believed about the
weights: Coq reads them from the file's bytes, and computes the SHA-256 of these bytes. Which
operators there are, and where the weights of each stand, is read here.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lastbit.errors import ModelError
from lastbit.graph import read_onnx
from lastbit.graph.network import (
    Add,
    Affine,
    Gate,
    Input,
    Linear,
    Mean,
    Network,
    Sigmoid,
    Silu,
)
from lastbit_check.onnxfile import Operator, read

HEADER = """(** Written by proofs/zero/write.py: a file, its SHA-256 by Python, its operators. *)
From Coq Require Import Uint63 NArith String List.
From Lastbit Require Import zero.Packed zero.File.
Import ListNotations.

"""
BYTES, ROW, ROWS, SHORTEST = (
    7,
    28,
    35,
    16,
)  # bytes of a literal; literals of a Pack; of these a definition
ZEROS = re.compile(rb"\0{%d,}" % SHORTEST)


def packed(name: str, numbers: list[int]) -> Iterator[str]:
    """Definitions whose first is the list ``name``; the last ones come first."""
    rows = [numbers[k : k + ROW] for k in range(0, len(numbers), ROW)]
    rows[-1] += [0] * (ROW - len(rows[-1]))
    parts = [rows[k : k + ROWS] for k in range(0, len(rows), ROWS)]
    for k in reversed(range(len(parts))):
        end = "End" if k + 1 == len(parts) else f"{name}_{k + 1}"
        lines = "\n".join(f"(Pack {' '.join(f'{n:#x}' for n in row)}" for row in parts[k])
        yield f"Definition {name}_{k} : packed := {lines} {end}{')' * len(parts[k])}."
    yield f"Definition {name} : packed := {name}_0."


def runs(data: bytes) -> tuple[bytes, list[int]]:
    """The bytes outside long runs of zeros; for each run what stands before it, and its length."""
    kept, counts, at = b"", [], 0
    for zeros in [*ZEROS.finditer(data), re.compile(b"$").search(data, len(data))]:
        assert zeros is not None
        if zeros.start() == at and at < len(data):
            raise ModelError("the file begins with zeros")
        if zeros.start() > at:
            kept += data[at : zeros.start()]
            counts.append(zeros.start() - at << 25 | zeros.end() - zeros.start())
        at = zeros.end()
    return kept, counts


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first byte and end of each field with bytes in it of a protocol buffers message."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while data[at] >= 0x80:
            value, shift, at = value | (data[at] & 0x7F) << shift, shift + 7, at + 1
        value, at = value | data[at] << shift, at + 1
        return value

    while at < end:
        key = varint()
        length = varint() if key & 7 in (0, 2) else {1: 8, 5: 4}[key & 7]
        if key & 7 == 2:
            yield key >> 3, at, at + length
        at += 0 if key & 7 == 0 else length


def places(data: bytes) -> dict[str, int]:
    """The first byte of the raw data of every constant, by its name."""
    found = dict[str, int]()
    graph = next((at, end) for number, at, end in fields(data, 0, len(data)) if number == 7)
    for tensor in (part[1:] for part in fields(data, *graph) if part[0] == 5):
        parts = {number: (at, end) for number, at, end in fields(data, *tensor)}
        if 9 in parts:
            found[data[slice(*parts[8])].decode()] = parts[9][0]
    return found


def nodes(data: bytes, network: Network) -> Iterator[str]:
    """Every operator but softmax, for File.v."""
    number = {node.name: k for k, node in enumerate(network.nodes)}
    operators = {o.name: o for o in read(data).operators}
    offset = places(data)

    def place(operator: Operator, k: int) -> str:
        if k >= len(operator.inputs) or operator.inputs[k] not in offset:
            raise ModelError("a constant has no raw data", where=operator.name)
        return f"{offset[operator.inputs[k]]}%N"

    for node in network.nodes[:-1]:
        read_ = " ".join(str(number[name]) for name in node.inputs)
        match node:
            case Input():
                yield f"Bytes {' '.join(map(str, node.shape))}"
            case Affine() if node.kind == "div":
                yield f"Divide {read_} {place(operators[node.name], 1)}"
            case Linear() if node.bn is None:
                at = operators[node.name]
                if at.op == "Gemm" and not at.attribute("transB", 0):
                    raise ModelError("its weights stand column by column", where=node.name)
                outputs, _, rows, cols = node.weight.shape
                numbers = (
                    outputs,
                    node.group,
                    rows,
                    cols,
                    *node.strides,
                    *node.pads[:2],
                    *node.shape[1:],
                )
                yield f"Conv {read_} {place(at, 1)} {place(at, 2)} {' '.join(map(str, numbers))}"
            case Mean() | Silu() | Sigmoid() | Gate() | Add():
                name = {
                    Mean: "Average",
                    Silu: "Curve",
                    Sigmoid: "Squash",
                    Gate: "Times",
                    Add: "Plus",
                }[type(node)]
                yield f"{name} {read_}"
            case _:
                raise ModelError("proofs/zero/File.v has no such operator", where=node.name)


def literals(model: Path) -> str:
    """Data.v of an ONNX file."""
    data = model.read_bytes()
    kept, counts = runs(data)
    sevens = [
        int.from_bytes(kept[k : k + BYTES].ljust(BYTES, b"\0"), "big")
        for k in range(0, len(kept), BYTES)
    ]
    lines = [
        'Definition model_sha256 : string := "' + hashlib.sha256(data).hexdigest() + '".',
        "Open Scope nat_scope.",
        "Definition nodes : list node := [\n  "
        + ";\n  ".join(nodes(data, read_onnx(model)))
        + "].",
        "Open Scope uint63_scope.",
        *packed("literals", sevens),
        *packed("runs", counts),
        "Definition file : list int := unpack literals runs.",
    ]
    return HEADER + "\n".join(lines) + "\n"


def main(model: Path, folder: Path) -> None:
    """Write Data.v into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Data.v").write_text(literals(model))
    print(f"{folder / 'Data.v'}: written from {model}")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    arguments = [Path(a) for a in sys.argv[1:]]
    main(*arguments, *[here.parents[1] / "models/zero/model.onnx", here][len(arguments) :])
