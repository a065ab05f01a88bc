"""`lastbit report`: a certificate or a verdict as one page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lastbit.commands.terminal import JsonOption, Result, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, CertificateError, MissingExtraError
from lastbit.files import write_whole
from lastbit.models.shipped import DEFAULT_MODEL, resolve_model
from lastbit_check.verdict import Rejected

if TYPE_CHECKING:
    from lastbit.report import ImagesPage, Page


def report(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[VERDICT|CERTIFICATE|MODEL]",
            help="What `lastbit prove --json` printed, a certificate.json or its folder, or a "
            "model that has one.",
        ),
    ] = DEFAULT_MODEL,
    model: Annotated[
        Path | None, typer.Option(help="The ONNX file; by default where `prove` found it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; by default NAME.html in this folder.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Whether to run the pair of images.")
    ] = True,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of a certificate for given images: check so many claims; all by default."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> Result:
    """Write one page of HTML that needs nothing else: the bracket, and what stands behind it.

    Of given images (`prove --images`) it has a table, the worst first. The certificate is checked,
    and its pair of images, or the given ones, are run, while the page is made (extra `report`).
    Exit 0 if the page is written; 1 if the check rejects the certificate, of which there is no page
    then, or if a runtime refutes it.
    """
    from lastbit.report import available, page_of, render

    if not available():
        raise MissingExtraError("a page for people", "report")
    file = _file(what)
    try:
        with watched() as progress:
            page = page_of(file, model, run=run, sample=sample, progress=progress)
    except Rejected as error:
        place = f" at {error.node}" if error.node else ""
        text = f"REJECTED by rule {error.rule}{place}: {error.message}"
        refused = {"rule": error.rule, "node": error.node, "reason": error.message}
        payload = {"verdict": "rejected", "page": None, "refused": refused}
        return Result(payload, escape(text), as_json, EXIT_REJECTED)
    target = out or Path(f"{Path(page.model).name or 'report'}.html")
    content = render(page).encode()
    write_whole(target, content)
    code = EXIT_REJECTED if page.verdict == "refuted" else EXIT_OK
    text = f"{page.verdict}: {target}, {len(content) / 1000:.0f} kB"
    return Result(_payload(page, target, len(content)), escape(text), as_json, code)


def _payload(page: Page | ImagesPage, target: Path, size: int) -> dict[str, Any]:
    return {
        "verdict": page.verdict,
        "checked": page.checked,
        "model": {"name": page.model, "sha256": page.sha256},
        "page": str(target),
        "bytes": size,
        "refused": None,
        "missing": [list(each) for each in page.missing],
    }


def _file(what: str) -> Path:
    """A file of JSON; of a folder or a model, its certificate."""
    path = Path(what).expanduser()
    folder = path / "certificate.json"
    if path.is_dir() and folder.is_file():
        return folder
    if path.is_file() and path.suffix == ".json":
        return path
    files = resolve_model(what)
    if not files.certificate.is_file():
        raise CertificateError(
            "there is no certificate of this model",
            where=str(files.certificate),
            fix=f"make one with `lastbit prove {what}`",
        )
    return files.certificate
