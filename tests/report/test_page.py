"""Pages: numbers as certificates have them, nothing loaded, nothing that a file says obeyed."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lastbit import api
from lastbit.cli import main
from lastbit.commands.prove import payload
from lastbit.errors import CertificateError, MissingExtraError
from lastbit.graph import OnnxBuilder
from lastbit.models.shipped import resolve_model
from lastbit.report import Page, collect, page, page_of, render
from lastbit.report.pictures import axis_end, png
from lastbit.report.places import bounds_by_place
from lastbit.report.words import ASSUMED
from lastbit.witness.replay import measure_pair
from lastbit_check.assumptions import OF_EVERY_NETWORK, OF_ONE_PROGRAM
from lastbit_check.certificate import digest
from lastbit_check.operators import KINDS
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM, Move, asking
from report.made import HOSTILE, SIDE, network, proved, whole
from support.moves import neighbour

VOID = {"meta", "img", "br", "link", "input"}


class Parsed(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags = list[str](), list[tuple[str, dict[str, str | None]]]()
        self.words, self.numbers, self.raw = list[str](), list[float](), dict[str, list[str]]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert len(named) == len(attrs), tag
        self.tags.append((tag, named))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.numbers.append(float.fromhex(named["value"] or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside in ("script", "style"):
            self.raw.setdefault(inside, []).append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved(tmp_path_factory.mktemp("made") / "net")


@pytest.fixture(scope="module")
def made(folder: Path) -> Page:
    return whole(folder / "certificate.json")


def test_every_number_of_the_certificate_is_there_bit_for_bit(folder: Path, made: Page) -> None:
    claim = json.loads((folder / "certificate.json").read_text())["claim"]
    witness = json.loads((folder / "witness.json").read_text())
    found = Parsed(render(made))
    assert found.open == []
    stated = [claim[name][field] for name in EXECUTIONS for field in ("upper", "logits")]
    for text in [*stated, witness["lower"]]:
        assert float.fromhex(text) in found.numbers
    for bracket in made.brackets:
        assert bracket.upper.hex() == claim[bracket.executions]["upper"]
        assert bracket.logits is not None
        assert bracket.logits.hex() == claim[bracket.executions]["logits"]
        assert bracket.lower is not None and bracket.lower >= float.fromhex(witness["lower"])
    maps = [json.loads(text) for text in found.raw["script"][:3]]
    assert [len(m) for m in maps] == [SIDE] * 3
    for bracket, numbers in zip(made.brackets, maps, strict=False):
        assert max(map(max, numbers)) == bracket.upper  # JSON has the same bits
    for map_, numbers in zip(made.maps, maps, strict=True):
        assert map_.values.tolist() == numbers


def test_a_page_has_all_that_stands_behind_a_bracket(folder: Path, made: Page) -> None:
    found = Parsed(render(made))
    manifest = json.loads((folder / "certificate.json").read_text())
    assert made.missing == () and made.shown is not None and made.shown.confirmed
    for text in (
        "accepted", "checked", manifest["model_sha256"], manifest["digest"], "lastbit-check",
        "row 3, column 4", "is 22 in the first and 23 in the second", "the probability of class 1",
    ):  # fmt: skip
        assert text in found.text, text
    for name in manifest["assumptions"][SAME_PROGRAM]:
        assert name in found.text and ASSUMED[name].split(",")[0] in found.text
    for run in made.shown.runs:
        assert run.runtime in found.text
        assert len(run.answers[0]) == len(run.answers[1]) == 3
        change = abs(run.answers[0][1] - run.answers[1][1])
        assert made.changes[run.runtime] == pytest.approx(change, rel=1e-9)
        assert {*run.answers[0], *run.answers[1], made.changes[run.runtime]} <= {*found.numbers}
    for layer in made.layers[0].nodes:
        assert layer.name in found.text
        assert {layer.low, layer.high, layer.noise, layer.remainder} <= {*found.numbers}
    changes = made.maps[2]
    assert changes.kind == "measured"
    at = changes.values[3, 4]
    assert at >= made.changes["lastbit-reference 0.1.0"] * 0.9 and changes.values.max() < 1


def test_a_page_loads_nothing_and_runs_only_its_own(made: Page) -> None:
    found = Parsed(render(made))
    for tag, named in found.tags:
        for name, value in named.items():
            assert not name.startswith("on") and name != "style", (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith(("#", "data:image/png;base64,")), (tag, value)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
    policy = next(n["content"] or "" for t, n in found.tags if n.get("http-equiv"))
    directives = dict(each.strip().split(" ", 1) for each in policy.split(";") if each.strip())
    assert directives["default-src"] == "'none'" and directives["img-src"] == "data:"
    for tag, texts in (("script", found.raw["script"][-1:]), ("style", found.raw["style"])):
        (text,) = texts
        digest_ = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[f"{tag}-src"] == f"'sha256-{digest_}'"
    assert "url(" not in re.sub(r"url\(#", "", render(made)) and "@import" not in render(made)
    identifiers = [named["id"] for _, named in found.tags if "id" in named]
    assert len(identifiers) == len({*identifiers})
    targets = {(named.get("href") or "")[1:] for tag, named in found.tags if tag == "a"}
    assert targets <= {*identifiers}


def test_what_a_file_says_is_text(tmp_path: Path) -> None:
    folder = proved(tmp_path / "<b>&", network(HOSTILE))
    found = Parsed(render(whole(folder / "certificate.json")))
    assert HOSTILE in found.text and "<b>&" in found.text
    assert not [tag for tag, _ in found.tags if tag in ("img", "b")]
    assert not [text for text in found.raw["script"] if "taken" in text]
    assert len(found.raw["script"]) == 4  # three maps and one program


def test_a_verdict_is_shown_with_its_certificate_or_without(
    folder: Path, made: Page, tmp_path: Path
) -> None:
    stated = whole(folder / "verdict.json")
    assert stated.inputs == made.inputs == f"bytes; {LAST_BIT.move.told}"
    assert stated.verdict == "proved" and stated.checked and stated.brackets == made.brackets
    other = tmp_path / "verdict.json"
    said = json.loads((folder / "verdict.json").read_text())
    said["certificate"] = "gone/certificate.json"
    other.write_text(json.dumps(said))
    alone = whole(other)
    found = Parsed(render(alone))
    assert not alone.checked and "not checked" in found.text and "is not where" in found.text
    assert [b.upper for b in alone.brackets] == [b.upper for b in made.brackets]
    assert alone.inputs == made.inputs
    assert alone.changes == said["lower"]["runtimes"]
    for claim in said["claims"].values():
        assert {claim["value"], claim["logits"]} <= {*found.numbers}
        for kinds in claim["nodes"].values():
            assert kinds["rounding"] in found.numbers


def test_a_verdict_that_its_certificate_does_not_bear_out(folder: Path, tmp_path: Path) -> None:
    said = json.loads((folder / "verdict.json").read_text())
    said["certificate"] = str(folder / "certificate.json")
    said["claims"][SAME_PROGRAM]["value"] /= 2
    other = tmp_path / "verdict.json"
    other.write_text(json.dumps(said))
    with pytest.raises(CertificateError, match="something else"):
        page_of(other)
    said["claims"][SAME_PROGRAM]["value"] = float("nan")
    other.write_text(json.dumps(said))
    with pytest.raises(CertificateError, match="something else"):
        page_of(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"), ("[]", "not a JSON object"), ("{}", "neither a certificate nor"),
        ('{"verdict": 1, "claims": 2, "lower": 3, "assumptions": 4, "model": 5, "inputs": 6,'
             '"change": 7}',
         "fields are not those"),
    ],
)  # fmt: skip
def test_what_is_no_verdict(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    file.write_text(text)
    with pytest.raises(CertificateError, match=message):
        page_of(file)


def test_the_command(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folder), "--no-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == "net.html" and said["bytes"] == Path("net.html").stat().st_size
    assert said["missing"] and said["verdict"] == "accepted"
    assert "nothing was to be run" in Parsed(Path("net.html").read_text()).text
    assert main(["report", str(folder / "model.onnx"), "--no-run", "--out", "no/such.html"]) == 2
    assert "such.html" in capsys.readouterr().err and not Path("no").exists()
    assert main(["report", "nothing"]) == 2


def test_a_rejected_certificate_has_no_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((folder / "certificate.json").read_text())
    manifest["claim"][SAME_PROGRAM]["upper"] = (2.0**-20).hex()
    manifest["digest"] = digest(manifest)
    wrong = tmp_path / "certificate.json"
    wrong.write_text(json.dumps(manifest))
    target = tmp_path / "page.html"
    model = str(folder / "model.onnx")
    assert main(["report", str(wrong), "--model", model, "--out", str(target)]) == 1
    assert "REJECTED by rule claim.same-program" in capsys.readouterr().out
    assert not target.exists()


def test_a_refuted_claim_is_said_to_be(made: Page) -> None:
    one = replace(made.brackets[0], lower=2 * made.brackets[0].upper)
    found = Parsed(render(replace(made, verdict="refuted", brackets=(one, made.brackets[1]))))
    assert "Refuted: a change of" in found.text
    nan = replace(one, lower=float("nan"))
    assert nan.refuted


def test_u_of_1_is_no_success(made: Page) -> None:
    one = replace(made.brackets[0], upper=1.0)
    found = Parsed(render(replace(made, brackets=(one, made.brackets[1]))))
    assert "this says nothing" in found.text


def test_without_the_extra_its_name_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    page._environment.cache_clear()
    with pytest.raises(MissingExtraError, match="'report'"):
        page._environment()
    assert main(["report", str(folder)]) == 2
    assert "[report]" in capsys.readouterr().err


def test_every_assumption_has_its_words() -> None:
    """Whoever adds one says in `lastbit/report/words.py` what it means."""
    names = {name for kind in KINDS.values() for name in kind.assumed}
    assert names | {*OF_EVERY_NETWORK, *OF_ONE_PROGRAM} == ASSUMED.keys()


def test_pictures_are_pngs() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = base64.b64decode(png(grey).split(",")[1])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == b"\0\0\0\4\0\0\0\3"
    start = data.index(b"IDAT") + 4
    rows = zlib.decompress(data[start : data.index(b"IEND") - 8])
    assert rows == b"".join(b"\0" + row.tobytes() for row in grey)


def test_scales_end_where_they_should(made: Page) -> None:
    def end(*uppers: float) -> float:
        return axis_end([replace(made.brackets[0], upper=u) for u in uppers])

    assert end(0.2529, 0.2867) == 0.5 and end(0.2, 0.1) == 0.2 and end(0.0, 1.0) == 1.0
    assert end(3e-7) == 5e-7 and end(0.7, 1.0) == 1.0 and end(5e-324) == 1e-300


def test_a_map_of_less_than_the_claim_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map that does not reach U says less than is proved."""

    def halved(*arguments: object, **named: object) -> list[Fraction]:
        return [bound / 2 for bound in bounds_by_place(*arguments, **named) or []]  # type: ignore[arg-type]

    monkeypatch.setattr(collect, "bounds_by_place", halved)
    found = whole(folder / "certificate.json", run=False)
    assert found.maps == ()
    assert [why for _, why in found.missing] == ["nothing was to be run"] + [
        "the largest of them is not U"
    ] * 2


