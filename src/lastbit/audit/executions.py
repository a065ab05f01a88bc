"""The ways in which the installed runtimes are told to execute a network, values and all."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import lastbit
from lastbit.audit.execution import Execution, Subject
from lastbit.audit.flushed import flushed_run
from lastbit.audit.functions import compiler_problem
from lastbit.audit.onnx_values import fused_run, onnx_run
from lastbit.float32 import execute
from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import ByteArray, Network
from lastbit.runtimes.onnx_runtime import LEVELS, session_of
from lastbit.runtimes.runtime import Values, ValuesRun
from lastbit_check.network import Network as CheckedNetwork


def executions(
    subject: Subject, *, compiled: bool, device: str = "cpu"
) -> tuple[list[Execution], Mapping[str, str]]:
    """Every way that is tried here, and why a runtime is not, by its name.

    Args:
        subject: what is executed.
        compiled: also what torch.compile makes of the network, which takes some minutes.
        device: "cuda" for the executions on a GPU instead, if there is one.
    """
    if device != "cpu":
        from lastbit.audit.cuda import cuda_executions

        return cuda_executions(subject, compiled=compiled)
    listed = [*_reference(subject), *_onnx_runtime(subject)]
    missing: dict[str, str] = {}
    if importlib.util.find_spec("torch") is None:
        missing["torch"] = "not installed (extra `train`)"
    else:
        from lastbit.audit.torch_settings import torch_executions
        from lastbit.runtimes.torch_network import torch_name, torch_run

        listed += torch_executions(subject)
        reason = compiler_problem() if compiled else "left out, as compiling takes minutes"
        if reason:
            missing["torch compiled"] = reason
        else:
            start = partial(torch_run, subject.network, compiled=True)
            listed.append(Execution(torch_name(), "compiled", start))
    if importlib.util.find_spec("jax") is None:
        missing["jax"] = "not installed (extra `jax`)"
    else:
        listed += [_jax(subject.network, "jit"), _jax(subject.network, "jit", "highest")]
    return listed, missing


def _reference(subject: Subject) -> list[Execution]:
    name = f"lastbit-reference {lastbit.__version__}"
    ways: dict[str, dict[str, Any]] = {
        "forward": {},
        "pairwise": {"order": "pairwise", "batch_norm_form": "scaled"},
        "largest first": {"order": "worst_first"},
        "random tree, flush-to-zero": {"order": "random:1", "flush_to_zero": True},
    }
    written = [
        Execution(name, setting, partial(_reference_run, subject.network, way), 1, slow=True)
        for setting, way in ways.items()
    ]
    rewritten = [
        Execution(name, f"rewritten at random, {seed}",
                  partial(_rewritten_run, subject.checked, seed), 1, slow=True)
        for seed in (1, 2)
    ]  # fmt: skip
    return [*written, *rewritten]


def _reference_run(network: Network, way: Mapping[str, Any]) -> ValuesRun:
    def run(images: ByteArray) -> Values:
        found = [execute(network, image, keep=True, **way)[1] for image in images]
        return {node.name: np.stack([v[node.name] for v in found]) for node in network.nodes[1:]}

    return run


def _rewritten_run(network: CheckedNetwork, seed: int) -> ValuesRun:
    def run(images: ByteArray) -> Values:
        found = [execute_rewritten(network, image, seed=seed) for image in images]
        return {node.name: np.stack([v[node.name] for v in found]) for node in network.nodes[1:]}

    return run


def _onnx_runtime(subject: Subject) -> list[Execution]:
    name = f"onnxruntime {onnxruntime.__version__}"
    seen = partial(onnx_run, subject.model, subject.network)
    fused = partial(_fused, subject)
    flushed = partial(flushed_run, model=subject.model)
    found = [
        Execution(name, "unoptimised", partial(seen, level="off")),
        Execution(name, "unoptimised, 2 threads", partial(seen, level="off", threads=2)),
        Execution(name, "unoptimised, batch 1", partial(seen, level="off"), batch=1),
        Execution(name, "optimised, every node read", partial(seen, level="all")),
        *(
            Execution(name, f"optimised ({level}), fused", partial(fused, level))
            for level in LEVELS[1:-1]
        ),
        Execution(name, "optimised, fused", partial(fused, "all")),
        Execution(name, "optimised, fused, 2 threads", partial(fused, "all", threads=2)),
        Execution(name, "optimised, fused, batch 1", partial(fused, "all"), batch=1),
        Execution(name, "unoptimised, flush-to-zero", partial(flushed, "onnxruntime")),
        Execution(
            name,
            "optimised, flush-to-zero",
            lambda: flushed("onnxruntime-all", fused=subject.structures.fused("all")),
        ),
    ]
    if _fixed_batch(subject.model):
        found = [e for e in found if e.batch == 1]
    return found


def _fused(subject: Subject, level: Any, *, threads: int = 1) -> ValuesRun:
    """The optimised model as it runs by default, and all of its tensors that are nodes."""
    return fused_run(subject.structures.fused(level), threads=threads)


def _fixed_batch(model: Path) -> bool:
    """Whether the file takes one image at a time only."""
    return session_of(str(model), "all").get_inputs()[0].shape[0] == 1


def _jax(network: Network, setting: str, precision: str | None = None) -> Execution:
    version = importlib.import_module("jax").__version__

    def start() -> ValuesRun:
        from lastbit.runtimes.jax_network import jax_run

        return jax_run(network, precision=precision)

    if precision:
        setting = f"{setting}, precision {precision}"
    return Execution(f"jax {version}", setting, start)
