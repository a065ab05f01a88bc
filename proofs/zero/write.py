"""Writes Data.v: an ONNX file as literals, and its SHA-256.

    python proofs/zero/write.py [MODEL [FOLDER]]

Without arguments: models/zero/model.onnx, beside this file. Nothing here is believed: Coq computes
the SHA-256 of the bytes that it is given, and reads the network from them.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = """(** Written by proofs/zero/write.py: a file, and its SHA-256 as Python computes it. *)
From Coq Require Import Uint63 String List.
From Lastbit Require Import onnx.Packed.
Import ListNotations.
Open Scope uint63_scope.

"""
BYTES, ROW, ROWS = 7, 28, 35  # bytes of a literal; literals of a Pack; of these a definition
ZEROS = re.compile(rb"\0{16,}")  # shorter runs are not worth a literal


def packed(name: str, numbers: list[int]) -> Iterator[str]:
    """Definitions, of which the last one is the list ``name``; zeros fill it up."""
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
    kept, counts, at = bytearray(), list[int](), 0
    for start, end in [*(m.span() for m in ZEROS.finditer(data)), (len(data), len(data))]:
        if start > at:
            kept += data[at:start]
            counts.append(start - at << 25 | end - start)
        elif start < end:
            sys.exit("proofs/zero/write.py: the file begins with zeros; no ONNX file does")
        at = end
    return bytes(kept), counts


def literals(data: bytes) -> str:
    """Data.v of a file."""
    kept, counts = runs(data)
    sevens = [kept[k : k + BYTES].ljust(BYTES, b"\0") for k in range(0, len(kept), BYTES)]
    lines = [
        f'Definition model_sha256 : string := "{hashlib.sha256(data).hexdigest()}".',
        *packed("literals", [int.from_bytes(seven, "big") for seven in sevens]),
        *packed("runs", counts),
        "Definition file : list int := unpack literals runs.",
    ]
    return HEADER + "\n".join(lines) + "\n"


def main(model: Path, folder: Path) -> None:
    """Write Data.v into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Data.v").write_text(literals(model.read_bytes()))
    print(f"{folder / 'Data.v'}: written from {model}")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    arguments = [Path(a) for a in sys.argv[1:]]
    main(*arguments, *[here.parents[1] / "models/zero/model.onnx", here][len(arguments) :])
