"""An image seen through subnormal numbers: right without flush-to-zero, blind with it.

    python bench/zero_subnormal.py [MODEL]

Makes `zero-subnormal` of a shipped model (`lastbit.models.subnormal`) and runs it with and without
flush-to-zero: its accuracy on test images, and how many of the 128 pairs of bytes change an answer.
Then it asks the checker whether a layer absorbs the last bit. docs/zero.md draws the conclusions.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lastbit.audit.flushed import flushed_run
from lastbit.audit.onnx_values import onnx_run
from lastbit.data import load_mnist
from lastbit.graph import ByteArray, read_onnx
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit.models.subnormal import subnormal
from lastbit.questions import absorbed_node
from lastbit.runtimes.runtime import ValuesRun
from lastbit_check.check import network_in
from lastbit_check.question import LAST_BIT
from lastbit_check.refine.byte_tables import absorbs
from lastbit_check.verdict import Rejected

IMAGES = 500


def executions(path: Path) -> dict[str, ValuesRun]:
    """ONNX Runtime as it is, and in a process that flushes subnormal numbers to zero."""
    return {
        "onnxruntime": onnx_run(path, read_onnx(path), level="off"),
        "onnxruntime, flush-to-zero": flushed_run("onnxruntime", path),
    }


def pairs(image: ByteArray, pixel: tuple[int, int]) -> ByteArray:
    """The image (H, W) with each of the 256 bytes at one pixel (256, 1, H, W)."""
    found = np.repeat(image[None, None], 256, axis=0)
    found[:, 0, pixel[0], pixel[1]] = np.arange(256)
    return found


def figures(path: Path, images: ByteArray, labels: ByteArray) -> dict[str, tuple[float, int, int]]:
    """By execution: accuracy, pairs of bytes that change an answer, and different answers."""
    output = read_onnx(path).output
    found: dict[str, tuple[float, int, int]] = {}
    for name, run in executions(path).items():
        p = run(images[:, None])[output].reshape(len(images), -1)
        q = run(pairs(images[0], (14, 14)))[output].reshape(256, -1)
        told = int(np.any(q[0::2] != q[1::2], axis=1).sum())
        found[name] = (float((p.argmax(1) == labels).mean()), told, len(np.unique(p, axis=0)))
    return found


def refusal(model: bytes) -> str:
    """Why the checker does not certify 0: the rule at the node after the subnormal numbers."""
    try:
        absorbs(network_in(model), LAST_BIT, "binarised")
    except Rejected as error:
        return str(error)
    return ""


def main() -> None:
    """Print the table."""
    name = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL
    model = subnormal(resolve_model(name).model)
    test = load_mnist("test")
    table = Table("execution", "accuracy", "pairs that tell", "answers", box=None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        rows = figures(path, test.images[:IMAGES], test.labels[:IMAGES])
    for execution, (accuracy, told, answers) in rows.items():
        table.add_row(execution, f"{accuracy:.1%}", f"{told} of 128", f"{answers}")
    console = Console(width=120)
    console.print(f"zero-subnormal of {name}, {IMAGES} test images", table)
    console.print(f"certified as 0: {absorbed_node(model) or 'no'}")
    console.print(f"  {refusal(model)}", markup=False)


if __name__ == "__main__":
    main()
