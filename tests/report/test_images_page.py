"""A page about given images: a row for each, the worst first, what is claimed bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest

from lastbit.cli import main
from lastbit.errors import CertificateError
from lastbit.report import ImagesPage, page_of, render
from lastbit_check.certificate import digest
from report.made import proved_images
from report.test_page import Parsed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_images(tmp_path_factory.mktemp("made") / "net")


@pytest.fixture(scope="module")
def made(folder: Path) -> ImagesPage:
    page = page_of(folder / "certificate.json")
    assert isinstance(page, ImagesPage)
    return page


def changed(folder: Path, out: Path, **fields: object) -> Path:
    """The certificate with another claim about image 0, sealed, beside its images."""
    out.mkdir()
    manifest = json.loads((folder / "certificate.json").read_text())
    manifest["claim"]["0"] |= fields
    manifest["digest"] = digest(manifest)
    for name in ("model.onnx", "images.npy"):
        (out / name).write_bytes((folder / name).read_bytes())
    (out / "certificate.json").write_text(json.dumps(manifest))
    return out / "certificate.json"


def test_every_claim_is_there_and_the_worst_is_first(folder: Path, made: ImagesPage) -> None:
    claims = json.loads((folder / "certificate.json").read_text())["claim"]
    found = Parsed(render(made))
    assert found.open == [] and len(made.rows) == len(claims) == 4
    for row in made.rows:
        claim = claims[str(row.number)]
        assert row.upper.hex() == float.fromhex(claim["upper"]).hex()
        assert (row.label, row.decided, row.checked) == (claim["label"], claim["decided"], True)
        assert row.lower is not None and row.seen is not None
        assert {row.upper, row.drift, row.lower, row.seen} <= {*found.numbers}
        assert row.lower <= row.upper and row.seen <= row.drift
    uppers = [row.upper for row in made.rows]
    assert uppers == sorted(uppers, reverse=True)
    assert made.verdict == "accepted" and made.checked == 4 and "all claims" in found.text
    pictures = [named for tag, named in found.tags if tag == "img"]
    assert [named["alt"] for named in pictures] == [f"Image {row.number}" for row in made.rows]
    for named in pictures:
        assert (named["src"] or "").startswith("data:image/png;base64,")


def test_a_sample_is_checked_and_nothing_run_if_one_says_so(folder: Path) -> None:
    page = page_of(folder / "certificate.json", run=False, sample=1)
    assert isinstance(page, ImagesPage) and page.checked == 1
    text = Parsed(render(page)).text
    assert "the claims about 1 of the images" in text and "nothing was to be run" in text
    assert all(row.lower is None for row in page.rows)
    with pytest.raises(CertificateError, match="--sample 5 of 4"):
        page_of(folder / "certificate.json", sample=5)


def test_a_claim_that_does_not_follow_has_no_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = changed(folder, tmp_path / "less", drift=(2.0**-60).hex())
    target = tmp_path / "page.html"
    assert main(["report", str(certificate), "--out", str(target)]) == 1
    assert "claim.image" in capsys.readouterr().out and not target.exists()


def test_what_is_seen_can_refute(folder: Path, tmp_path: Path) -> None:
    """Of a claim that was not looked at: what a run does is more than it allows."""
    certificate = changed(folder, tmp_path / "less", upper=(2.0**-60).hex())
    page = page_of(certificate, sample=1)
    assert isinstance(page, ImagesPage)
    assert page.verdict == "refuted"
    (refuted,) = [row for row in page.rows if row.refuted]
    assert refuted.number == 0 and not refuted.checked
    assert "refuted" in Parsed(render(page)).text


def test_a_verdict_names_the_images_and_agrees_with_its_certificate(
    folder: Path, made: ImagesPage, tmp_path: Path
) -> None:
    said = json.loads((folder / "verdict.json").read_text())
    for k, one in enumerate(said["images"]):
        one["number"] = 100 + k
    said["certificate"] = str(folder / "certificate.json")
    file = tmp_path / "verdict.json"
    file.write_text(json.dumps(said))
    page = page_of(file, run=False)
    assert isinstance(page, ImagesPage)
    assert [row.number for row in page.rows] == [100 + row.number for row in made.rows]
    said["images"][0]["upper"] /= 2
    file.write_text(json.dumps(said))
    with pytest.raises(CertificateError, match="something else"):
        page_of(file, run=False)
    said["certificate"] = "gone/certificate.json"
    file.write_text(json.dumps(said))
    with pytest.raises(CertificateError, match="is not where"):
        page_of(file)
    said["images"] = [1]
    file.write_text(json.dumps(said))
    with pytest.raises(CertificateError, match="prove --images"):
        page_of(file)


def test_the_images_have_to_be_there(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "certificate.json"
    alone.write_bytes((folder / "certificate.json").read_bytes())
    with pytest.raises(CertificateError, match=r"images\.npy"):
        page_of(alone, folder / "model.onnx")
    np.save(tmp_path / "images.npy", np.zeros((4, 1, 6, 6), np.uint8))
    assert main(["report", str(alone), "--model", str(folder / "model.onnx")]) == 1
