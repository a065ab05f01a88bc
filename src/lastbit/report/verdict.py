"""From what `lastbit prove --json` printed to a page: with its certificate, or without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lastbit.errors import CertificateError
from lastbit.progress import Progress, silent
from lastbit.report.collect import of_certificate
from lastbit.report.contents import SHOWN, Bracket, Layer, Layers, Page
from lastbit.report.given import ImagesPage, is_of_images, of_images
from lastbit_check.question import ITS_LAST_BIT

FIELDS = {"verdict", "claims", "lower", "assumptions", "model", "inputs", "change"}
"""Of every verdict, and of nothing else."""
OF_IMAGES = {"verdict", "images", "median", "seconds_an_image", "certificate"}
"""Of a verdict about given images."""
NOT_THERE = "its certificate is not where the verdict says: give the certificate itself"
NO_CERTIFICATE = "no bound was derived, so there is no certificate"


def page_of(
    file: Path,
    model: Path | None = None,
    *,
    run: bool = True,
    sample: int | None = None,
    progress: Progress = silent,
) -> Page | ImagesPage:
    """The page about a certificate, or about a verdict.

    A verdict's certificate is looked for where it says, from here or from beside the verdict. Where
    it is, it is checked, and has to claim what the verdict says; where it is not, the page has what
    the verdict holds, says that nothing was checked, and what is missing.

    Args:
        file: certificate.json, or what `lastbit prove --json` printed.
        model: where the model is; by default it is looked for.
        run: whether to run the pair of images, or the given ones.
        sample: of a certificate for given images, how many claims to check; all by default.
        progress: as for `of_certificate`.

    Raises:
        Rejected: the certificate is rejected.
        CertificateError: it is neither, or the verdict says something else than its certificate.
        UsageError: there is no model.
        ModelError: the model cannot be read.
    """
    said = _object(file)
    if str(said.get("format", "")).startswith("lastbit-certificate"):
        return of_certificate(file, model, run=run, progress=progress)
    if is_of_images(said):
        return of_images(file, model, run=run, sample=sample, progress=progress)
    if said.keys() >= OF_IMAGES:
        return _of_images(said, file, model, run, sample, progress)
    if sample is not None:
        fix = "leave --sample out: this is about all images"
        raise CertificateError("there are no given images", where=str(file), fix=fix)
    if not said.keys() >= FIELDS:
        raise CertificateError(
            "this is neither a certificate nor a verdict",
            where=str(file),
            fix="name a certificate.json, or what `lastbit prove --json` printed",
        )
    try:
        stated = _stated(said)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        problem = f"the verdict's fields are not those of `lastbit prove --json`: {error!r}"
        raise CertificateError(problem, where=str(file)) from error
    certificate = _certificate(file, said["certificate"])
    if certificate is None:
        why = NOT_THERE if said["certificate"] else NO_CERTIFICATE
        gone = "The check, the images, the maps, ranges, hashes and versions"
        return replace(stated, missing=((gone, why),))
    page = of_certificate(certificate, model, run=run, progress=progress)
    _same(stated, page, file)
    return replace(
        page,
        verdict="refuted" if page.verdict == "refuted" else stated.verdict,
        accuracy=stated.accuracy or page.accuracy,
        advice=stated.advice,
    )


def _of_images(
    said: Mapping[str, Any], file: Path, model: Path | None, run: bool, sample: int | None,
    progress: Progress,
) -> ImagesPage:  # fmt: skip
    """Of a verdict of `prove --images`: there is a certificate, or no page."""
    try:
        stated = [{"number": int(one["number"]), "upper": float(one["upper"])}
                  for one in said["images"]]  # fmt: skip
        certificate = _certificate(file, str(said["certificate"]))
    except (LookupError, TypeError, ValueError) as error:
        problem = f"the verdict's fields are not those of `prove --images --json`: {error!r}"
        raise CertificateError(problem, where=str(file)) from error
    if certificate is None:
        raise CertificateError(NOT_THERE, where=str(file))
    return of_images(certificate, model, run=run, sample=sample, stated=stated, progress=progress)


def _object(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise CertificateError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise CertificateError(f"this is not JSON: {error}", where=str(file)) from error
    if not isinstance(found, dict):
        raise CertificateError("this is not a JSON object", where=str(file))
    return found


def _certificate(file: Path, said: str | None) -> Path | None:
    places = [Path(said), file.parent / said] if said else []
    return next((place for place in places if place.is_file()), None)


def _same(stated: Page, page: Page, file: Path) -> None:
    """The verdict and its certificate are about one model, and claim the same numbers."""
    claims = [(stated.sha256, *((b.upper, b.logits) for b in stated.brackets)),
              (page.sha256, *((b.upper, b.logits) for b in page.brackets))]  # fmt: skip
    if claims[0] != claims[1]:
        raise CertificateError(
            "the verdict says something else than the certificate that it names",
            where=str(file),
            fix="make both anew with `lastbit prove --json`",
        )


def _stated(said: Mapping[str, Any]) -> Page:
    """What the verdict holds, and nothing else."""
    claims, lower, model = said["claims"], said["lower"], said["model"]
    proved = [name for name in SHOWN if claims[name]["value"] is not None]
    brackets = tuple(
        Bracket(name, _number(lower[name]), float(claims[name]["value"]),
                _number(claims[name]["logits"]),
                {str(part): float(value) for part, value in claims[name]["parts"].items()})
        for name in proved
    )  # fmt: skip
    accuracy = said["accuracy"]["test"]
    return Page(
        model=str(model["name"]),
        sha256=str(model["sha256"]),
        inputs=f"{said['inputs']}; {said['change']['text']}",
        verdict=str(said["verdict"]),
        checked=False,
        brackets=brackets,
        assumptions={name: tuple(map(str, said["assumptions"][name])) for name in SHOWN},
        accuracy=None if accuracy is None else (float(accuracy), str(said["accuracy"]["source"])),
        advice=str(said["advice"] or _refusal(said["refused"])),
        layers=tuple(_layers(name, claims[name]) for name in proved),
        changes={str(name): float(move) for name, move in lower["runtimes"].items()},
        of_last_bit=said["change"]["text"] == ITS_LAST_BIT.told,
    )


def _refusal(refused: Mapping[str, str] | None) -> str:
    return "" if refused is None else "{rule} at {node}: {reason}".format(**refused)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _layers(executions: str, claim: Mapping[str, Any]) -> Layers:
    """By node, remainder and rounding; what the first layers let through is not told apart."""
    rows = list[Layer]()
    for name, kinds in claim["nodes"].items():
        remainder, rounding = (float(kinds[k] or 0) for k in ("remainder", "rounding"))
        remainder += float(kinds["defect"] or 0)
        rows.append(Layer(str(name), "", (), (), None, remainder, rounding))
    return Layers(executions, (*rows,))