def moved(folder: Path, move: Move) -> Page:
    """The page of a network of two channels, of which something else than a last bit may change."""
    b, random = OnnxBuilder(), np.random.default_rng(4)
    x = b.div(b.input_bytes((2, 3, 4)), 255.0)
    x = b.silu(b.conv(x, random.normal(size=(3, 2, 3, 3)), random.normal(size=3), padding=1))
    b.softmax(b.dense(b.mean(x), random.normal(size=(3, 3))))
    files = replace(resolve_model(str(b.save(folder / "two.onnx"))), question=asking(move))
    image = random.integers(0, 256, (2, 3, 4), np.uint8)
    other = neighbour(image, asking(move), 1)
    witness = measure_pair(files.asked, image, other, 1)
    verdict = folder / "verdict.json"
    verdict.write_text(json.dumps(payload(files, api.prove(files, witness=witness))))
    found = whole(verdict)
    stated = json.loads(verdict.read_text())["change"]["text"]
    assert found.checked and stated in found.inputs and stated in Parsed(render(found)).text
    return found


def test_what_else_may_change_is_said(tmp_path: Path) -> None:
    found = moved(tmp_path, Move("levels", 9, 3))
    text = Parsed(render(found)).text
    assert "How far can a change of the input move" in text and "last bit of one" not in text
    assert found.maps == () and "2 more pixels differ" in text
    assert {why for _, why in found.missing} == {
        "more than one of its places moves",
        "it is of last bits, and something else may change",
    }


def test_maps_of_pixels_with_all_their_channels(tmp_path: Path) -> None:
    found = moved(tmp_path, Move("bit", 3, 1, "all"))
    assert [bounds.values.shape for bounds in found.maps] == [(3, 4)] * 2
    for bounds, bracket in zip(found.maps, found.brackets, strict=True):
        assert bounds.values.max() == bracket.upper


def test_of_a_mask_no_map_is_drawn(tmp_path: Path) -> None:
    found = moved(tmp_path, Move(mask=((2, 5),)))
    assert found.maps == ()
    assert ("The maps of bounds", "only places of a mask move") in found.missing


def test_the_last_bit_of_one_channel(tmp_path: Path) -> None:
    found = moved(tmp_path, Move())
    assert found.of_last_bit and "last bit of one pixel" in Parsed(render(found)).text
    assert [drawn.values.shape for drawn in found.maps] == [(3, 4)] * 3
    assert found.shown is not None
    seen = found.shown.runs[0].answers
    change = max(abs(a - b) for a, b in zip(*seen, strict=True))
    assert found.maps[2].values.max() >= change > 0
