"""What is made for the documentation: rules, operators, pictures, README's table, the site."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastbit_check.around.images import FORMS
from lastbit_check.certificate import ANY
from lastbit_check.operators import RULES
from lastbit_check.question import ANY_TWO, SAME_PROGRAM
from made import answer, links, operators, pictures, rules
from support.pages import ROOT

GROUPS = sorted(p for p in (ROOT / "docs" / "rules").glob("*.md") if p.name != "index.md")
THEOREM = re.compile(r"^\s*(?:#\[[^]]*\]\s*)?(?:Theorem|Lemma|Corollary|Fact)\s+([\w']+)", re.M)
GIVEN = ("README.md", "docs/own.md")
WORDS = re.compile(r"\b(proved|checked|assumed|measured)\b", re.IGNORECASE)
FIGURE = re.compile(r"(?<!-)\b\d+\.\d|\d %|U = |Q = |bit-identical|exactly 0")


def proved() -> set[str]:
    """The name of everything that proofs/ proves."""
    files = [p for p in (ROOT / "proofs").rglob("*.v") if p.name != "Data.v"]
    return {name for file in files for name in THEOREM.findall(file.read_text("utf-8"))}


def test_every_rule_has_an_entry_and_every_entry_a_rule() -> None:
    described = [name for page in GROUPS for name in rules.headings(page.read_text("utf-8"))]
    assert sorted(described) == rules.rules()


@pytest.mark.parametrize("page", GROUPS, ids=lambda page: page.stem)
def test_an_entry_has_a_statement_a_reason_and_what_coq_has_of_it(page: Path) -> None:
    head, *entries = re.split(r"(?m)^(?=## `)", page.read_text("utf-8"))
    for entry in entries:
        statement, _, why = entry.partition("**Why.**")
        said = statement.partition("\n")[2].strip()
        assert len(said) > 20 and said.endswith("."), entry
        assert len(why) > 20, entry
        assert "**In Coq" in head or "**In Coq" in why, entry


@pytest.mark.parametrize("page", GROUPS, ids=lambda page: page.stem)
def test_what_an_entry_says_of_coq_is_proved_there(page: Path) -> None:
    known = proved()
    for said in re.findall(r"\*\*In Coq.*?(?=\n\n|\Z)", page.read_text("utf-8"), re.S):
        names = re.findall(r"`([\w']+)`", re.sub(r"`(make|proofs|lastbit)[^`]*`", "", said))
        models = {"tight", "zero"}
        assert {name for name in names if name not in models} <= known, said


def test_an_entry_is_completed_by_code_and_by_what_is_rejected() -> None:
    page = rules.completed("# A page\n\n## `absorb.around`\n\nA rule.\n\n**Why.** Because.\n")
    assert page.startswith("# A page\n\n## `absorb.around`\n\nA rule.")
    assert "`absorbs` in `src/lastbit_check/refine/byte_tables.py`" in page
    assert "REJECTED: rule absorb.around at node 'stem': a path leads around the node" in page
    assert "def a_path_around_the_node" in page


def test_every_page_stands_in_the_navigation() -> None:
    """mkdocs warns of one that does not."""

    def files(entries: list[Any]) -> set[str]:
        found = set[str]()
        for entry in entries:
            inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
            found |= files(inner) if isinstance(inner, list) else {inner}
        return found

    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    listed = [*yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"], *links.entries()]
    assert files(listed) == pages | {*links.beside().values()}


def test_links_are_those_of_the_site() -> None:
    """Links between pages, to a page beside docs/, to README, to what is no page, and elsewhere."""
    text = (
        "[a](bound.md#x) [b](../CHANGELOG.md) [c](../README.md) [d](../src/x.py) [e](https://e.f)"
    )
    site = "[a](bound.md#x) [b](changelog.md) [c](index.md) d (`src/x.py`) [e](https://e.f)"
    assert links.relinked(text, "docs/a.md", "a.md") == site
    nested = links.relinked(
        "[a](../bound.md) ![b](../pictures/b.svg)", "docs/rules/r.md", "rules/r.md"
    )
    assert nested == "[a](../bound.md) ![b](../pictures/b.svg)"
    assert links.relinked("[docs/a.md](docs/a.md)", "README.md", "index.md") == "[docs/a.md](a.md)"


def test_formulas_are_mathml_outside_of_code() -> None:
    formulas = pytest.importorskip("made.formulas")
    text, found = formulas.taken(
        "A $x_k^2$ and `$5`,\n\n$$\\sum_i x_i$$\n\n```sh\necho $a $b\n```\n"
    )
    assert text == "A @formula-0@ and `$5`,\n\n@formula-1@\n\n```sh\necho $a $b\n```\n"
    page = formulas.put("<p>A @formula-0@</p><p>@formula-1@</p>", found)
    assert page.count("<math") == 2 and "<msubsup>" in page and 'display="block"' in page


def test_operators_are_those_of_the_table_and_stand_in_the_list() -> None:
    named = [row[0] for row in operators.operators()]
    assert sorted(named) == sorted(RULES)
    listed = (ROOT / "docs" / "operators.md").read_text("utf-8")
    assert [name for name in named if not re.search(rf"\b{name}\b", listed)] == []
    table = operators.table()
    assert "| Gelu | 20 to 25 |" in table
    assert "| silu | `silu-absolute-6u\\|z\\|-3u\\|z\\|-u\\|z\\|/16` |" in table


@pytest.mark.parametrize("name", pictures.DRAWN)
def test_pictures_are_as_they_are_drawn(name: str) -> None:
    """Otherwise: python docs/made/pictures.py."""
    drawn, stored = pictures.DRAWN[name](), pictures.PICTURES / f"{name}.svg"
    assert stored.read_text("utf-8") == drawn
    assert "prefers-color-scheme: dark" in drawn and "<title>" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_readme_has_the_table_of_the_models_files() -> None:
    """Otherwise: python docs/made/answer.py."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert answer.written(text) == text
    assert len(text.splitlines()) <= 150


