"""Executions that flush subnormal numbers to zero, each in a process of its own.

Flush-to-zero is a mode of the processor, thread by thread: it would change our own arithmetic, too.
The child gets images on standard input and writes values to standard output (npz), bytes only.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np

from lastbit.audit.nodes import Values
from lastbit.audit.onnx_values import Run, onnx_run
from lastbit.errors import EXIT_INTERRUPTED, ModelError
from lastbit.graph import ByteArray, read_onnx

Kind = Literal["onnxruntime", "onnxruntime-all", "torch"]


def flushed_run(kind: Kind, model: Path) -> Run:
    """Execute `model` in other processes whose arithmetic flushes to zero, one per batch.

    Raises (when run):
        ModelError: the runtime fails there, or this processor has no such mode.
    """

    def run(images: ByteArray) -> Values:
        sent = io.BytesIO()
        np.savez(sent, images=images)
        command = [sys.executable, "-m", "lastbit.audit.flushed", kind, str(model)]
        # our own interpreter and module: nothing here is a shell's to interpret
        done = subprocess.run(  # noqa: S603
            command, input=sent.getvalue(), capture_output=True, check=False
        )
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().splitlines() or [
                "no reason given"
            ]
            message = f"{kind} fails with flush-to-zero: {reason[-1]}"
            raise ModelError(message, where=str(model))
        with np.load(io.BytesIO(done.stdout)) as found:
            names = found["names"].tolist()
            return {name: found[f"arr_{k}"] for k, name in enumerate(names)}

    return run


def main(kind: Kind, model: Path) -> None:
    """Run the child: images from standard input, values to standard output."""
    network = read_onnx(model)
    with np.load(io.BytesIO(sys.stdin.buffer.read())) as sent:
        images = sent["images"]
    if kind == "torch":
        import torch

        from lastbit.audit.executions import torch_run

        torch.set_flush_denormal(True)
        run = torch_run(network)
    elif kind == "onnxruntime-all":
        run = onnx_run(model, network, level="all", fused=True, flush_to_zero=True)
    else:
        run = onnx_run(model, network, level="off", flush_to_zero=True)
    if np.float32(2.0**-130) * np.ones(1, np.float32) != 0:
        sys.exit("this thread does not flush to zero")
    values = run(images)
    written = io.BytesIO()
    np.savez(written, *values.values(), names=np.array(list(values)))
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(written.getvalue())


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))  # type: ignore[arg-type]
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)
