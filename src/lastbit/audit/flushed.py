"""Executions that flush subnormal numbers to zero, each in a process of its own.

Flush-to-zero is a mode of the processor, thread by thread: it would change our own arithmetic, too.
The child gets images on standard input and writes values to standard output (npz), bytes only.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np

from lastbit.audit.onnx_values import Fused, Shown, fused_run, onnx_run
from lastbit.errors import EXIT_INTERRUPTED, ModelError
from lastbit.graph import ByteArray, read_onnx
from lastbit.runtimes.runtime import Values, ValuesRun

Kind = Literal["onnxruntime", "onnxruntime-all", "torch"]


def flushed_run(kind: Kind, model: Path, fused: Fused | None = None) -> ValuesRun:
    """Execute `model` in other processes whose arithmetic flushes to zero, one per batch.

    Args:
        kind: of the runtime.
        model: the ONNX file.
        fused: what ONNX Runtime made of it, for "onnxruntime-all": it was optimised here, as the
            mode belongs to the first session of a process.

    Raises (when run):
        ModelError: the runtime fails there, or this processor has no such mode.
    """

    def run(images: ByteArray) -> Values:
        sent = io.BytesIO()
        shown = (
            []
            if fused is None
            else [asdict(one) | {"places": one.places.tolist()} for one in fused.shown]
        )
        optimised = np.frombuffer(b"" if fused is None else fused.model, np.uint8)
        np.savez(sent, images=images, model=optimised, shown=np.array(json.dumps(shown)))
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
        images, optimised = sent["images"], sent["model"].tobytes()
        shown = [Shown(**(one | {"shape": tuple(one["shape"]), "scale": tuple(one["scale"]),
                               "places": np.array(one["places"])}))
                 for one in json.loads(str(sent["shown"]))]  # fmt: skip
    if kind == "torch":
        import torch

        from lastbit.runtimes.torch_network import torch_run

        torch.set_flush_denormal(True)
        run = torch_run(network)
    elif kind == "onnxruntime-all":
        run = fused_run(Fused(optimised, tuple(shown)), flush_to_zero=True)
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