def test_what_readme_claims_says_what_stands_behind_it() -> None:
    """Every paragraph, item and row with a figure has one of the four words."""
    text = (ROOT / "README.md").read_text("utf-8")
    prose = re.sub(r"(?ms)^(<!--[^\n]*-->\n)?```.*?^```$|^    .*?$", "", text)
    parts = re.split(r"\n\s*\n|\n(?=\* )|\n(?=\|)", prose)
    claims = [part for part in parts if FIGURE.search(part)]
    assert len(claims) > 8
    asked = [part for part in claims if part.startswith("It answers a challenge: ")]
    assert [part for part in claims if not WORDS.search(part)] == asked


def names_in(form: object) -> set[str]:
    """Every name that a form of a certificate has."""
    if isinstance(form, list):
        return names_in(form[0])
    if not isinstance(form, dict):
        return set()
    return {n for n in form if n != ANY}.union(*(names_in(inner) for inner in form.values()))


def test_the_format_is_described_field_by_field() -> None:
    """Each in a table of the page, or where its entry is described."""
    page = (ROOT / "docs" / "certificate.md").read_text("utf-8")
    fields = set[str]().union(*(names_in(form) for form in FORMS.values()))
    assert len(fields) > 30
    assert sorted(name for name in fields if f"`{name}`" not in page and name != "sha256") == []
    for known in (*FORMS, ANY_TWO, SAME_PROGRAM):
        assert f"`{known}`" in page


def test_the_transcript_is_of_the_shipped_model() -> None:
    """docs/start.md shows what `lastbit prove tight` printed: of this file, with its figures."""
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    figures = answer.summarise(answer.shipped_models()[0])
    assert re.search(rf"^model +tight  {figures.sha256}$", page, re.M)
    assert f"U = {figures.upper:.6f}, L = {figures.lower:.6f}, U/L = {figures.ratio:.3f}" in page
    apart = (figures.apart_upper, figures.apart_lower, figures.apart_ratio)
    assert "U = {:.6f}, L = {:.6f}, U/L = {:.3f}".format(*apart) in page


def test_what_is_said_of_given_images_is_in_their_certificate() -> None:
    file = ROOT / "models" / "plain" / "images" / "certificate.json"
    claims = json.loads(file.read_bytes())["claim"].values()
    uppers = [float.fromhex(claim["upper"]) for claim in claims]
    assert {claim["decided"] for claim in claims} == {2}
    median = f"median U is {statistics.median(uppers):.5f}, the largest {max(uppers):.3f}"
    said = {name: " ".join((ROOT / name).read_text("utf-8").split()) for name in GIVEN}
    assert all(f"{len(uppers)} test images" in text and median in text for text in said.values())


def test_what_is_said_of_certified_accuracy_is_in_the_models_files() -> None:
    said = " ".join((ROOT / "docs" / "own.md").read_text("utf-8").split())
    for name in ("tight", "zero"):
        found = json.loads((ROOT / "models" / name / "accuracy.json").read_bytes())["accuracy"]
        images = round(found["certified"] * found["images"])
        right = round(found["test"] * found["images"])
        of = f"{found['images']:,}, all" if images == right else f"the {right:,}"
        assert f"For `{name}` " in said
        assert f"{images:,} of {of} that it reads right" in said
        assert sum((found["by_bound"], found["by_set"], len(found["by_image"]))) == images


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("mkdocs"), reason="needs the extra docs")
def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > 30
    loaded = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link[^>]*href=\"?https?:")
    for page in built:
        assert not loaded.search(page.read_text("utf-8")), page
    assert "REJECTED: rule tree.cover" in (tmp_path / "rules" / "tree.html").read_text("utf-8")
