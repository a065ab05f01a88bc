"""The whole audit: elementary functions, a network, networks made to tell."""

from __future__ import annotations

from pathlib import Path

from lastbit.audit.cuda import cuda_functions
from lastbit.audit.exhaustive import at_special_values, exhaustive, sampled
from lastbit.audit.functions import implementations
from lastbit.audit.network import audit_network
from lastbit.audit.page import Audit, render
from lastbit.audit.reference import EXP_ULPS, largest_exp_error
from lastbit.audit.told import tell
from lastbit.errors import PlatformError
from lastbit.files import write_whole
from lastbit.models.given import Given, files_of
from lastbit.models.shipped import DEFAULT_MODEL, ModelFiles
from lastbit.progress import Progress, silent
from lastbit_check.question import Question

TOLD, TOLD_FULL = 1, 8
"""So many networks made to tell of each kind."""


def audit(
    model: Given = DEFAULT_MODEL,
    question: Question | None = None,
    *,
    full: bool = False,
    out: Path | None = None,
    progress: Progress = silent,
) -> Audit:
    """Hold every runtime installed against what the theorem assumes, as `lastbit audit` does.

    Args:
        model: the name of a shipped model, or a path.
        question: what its inputs are; by default bytes, or float32 numbers from 0 to 1.
        full: every float32 number and more, as for `run_audit`.
        out: where the page is written, if anywhere.
        progress: told about each stage.

    Raises:
        UsageError: there is no such model.
        ModelError, OutputError, PlatformError: as `run_audit`.
    """
    return run_audit(files_of(model, question), full=full, out=out, progress=progress)


def run_audit(
    files: ModelFiles,
    *,
    full: bool = False,
    out: Path | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> Audit:
    """Audit every runtime installed.

    Args:
        files: the model whose executions are audited.
        full: every float32 number, many images, more networks made to tell, and what torch.compile
            makes.
        out: where the page is written, if anywhere. Beside it (or here) a full audit keeps a state
            from which it goes on if it was interrupted.
        device: "cuda" for the runtimes of a GPU, and these alone.
        progress: told about each stage.

    Raises:
        ModelError: the model cannot be read or executed.
        OutputError: the page or the state cannot be written.
        PlatformError: NumPy's exp is worse than this audit assumes.
    """
    exp_error = largest_exp_error()
    if not (exp_error <= EXP_ULPS):
        raise PlatformError(
            f"NumPy's float64 exp errs by {exp_error:.3g} ulp, more than the {EXP_ULPS} assumed",
            fix="use another build of NumPy",
        )
    on_cpu = device == "cpu"
    listed, missing = implementations(compiled=full) if on_cpu else cuda_functions(compiled=full)
    special = at_special_values(listed)
    state = (out or Path("runtimes")).with_suffix(".state.json")
    sweep = exhaustive(listed, state, progress=progress) if full else sampled(listed)
    network = audit_network(files, full=full, compiled=full, device=device, progress=progress)
    told = tell(TOLD_FULL if full else TOLD, progress=progress) if on_cpu else []
    found = Audit(sweep, special, missing, exp_error, network, told)
    if out is not None:
        write_whole(out, render(found).encode())
    if full:
        state.unlink(missing_ok=True)
    return found
