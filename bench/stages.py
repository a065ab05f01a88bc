"""What a check and a proof take, by stage, beside the same of another revision.

    python bench/stages.py [MODEL ...] [--against REV] [--prove]

For each model the stages of a check of its certificate, or with --prove those of `lastbit prove`,
in a process of its own with one thread for BLAS: seconds of CPU time, those in executions of the
model on one image by ONNX Runtime, and the most memory that the process has had until then. The
speed of a shared machine changes, so an execution is timed right before and after each process,
and the ratio of two revisions is that of their executions. REV is unpacked by `git archive`. A
stage that another one holds is counted in both.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXECUTIONS = 400
Stages = dict[str, tuple[float, float]]
"""Seconds of CPU time, and the most GiB until then."""


def spent() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def most() -> float:
    """The most memory of this process, or of one of its children, in GiB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) / 2**20


def timed(found: Stages, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose calls are added to ``found``."""

    def run(*given: Any, **named: Any) -> Any:
        start = spent()
        try:
            return call(*given, **named)
        finally:
            found[stage] = found.get(stage, (0.0, 0.0))[0] + spent() - start, most()

    return run


def watched(found: Stages, module: ModuleType, **stages: str) -> None:
    """Time functions of a module, by their names there; one that it lacks is passed over."""
    for name, stage in stages.items():
        if hasattr(module, name):
            setattr(module, name, timed(found, stage, getattr(module, name)))


def checked(folder: Path) -> Stages:
    """The stages of a check."""
    from lastbit_check import check
    from lastbit_check.certificate import load
    from lastbit_check.derive import conclude, derivation

    found = Stages()
    watched(
        found, check, derive="derivation", leaves_of="trees", taken_together="roundings together"
    )
    watched(found, derivation, _early="first layers", spreads="columns")
    conclude.Balance.claim = timed(found, "claims", conclude.Balance.claim)
    run = timed(found, "check", lambda: check.check((folder / "model.onnx").read_bytes(), manifest))
    manifest = load(folder / "certificate.json")
    run()
    return found


def proved(folder: Path) -> Stages:
    """The stages of a proof, without branch and bound."""
    from lastbit import api
    from lastbit.models.shipped import resolve_model

    found, write = Stages(), import_module("lastbit.certificate.write")
    watched(found, api, hints_for="plan", measured_accuracy="accuracy", replay="replay")
    watched(found, api, draft="draft", check_apart="check apart")
    watched(found, write, derived="derivation", taken_together="hints together")
    watched(found, write, claimed="conclusions", concluded="conclusions")
    with tempfile.TemporaryDirectory() as out:
        timed(found, "prove", api.prove)(resolve_model(str(folder)), out=Path(out))
    return found


def execution(folder: Path) -> float:
    """CPU seconds of an execution on one image by ONNX Runtime, with one thread."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "model.onnx"), options)
    (read,) = session.get_inputs()
    shape = [1, *read.shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, (EXECUTIONS, *shape), np.uint8)
    session.run(None, {read.name: images[0]})
    start = time.process_time()
    for image in images:
        session.run(None, {read.name: image})
    return (time.process_time() - start) / EXECUTIONS


def alone(what: str, folder: Path, source: Path) -> Any:
    """What a process of its own finds, with the packages of ``source``."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--alone", what, str(folder)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measured(what: str, folder: Path, source: Path) -> tuple[Stages, float]:
    """The stages, and the seconds of an execution around them."""
    before = alone("execution", folder, source)
    stages = alone(what, folder, source)
    return stages, (before + alone("execution", folder, source)) / 2


def unpacked(revision: str, folder: Path) -> Path:
    """The sources of a revision."""
    command = ["git", "-C", str(ROOT), "archive", revision, "src"]
    done = subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def show(name: str, here: tuple[Stages, float], there: tuple[Stages, float] | None) -> None:
    """Print the table of a model."""
    from rich.console import Console
    from rich.table import Table

    heads = ["s", "executions", "GiB"]
    also = ["s then", "executions then", "GiB then", "ratio"] if there else []
    table = Table(name, *heads, *also, box=None)
    for stage, (seconds, memory) in here[0].items():
        cells = [f"{seconds:.2f}", f"{seconds / here[1]:,.0f}", f"{memory:.2f}"]
        if there and stage in there[0]:
            old, most_before = there[0][stage]
            share = seconds / here[1] / (old / there[1]) if old else 1.0
            cells += [f"{old:.2f}", f"{old / there[1]:,.0f}", f"{most_before:.2f}", f"{share:.2f}"]
        table.add_row(stage, *cells)
    console = Console()
    console.print(table)
    units = [f"{1e3 * unit:.3f} ms" for unit in (here[1], *([there[1]] if there else []))]
    console.print(f"an execution: {', '.join(units)}\n")


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["tight"])
    parser.add_argument("--against", metavar="REV")
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.alone:
        what, folder = {"check": checked, "prove": proved, "execution": execution}, given.alone[1]
        print(json.dumps(what[given.alone[0]](Path(folder))))
        return
    what = "prove" if given.prove else "check"
    with tempfile.TemporaryDirectory() as folder:
        old = unpacked(given.against, Path(folder)) if given.against else None
        for name in given.models:
            model = ROOT / "models" / name
            here = measured(what, model, ROOT)
            show(name, here, measured(what, model, old) if old else None)


if __name__ == "__main__":
    main()
