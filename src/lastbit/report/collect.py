"""From a certificate to what a page says of it: checked, measured, and written down."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lastbit import __version__
from lastbit.asked import described
from lastbit.certificate import certified_witness
from lastbit.errors import CertificateError, ModelError
from lastbit.hints.breakdown import divided
from lastbit.models.place import model_of
from lastbit.models.shipped import ModelFiles
from lastbit.models.summary import summarise
from lastbit.progress import Progress, counted, silent
from lastbit.report.contents import SHOWN, Bracket, Map, Page, Shown
from lastbit.report.layers import layers_of
from lastbit.report.maps import map_of
from lastbit.report.measured import changes_by_place, run_pair
from lastbit.report.places import bounds_by_place
from lastbit_check.certificate import Manifest, load, question_of, read_bytes
from lastbit_check.check import Derived, ceil_float, check
from lastbit_check.question import ANY_TWO, ITS_LAST_BIT, SAME_PROGRAM
from lastbit_check.verdict import Unreadable

PACKAGES = ("numpy", "scipy", "onnx", "onnxruntime", "torch", "jax")
MAPPED = {SAME_PROGRAM: "U for one program", ANY_TWO: "U for any two executions"}
FLIPPED = "Seen by ONNX Runtime"

Missing = list[tuple[str, str]]


def of_certificate(
    certificate: Path, model: Path | None = None, *, run: bool = True, progress: Progress = silent
) -> Page:
    """Check a certificate, and run its pair of images: all of it is in the page.

    Args:
        certificate: its file.
        model: where the model is; by default it is looked for (`lastbit.models.place`).
        run: run the images; else the page has what is written of them.
        progress: told about the check, the maps and the runs.

    Raises:
        Rejected: the certificate is rejected; the exception names rule and node.
        CertificateError: it cannot be read.
        UsageError: there is no model.
        ModelError: the model cannot be read.
    """
    try:
        manifest = load(certificate)
    except Unreadable as error:
        fix = "name a certificate, or what `lastbit prove --json` printed"
        raise CertificateError(str(error), fix=fix) from error
    files = model_of(certificate, manifest["model_sha256"], model)
    try:
        observe = counted(progress, "checking the certificate")
        derived = check(read_bytes(files.model), manifest, observe)
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    missing = Missing()
    question = question_of(manifest)
    asked = replace(files, question=question)
    shown, lower, changes = _shown(certificate, asked, run, missing, progress)
    brackets = tuple(_bracket(derived, name, lower.get(name)) for name in SHOWN)
    maps = [
        *_bounds(derived, missing, progress),
        *_changes(asked, shown, missing, progress),
    ]
    return Page(
        model=files.name,
        sha256=manifest["model_sha256"],
        inputs=f"{described(question)}; {question.move.told}",
        verdict="refuted" if any(bracket.refuted for bracket in brackets) else "accepted",
        checked=True,
        brackets=brackets,
        assumptions=manifest["assumptions"],
        accuracy=_accuracy(files),
        layers=tuple(layers_of(derived, name) for name in SHOWN),
        maps=(*maps,),
        shown=shown,
        changes=changes,
        facts=facts_of(certificate, manifest),
        commands=_commands(certificate, files),
        missing=(*missing,),
        of_last_bit=question.move == ITS_LAST_BIT,
    )


def _shown(
    certificate: Path, files: ModelFiles, run: bool, missing: Missing, progress: Progress
) -> tuple[Shown | None, Mapping[str, float], Mapping[str, float]]:
    """The pair of images, L by executions, and the changes by runtime.

    L of one program is what the certificate says; of any two it may be more, if it is seen here.
    """
    try:
        _, witness = certified_witness(certificate, files.model)
    except CertificateError as error:
        missing.append(("The pair of images, and L", error.message))
        return None, {}, {}
    if not run:
        missing.append(("The answers of each runtime", "nothing was to be run"))
        lower = dict.fromkeys(SHOWN, witness.lower)
        return Shown(witness), lower, witness.runtimes
    shown, result = run_pair(files.asked, witness, progress=progress)
    across = max(witness.lower, result.across)
    return shown, {SAME_PROGRAM: witness.lower, ANY_TWO: across}, result.changes


def _bracket(derived: Derived, executions: str, lower: float | None) -> Bracket:
    claim, parts = derived.claims[executions], divided(derived, executions).parts
    written = {name: ceil_float(part) for name, part in parts.items()}
    return Bracket(executions, lower, ceil_float(claim.upper), ceil_float(claim.logits), written)


def _bounds(derived: Derived, missing: Missing, progress: Progress) -> Iterator[Map]:
    frame = derived.derivation.frame
    move, shape = frame.question.move, frame.network.input.shape
    if move.cells > 1 or move.mask:
        why = "only places of a mask move" if move.mask else "more than one of its places moves"
        missing.append(("The maps of bounds", why))
        return
    drawn = (1, *shape[1:]) if move.channels == "all" else shape
    for name in SHOWN:
        bounds = bounds_by_place(derived, name, progress=progress)
        if bounds is None:
            missing.append((f"The map of bounds ({name})", "too many pixels times classes"))
            continue
        if max(bounds) != derived.claims[name].upper:
            missing.append((f"The map of bounds ({name})", "the largest of them is not U"))
            continue
        values = [ceil_float(bound) for bound in bounds]
        yield map_of(MAPPED[name], "checked", values, drawn)


def _changes(
    files: ModelFiles, shown: Shown | None, missing: Missing, progress: Progress
) -> Iterator[Map]:
    if shown is None or not shown.runs:
        return
    if shown.witness.question.move != ITS_LAST_BIT:
        missing.append(("The map of changes", "it is of last bits, and something else may change"))
        return
    changes = changes_by_place(files.asked, shown.witness, progress=progress)
    if changes is None:
        missing.append(("The map of changes", "too many pixels to flip one by one"))
        return
    yield map_of(FLIPPED, "measured", changes.ravel().tolist(), (1, *changes.shape))


def _accuracy(files: ModelFiles) -> tuple[float, str] | None:
    try:
        stored = summarise(files).accuracy
    except CertificateError:  # of another model, or of another time: the page does without
        return None
    return None if stored is None else (stored, "as stored beside the model")


def facts_of(certificate: Path, manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """What was checked, and by which versions; a name and a value each."""
    found = [
        ("model, SHA-256", manifest["model_sha256"]),
        ("certificate, SHA-256 of the file", sha256(certificate.read_bytes()).hexdigest()),
        ("certificate, digest", manifest["digest"]),
        ("format", manifest["format"]),
        ("lastbit", __version__),
        ("Python", platform.python_version()),
        ("machine", f"{platform.system()} {platform.machine()}"),
    ]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return (*found,)


def _commands(certificate: Path, files: ModelFiles) -> tuple[str, ...]:
    """What repeats all of it, as typed in the folder where the page was made."""
    model = shlex.quote(str(files.model))
    written = shlex.quote(str(certificate))
    return (
        f"sha256sum {model}",
        f"lastbit-check {written} {model}",
        f"lastbit replay {written} --model {model}",
        f"lastbit report {written} --model {model}",
    )
